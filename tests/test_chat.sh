#!/bin/sh
# test_chat - fledge chat and run: from pipes here, in a pseudo-terminal by chat_terminal.py. The model is
# tests/data/chat, whose answers are known.
# Usage: test_chat.sh FLEDGE SOURCES
fledge=$1 sources=$2 checks=0 failed=0
. "$(dirname "$0")/expect.sh"
model=$sources/tests/data/chat
unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE NO_COLOR
export HF_HOME="$work/home" XDG_STATE_HOME="$work" HF_HUB_OFFLINE=1
export LSAN_OPTIONS="suppressions=$sources/tests/leaks.supp:print_suppressions=0"

# piped INPUT WANT ARGUMENTS...: with INPUT (of printf) on standard input exactly WANT is on standard output.
piped() {
    input=$1 want=$2
    shift 2
    checks=$((checks + 1))
    # shellcheck disable=SC2059
    printf "$input" | "$fledge" chat "$model" "$@" >"$work/out" 2>"$work/said"
    code=$?
    # shellcheck disable=SC2059
    printf "$want" >"$work/want"
    cmp -s "$work/out" "$work/want" && [ $code -eq 0 ] && return
    failed=$((failed + 1))
    echo "FAIL '$input' | fledge chat $*: exit $code, said:"
    head -5 "$work/out" "$work/said"
}

piped 'X\nY' 'YZ\nZ\n'
piped 'X\r\nY\r\n' 'YZ\nZ\n'
piped 'one\\\\\ntwo X' 'YZ\n'
piped '"""\none\ntwo X\n"""\nY\n' 'YZ\nZ\n'
piped '"""one\ntwo X' 'YZ\n'
piped '"""Y"""\n' 'Z\n'
piped '\n\n' ''
piped '' ''
piped '0\n' '123\n' --max-tokens 3
piped '0\n' '1234\n' --stop 56
piped 'Y\nX\n' '12\n12\n' --json-schema '{"const": 12}'
printf 'root ::= "1" [0-9]{3}\n' >"$work/four"
piped '0\n0\n' '1234\n1234\n' --grammar "$work/four"
piped 'one\n' 'ABCDE\n' --template chatml --stop F
piped '?\n' '\377\n'
piped 'X\n/quit\nY\n' 'YZ\n'
piped '/system Hi\nY\n/show-prompt\n' 'Z\n'
checks=$((checks + 1))
grep -q 'system' "$work/said" && ! grep -q "$(printf '\033')" "$work/said" || { failed=$((failed + 1)); echo "FAIL no prompt, or colours in a pipe"; }

expect 0 "Z" chat "$model" Y
expect 2 "MESSAGE is empty" chat "$model" ""
expect 1 "there is no such file or folder" chat "$work/none.gguf" Y
: >"$work/empty.gguf"
expect 1 "the file is empty" chat "$work/empty.gguf" Y
expect 1 "neither a model folder (no config.json)" chat "$work" Y
expect 2 "not the name of a model" run "$work/none" Y
expect 2 "not the name of a model" run org/none.gguf Y
expect 2 "did you mean --temperature?" chat "$model" Y --temprature 0
expect 0 '"content": "Z", "finish": "eos", "prompt_tokens": 21, "generated_tokens": 2' chat "$model" Y --json
expect 0 "system" chat "$model" Y --system Hello --show-prompt
echo "From a file" >"$work/system"
expect 0 "From a file" chat "$model" Y --system-file "$work/system" --show-prompt
expect 2 "--system and --system-file: which of them?" chat "$model" Y --system x --system-file "$work/system"
expect 2 "there are: plain, chatml" chat "$model" Y --template x
expect 0 "User: Y" chat "$model" Y --template plain --show-prompt --max-tokens 4
expect 2 "the conversation has 22 tokens, the context holds 8" chat "$model" YY --context 8
expect 0 "the context is full and the answer cut" chat "$model" 0 --context 64
expect 0 "its older half was forgotten" chat "$model" 0 --context 64 --context-shift --max-tokens 100
echo "{{ 'as in the file: ' + messages[0].content + ' ' + word }}" >"$work/layout"
expect 0 "as in the file: Y x=1" chat "$model" Y --template-file "$work/layout" --set word=x=1 --show-prompt --max-tokens 1
expect 2 "--set word: name=value is wanted" chat "$model" Y --set word
mkdir "$work/bare"
cp "$model"/config.json "$model"/model.safetensors "$model"/tokenizer.json "$work/bare"
expect 2 "no chat template; its vocabulary is made for \"chatml\"" chat "$work/bare" Y
expect 1 "cannot open" chat "$model" --load "$work/none.json"
printf '{"messages": [{"role": "user", "content": "Y"}, {"role": "assistant", "content": "Z"}]}' >"$work/talk.json"
expect 0 "Y<|im_end|>" chat "$model" X --load "$work/talk.json" --show-prompt

# A failure ends what is no conversation with a person.
checks=$((checks + 1))
printf '/save /nowhere/x\nY\n' | "$fledge" chat "$model" >"$work/out" 2>"$work/said"
[ $? -eq 1 ] && [ ! -s "$work/out" ] || { failed=$((failed + 1)); echo "FAIL a failed command in a pipe: $(cat "$work/said")"; }

# By name.
commit=0123456789abcdef0123456789abcdef01234567
mkdir -p "$work/home/hub/models--org--tiny/refs" "$work/home/hub/models--org--tiny/snapshots"
printf %s $commit >"$work/home/hub/models--org--tiny/refs/main"
cp -r "$model" "$work/home/hub/models--org--tiny/snapshots/$commit"
expect 0 "Z" chat org/tiny Y
expect 0 "Z" run org/tiny Y
expect 0 "Z" run "$model" Y
expect 0 '"Y"' run "$model" X --json-schema '{"enum": ["Y"]}'
expect 2 "--grammar and --json-schema: which of them?" run "$model" X --json-schema '{}' --grammar "$work/four"
expect 1 "no network: HF_HUB_OFFLINE is set; models already here: org/tiny" run org/other Y
expect 2 "not the name of a model" run nothing Y

if python3 -c "import pty, termios, fcntl; pty.openpty()" 2>/dev/null; then
    checks=$((checks + 1))
    python3 "$sources/tests/chat_terminal.py" "$fledge" "$sources" "$work" || failed=$((failed + 1))
else
    echo "SKIP the terminal: no python3 with pty and termios, or no pseudo-terminals (is /dev/pts mounted?)"
fi

echo "$checks checks, $failed failed"
[ $failed -eq 0 ]
