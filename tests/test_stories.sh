#!/bin/sh
# test_stories - a real model writes what the program it comes from writes: Karpathy's stories260K, greedy. From nothing,
# 200 tokens, the text that llama2.c's test_all.py expects, on each backend of this machine, in f32 and in bf16; after
# prompts, what llama2.c's run.c writes. tests/peers/stories.py made the model's file from the published one.
# Caught by it (each tried): Q and K taken as halves; a space kept at the beginning of a text or an answer, or dropped after
# a prompt; windows of a text that do not begin as llama.cpp's, are counted without the token that begins it, or are scored
# from another token on.
# Usage: test_stories.sh FLEDGE SOURCES
fledge=$1 model=$2/tests/data/stories260K.gguf checks=0 failed=0
. "$(dirname "$0")/expect.sh"

# writes WHAT COMMAND ARGUMENTS...: the text of this command is $work/want.
writes() {
    what=$1 command=$2
    shift 2
    "$fledge" "$command" "$model" --temperature 0 "$@" >"$work/out" 2>"$work/said" </dev/null
    grep "FLEDGE_BACKEND=.* needs" "$work/said" >"$work/skip" && echo "SKIP $what: $(cat "$work/skip")" && return
    checks=$((checks + 1))
    cmp -s "$work/out" "$work/want" && return
    failed=$((failed + 1))
    echo "FAIL $what:"
    cat "$work/out" "$work/said"
}

cat >"$work/want" <<'TEXT'
Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. She wanted to play with it, but it was too high.
Lily's mom said, "Lily, let's go to the park." Lily was sad and didn't know what to do. She said, "I want to play with your ball, but I can't find it."
Lily was sad and didn't know what to do. She said, "I'm sorry, Lily. I didn't know what to do."
Lily didn't want to help her mom, so she
TEXT
cp "$work/want" "$work/text"
for backend in avx512 avx2 portable ref; do
    for compute in f32 bf16; do
        FLEDGE_BACKEND=$backend writes "$backend, $compute" generate --max-tokens 200 --compute $compute
    done
done

echo "He was very happy. The end. He had a big box of colors. He li" >"$work/want"
writes "a text that goes on" generate "He was very happy. The end." --max-tokens 16
echo "  two spaces before he went to the park. All the suns" >"$work/want"
writes "spaces before it" generate "  two spaces before" --max-tokens 16
echo "You are a goo" >"$work/want"
writes "an answer" chat "The dog was sad." --template vicuna --max-tokens 8

# Windows that begin with a token of their own: llama-perplexity -c 64 prints 1.8920 and 1.9665 for two of them.
expect 0 '"perplexity": 1.89197' eval perplexity "$model" "$work/text" --window 64 --halves --chunks 1 --compute f32 --json
expect 0 '"perplexity": 1.96647' eval perplexity "$model" "$work/text" --window 64 --halves --chunks 2 --compute f32 --json
# Of a text of 63 tokens there is one window: the token that begins it counts.
head -c 177 "$work/text" >"$work/short"
expect 0 "tokens scored  31," eval perplexity "$model" "$work/short" --window 64 --halves

echo "$checks checks, $failed failed"
[ $failed -eq 0 ]
