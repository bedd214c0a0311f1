#!/bin/sh
# test_install - what `make install` puts where, and that a program outside the tree builds against it, both ways.
# Usage: test_install.sh FLEDGE SOURCE BUILD
set -u
source=$2 build=$3 checks=0 failed=0
root=$(mktemp -d) || exit 1
trap 'rm -rf "$root"' EXIT

check() {  # check WHAT COMMAND...
    what=$1
    shift
    checks=$((checks + 1))
    "$@" >"$root/said" 2>&1 && return
    failed=$((failed + 1))
    echo "FAIL $what"
    head -20 "$root/said"
}

runs() {  # a program that needs arguments says so and exits with 2
    "$1" </dev/null
    [ $? -eq 0 ] || "$1" </dev/null 2>&1 | grep -q "^usage:"
}

# Sanitized libraries want the sanitizer's runtime in whoever links them: nothing to learn from that here.
if grep -q 'FLEDGE_SANITIZE:STRING=.' "$build/CMakeCache.txt"; then
    echo "SKIP install: a sanitized build is not for installing"
    exit 0
fi

check "cmake --install" cmake --install "$build" --prefix "$root/usr" --strip
libdir=$(dirname "$(find "$root/usr" -name libfledge.a)")
for file in bin/fledge share/man/man1/fledge.1 share/bash-completion/completions/fledge share/fish/vendor_completions.d/fledge.fish \
    share/zsh/site-functions/_fledge include/fledge/fledge.h include/fledge/err.h; do
    check "$file is installed" test -s "$root/usr/$file"
done
check "the program is under 5 MB" test "$(wc -c <"$root/usr/bin/fledge")" -lt 5000000
check "the program runs" "$root/usr/bin/fledge" version
check "no header names the source tree" sh -c "! grep -rn '#include \"[a-z]*/' '$root/usr/include' | grep -v '\"fledge/'"

export PKG_CONFIG_PATH="$libdir/pkgconfig"
sed -i "s|^prefix=.*|prefix=$root/usr|" "$libdir/pkgconfig/fledge.pc"  # it was configured for another prefix
cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
for example in "$source"/examples/*.c; do
    name=$(basename "$example" .c)
    # shellcheck disable=SC2046 # flags are a list
    check "$name builds, shared" "$cc" -std=c11 -Wall -Wextra -Werror "$example" -o "$root/$name" $(pkg-config --cflags --libs fledge) -Wl,-rpath,"$libdir"
    check "$name runs, shared" runs "$root/$name"
    # shellcheck disable=SC2046
    check "$name builds, static" "$cc" -std=c11 "$example" -o "$root/$name-static" $(pkg-config --cflags fledge) \
        "$libdir/libfledge.a" $(pkg-config --static --libs fledge | sed 's/-lfledge //')
    check "$name runs, static" runs "$root/$name-static"
done
echo '#include <fledge/fledge.h>' >"$root/all.cc"
# shellcheck disable=SC2046
check "C++ takes every header" c++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only $(pkg-config --cflags fledge) "$root/all.cc"
check "only fl_ names are shown" sh -c "! nm -D --defined-only '$libdir'/libfledge.so | awk '{print \$3}' | grep -v '^fl_'"

echo "$checks checks, $failed failed"
[ $failed -eq 0 ]
