#!/bin/sh
# test_generate - fledge generate: one text and many, what a text keeps to, and where it ends. The model is
# tests/data/chat: after a digit comes the next one, X is followed by YZ and an end.
# Usage: test_generate.sh FLEDGE SOURCES
fledge=$1 sources=$2 checks=0 failed=0
. "$(dirname "$0")/expect.sh"
model=$sources/tests/data/chat

# prints WANT ARGUMENTS...: with these arguments exactly WANT (of printf) is on standard output.
prints() {
    want=$1
    shift
    checks=$((checks + 1))
    "$fledge" generate "$model" "$@" >"$work/out" 2>"$work/said" </dev/null
    code=$?
    # shellcheck disable=SC2059
    printf "$want" >"$work/want"
    cmp -s "$work/out" "$work/want" && [ $code -eq 0 ] && return
    failed=$((failed + 1))
    echo "FAIL generate $*: exit $code, said:"
    head -5 "$work/out" "$work/said"
}

prints 'XYZ\n' X
prints 'YZ\n' X --no-echo
prints '0123\n' 0 --max-tokens 3
prints '01234\n' 0 --stop 56

# Many: in the order of the prompts, whoever is done first.
printf 'X\n\n5\r\n0\n' >"$work/prompts"
prints 'XYZ\n56789012345678901234\n01234567890123456789\n' --prompts "$work/prompts" --max-tokens 19
prints 'XYZ\n567\n012\n' --prompts "$work/prompts" --max-tokens 2 --parallel 1
prints 'XYZ\nXYZ\nXYZ\n' X --n 3
printf '{"prompt": "X", "id": 3}\n{"prompt": "one\\ntwo X"}\n' >"$work/prompts.jsonl"
prints 'XYZ\none\ntwo XYZ\n' --prompts "$work/prompts.jsonl"
expect 0 '"prompt": "one\ntwo X", "text": "YZ", "finish": "length", "prompt_tokens": 9' \
    generate "$model" --prompts "$work/prompts.jsonl" --json
printf '{"prompt": "X"}\nX\n' >"$work/mixed"
expect 1 "$work/mixed:2" generate "$model" --prompts "$work/mixed"
printf '{"text": "X"}\n' >"$work/other"
expect 1 "other:1: expected {\"prompt\": text}" generate "$model" --prompts "$work/other"
: >"$work/none"
expect 2 "no prompts" generate "$model" --prompts "$work/none"
expect 2 "--prompts and a prompt: which of them?" generate "$model" X --prompts "$work/prompts"
expect 2 "are for one prompt" generate "$model" --prompts "$work/prompts" --lookup 2
# One that does not fit is said, and the others are written.
printf 'X\n0123456789012345678901234567890123456789\nX\n' >"$work/long"
expect 2 "1 of 3 texts failed" generate "$model" --prompts "$work/long" --context 32
expect 2 '"index": 1, "prompt": "0123456789012345678901234567890123456789", "error": "the prompt has 40 tokens' \
    generate "$model" --prompts "$work/long" --context 32 --json
expect 2 '"index": 2, "prompt": "X", "text": "YZ"' generate "$model" --prompts "$work/long" --context 32 --json

# What a text keeps to.
printf 'root ::= [0-9]{3}\n' >"$work/three"
prints '0123\n' 0 --grammar "$work/three"
prints '0123\n0123\n' 0 --grammar "$work/three" --n 2
prints '01\n' 0 --json-schema '{"const": 1}'
prints '0"Y"\n' 0 --json-schema '{"enum": ["Y"]}'
expect 2 "--grammar and --json-schema: which of them?" generate "$model" 0 --grammar "$work/three" --json-schema '{}'
expect 2 "no rule root" generate "$model" 0 --grammar "$work/none"
expect 2 "--json-schema" generate "$model" 0 --json-schema '{"type": "fish"}'
expect 0 '"text": "123"' generate "$model" 0 --max-tokens 3 --json --logit-bias 57-inf
prints '0999\n' 0 --max-tokens 3 --logit-bias 57+1000
expect 2 "--logit-bias" generate "$model" 0 --logit-bias 49

# A full context ends the text and says so, or is shifted as told.
expect 0 "the context of 32 tokens is full and the text ends there" generate "$model" 0 --context 32
expect 0 '"finish": "context"' generate "$model" 0 --context 32 --json
expect 0 "its older half was forgotten" generate "$model" 0 --context 32 --context-shift --max-tokens 60
prints '0123456789012345678901234567890123456789012\n' 0 --context 32 --context-shift --keep 4 --max-tokens 42
expect 2 "the prompt has 40 tokens; the context holds 32" \
    generate "$model" 0123456789012345678901234567890123456789 --context 32 --context-shift

# A prompt on disk, and the format of what is kept.
expect 0 "0 of 4 tokens of the prompt were in $work/cache" generate "$model" 0123 --prompt-cache "$work/cache" -n 2
expect 0 "4 of 4 tokens of the prompt were in $work/cache" generate "$model" 0123 --prompt-cache "$work/cache" -n 2
expect 0 "4 of 6 tokens of the prompt were in $work/cache" generate "$model" 012345 --prompt-cache "$work/cache" -n 2
prints '012345678\n012345678\n' 012345 --prompt-cache "$work/cache" --max-tokens 3 --n 2
expect 2 "made by another model, or with another --compute" \
    generate "$model" 0123 --prompt-cache "$work/cache" --cache-type f16
expect 1 "$work/three: not a prompt cache" generate "$model" 0123 --prompt-cache "$work/three"
expect 2 "are for one prompt" generate "$model" --prompts "$work/prompts" --prompt-cache "$work/cache"
prints '0123\n' 0 --max-tokens 3 --cache-type f16
prints '0123\n' 0 --max-tokens 3 --cache-type f32
expect 1 "a cache in q8_0 needs heads of a multiple of 32 numbers" generate "$model" 0 --cache-type q8_0
expect 2 "--cache-type q9" generate "$model" 0 --cache-type q9

echo "$checks checks, $failed failed"
[ $failed -eq 0 ]
