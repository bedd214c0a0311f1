# expect.sh - sourced by tests of the program, after they set fledge, checks and failed.
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

# expect CODE TEXT ARGUMENTS...: it exits with CODE and TEXT is somewhere in what it says.
expect() {
    code=$1 text=$2
    shift 2
    checks=$((checks + 1))
    "$fledge" "$@" >"$work/said" 2>&1 </dev/null
    got=$?
    if [ $got -ne "$code" ] || ! grep -qF -- "$text" "$work/said"; then
        failed=$((failed + 1))
        echo "FAIL fledge $*: exit $got, want $code and '$text'; said:"
        head -5 "$work/said"
    fi
}
