#!/bin/sh
# test_cli - what the program says and the code it exits with: wrong flags, help, man page, completion.
# Usage: test_cli.sh FLEDGE
fledge=$1 checks=0 failed=0
. "$(dirname "$0")/expect.sh"

expect 2 "usage: fledge COMMAND"
expect 0 "usage: fledge COMMAND" help
expect 0 "usage: fledge COMMAND" --help
expect 0 "fledge 0." --version
expect 0 '"version"' version --json
expect 0 "usage: fledge train" train --help
expect 0 "usage: fledge train" help train
expect 0 "tokenizer encode" help tokenizer
expect 0 "usage: fledge tokenizer encode" help tokenizer encode
expect 2 "did you mean 'train'?" trian
expect 2 "unknown command 'xyzzy'; see 'fledge help'" xyzzy
expect 2 "did you mean 'tokenizer train'?" tokenizer tain
expect 2 "tokenizer: which one?" tokenizer
expect 2 "unknown flag --budgt; did you mean --budget?" train text --budgt 3m
expect 2 "unknown flag --zzzzzz; see 'fledge train --help'" train text --zzzzzz
expect 2 "unknown flag -Z" train text -Z
expect 2 "--budget soon: expected a time such as 10m or 90s" train text --budget soon
expect 2 "--threads 0: expected an integer, 1 to 1024" version --threads 0
expect 2 "--threads 2x: expected an integer" version --threads=2x
expect 2 "--threads: expected N after it" version --threads
expect 2 "--json maybe: expected no value" version --json=maybe
expect 2 "no text to learn from" train
expect 2 "'extra' was not expected" version extra
expect 2 "expected bash, zsh or fish" completion tcsh
expect 0 "fledge 0." version --threads 2 -q --seed=7 --no-verbose --
expect 0 ".TH FLEDGE 1" help --man
expect 1 "nowhere: there is no such file or folder" generate nowhere hello
expect 2 "--top-p 1.4: expected a number, 0 to 1" generate nowhere hello --top-p 1.4
expect 2 "a text and --prompt-file: which of them?" generate nowhere hello --prompt-file text
expect 1 "nowhere: there is no such file or folder" eval perplexity nowhere text
expect 2 "MODEL is empty" generate "" hello

# What is wrong is said before the work, and nothing is overwritten or left behind.
model=$(dirname "$0")/data/stories260K.gguf
cp "$model" "$work/m.gguf" && cp "$model" "$work/blob" && : >"$work/empty.txt"
expect 2 'sampler "top_x": want some of' generate "$model" hello --samplers "top_k;top_x"
expect 2 "logit bias of token 999; the vocabulary has 0 to 511" generate "$model" hello --logit-bias 999+1
expect 2 "m.gguf is the model itself" quantize "$work/m.gguf" --to Q8_0 --out "$work/m.gguf"
expect 2 "fledge: the prompt has" generate "$model" "a prompt that is too long" --context 2
checks=$((checks + 1))
head -1 "$work/said" | grep -q "^fledge: the prompt has" || { failed=$((failed + 1)); echo "FAIL a prompt that is refused is printed: $(cat "$work/said")"; }
expect 1 "missing.txt: cannot open" quantize "$model" --to Q8_0 --out "$work/q.gguf" --text "$work/missing.txt"
expect 2 "empty.txt: there is no text in it" quantize "$model" --to Q8_0 --out "$work/q.gguf" --text "$work/empty.txt"
expect 1 "empty.txt: neither GGUF nor an importance matrix" quantize "$model" --to Q8_0 --out "$work/q.gguf" --imatrix "$work/empty.txt"
expect 1 "not the name of a tokenizer; read are a GGUF file" tokenizer inspect "$work/empty.txt"
expect 0 "sound" inspect "$work/blob" --check
checks=$((checks + 1))
if [ -e "$work/q.gguf" ] || ! cmp -s "$model" "$work/m.gguf"; then failed=$((failed + 1)); echo "FAIL refused, and written all the same"; fi

# Each shell that is here reads its script; each script knows the flags.
for shell in bash zsh fish; do
    expect 0 "budget" completion $shell
    command -v $shell >/dev/null || { echo "SKIP $shell: not on this machine"; continue; }
    "$fledge" completion $shell >"$work/script"
    checks=$((checks + 1))
    $shell -n "$work/script" || { failed=$((failed + 1)); echo "FAIL $shell cannot read its completion"; }
done
if command -v bash >/dev/null; then
    checks=$((checks + 1))
    "$fledge" completion bash >"$work/script"
    reply=$(bash -c '. "$1"; COMP_WORDS=(fledge train --bud); COMP_CWORD=2; _fledge; echo "${COMPREPLY[*]}"' - "$work/script")
    [ "$reply" = "--budget" ] || { failed=$((failed + 1)); echo "FAIL bash completes --bud to '$reply'"; }
fi

# A closed pipe is a quiet failure, a full disk a loud one.
checks=$((checks + 2))
if [ -e /dev/full ]; then
    "$fledge" help --man >/dev/full 2>"$work/said"
    [ $? -eq 1 ] && grep -q "standard output: No space left" "$work/said" || { failed=$((failed + 1)); echo "FAIL full disk: $(cat "$work/said")"; }
fi
{ sleep 0.2; "$fledge" help --man 2>"$work/said"; echo $? >"$work/code"; } | :
[ "$(cat "$work/code")" = 1 ] && [ ! -s "$work/said" ] || { failed=$((failed + 1)); echo "FAIL closed pipe: exit $(cat "$work/code"), $(cat "$work/said")"; }

echo "$checks checks, $failed failed"
[ $failed -eq 0 ]
