#!/bin/sh
# test_prompt - fledge prompt: conversations as text, with the model's template, a named one and a file's.
# Usage: test_prompt.sh FLEDGE SOURCES
fledge=$1 data=$2/tests/data checks=0 failed=0
. "$(dirname "$0")/expect.sh"

# says TEXT ARGUMENTS...: it prints TEXT and nothing else.
says() {
    text=$1
    shift
    checks=$((checks + 1))
    "$fledge" "$@" >"$work/said" 2>"$work/complaint" </dev/null
    # shellcheck disable=SC2059
    printf "$text" >"$work/want"
    cmp -s "$work/said" "$work/want" && return
    failed=$((failed + 1))
    echo "FAIL fledge $*: want $text; said:"
    cat "$work/said" "$work/complaint"
}

cp -r "$data/chat" "$work/m"
sed -i '/chat_template/d; s/"<|endoftext|>",/"<|endoftext|>"/' "$work/m/tokenizer_config.json"
hi='[{"role": "user", "content": "Hi"}]'

expect 0 '<|im_start|>user' prompt "$data/chat" "$hi"
expect 2 "no chat template; its vocabulary is made for \"chatml\"" prompt "$work/m" "$hi"
expect 2 'no chat template is called "x"; there are: plain, chatml' prompt "$work/m" "$hi" --template x
says '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n' prompt "$work/m" "$hi" --template chatml
says '<|im_start|>user\nHi<|im_end|>\n' prompt "$work/m" "$hi" --template chatml --no-ask
says 'User: Hi\nAssistant:' prompt "$work/m" "$hi" --template plain

said='[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho, "}]'
says 'User: Hi\nAssistant: Ho,\n' prompt "$work/m" "$said" --template plain
says 'User: Hi\nAssistant: Ho,' prompt "$work/m" "$said" --template plain --continue
expect 0 '"assistant": [[19, 24]]' prompt "$work/m" "$said" --template plain --json

printf '%s' '{{ messages|length }} {{ tools[0].name }} {{ x + 1 }} {{ eos_token }} {{ add_generation_prompt }}' >"$work/t.jinja"
printf '%s' '{"messages": [{"role": "user", "content": "Hi"}], "tools": [{"name": "f"}], "variables": {"x": 5}}' >"$work/c.json"
says '1 f 6 <|endoftext|> True' prompt "$work/m" --file "$work/c.json" --template-file "$work/t.jinja"
says '1 f 10 <|endoftext|> True' prompt "$work/m" --file "$work/c.json" --template-file "$work/t.jinja" --set x=9
cp "$work/t.jinja" "$work/m/chat_template.jinja"
says '1 f 6 <|endoftext|> True' prompt "$work/m" --file "$work/c.json"
expect 1 "the chat template: line 1: a none has no '0'" prompt "$work/m" "$hi"

printf '\n{%% if %%}' >"$work/t.jinja"
expect 1 "t.jinja: line 2: an expression is due" prompt "$work/m" "$hi" --template-file "$work/t.jinja"
expect 1 "messages:1" prompt "$work/m" '[{"role": ' --template plain
expect 1 "messages: a list is wanted" prompt "$work/m" '{"x": 1}' --template plain
expect 2 "name=value is wanted" prompt "$work/m" "$hi" --template plain --set x
expect 2 "has no tokenizer" prompt "$data/golden/qwen3" "$hi" --template plain

echo "$checks checks, $failed failed"
[ $failed -eq 0 ]
