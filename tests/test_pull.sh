#!/bin/sh
# test_pull - fledge pull against a hub on the loopback where everything goes wrong (hub_server.py).
# Usage: test_pull.sh FLEDGE SOURCES
fledge=$1 sources=$2 checks=0 failed=0
. "$(dirname "$0")/expect.sh"

# Two layers of pipes: the server ends with this script, however that ends.
command -v python3 >/dev/null || { echo "SKIP test_pull: no python3 to run the hub"; exit 0; }
mkfifo "$work/alive"
python3 "$sources/tests/hub_server.py" "$sources/tests/data/golden/qwen3" "$work/port" "$work/log" <"$work/alive" &
exec 9>"$work/alive"
for _ in $(seq 100); do [ -e "$work/port" ] && break; sleep 0.1; done
[ -e "$work/port" ] || { echo "FAIL the hub did not start"; exit 1; }

unset HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_HUB_OFFLINE TRANSFORMERS_OFFLINE HF_HUB_DISABLE_IMPLICIT_TOKEN HF_TOKEN_PATH HF_TOKEN
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
export HF_HOME="$work/home"
export HF_ENDPOINT="http://127.0.0.1:$(cat "$work/port")"
hub=$work/home/hub

ok() {  # ok WHAT COMMAND...: it succeeds
    what=$1
    shift
    checks=$((checks + 1))
    "$@" >/dev/null 2>&1 || { failed=$((failed + 1)); echo "FAIL $what"; }
}
repo() { echo "$hub/models--org--$1"; }
snapshot() { echo "$(repo "$1")/snapshots/$(cat "$(repo "$1")/refs/main")"; }
weights() { ls "$(snapshot "$1")/model.safetensors"; }
asked() { grep -c "$1" "$work/log"; }  # requests whose line matches
is_big() { [ "$(sha256sum <"$(snapshot "$1")/model.safetensors" | cut -c1-64)" = "$(basename "$(readlink "$(snapshot "$1")/model.safetensors")")" ]; }
no_parts() { ! ls "$(repo "$1")"/blobs/*.incomplete; }

# A Hugging Face folder: what a model needs, in the hub's own layout, and found by name.
expect 0 "snapshots/" pull org/folder
for file in config.json model.safetensors tokenizer_config.json generation_config.json added_tokens.json; do
    ok "$file came" test -f "$(snapshot folder)/$file"
done
for file in pytorch_model.bin flax_model.msgpack README.md onnx original; do
    ok "$file did not come" test ! -e "$(snapshot folder)/$file"
done
ok "the weights are those of the hub" cmp "$(snapshot folder)/model.safetensors" "$sources/tests/data/golden/qwen3/model.safetensors"
ok "links are relative" sh -c "readlink '$(snapshot folder)/config.json' | grep -q '^../../blobs/[0-9a-f]\{40\}$'"
ok "large files are named by their SHA-256" is_big folder
ok "no part is left" no_parts folder
ok "a lock like the hub's own" test -e "$hub/.locks/models--org--folder/$(basename "$(readlink "$(snapshot folder)/config.json")").lock"
expect 0 "qwen3 (Qwen3ForCausalLM)" inspect org/folder
expect 1 "there is no such folder or file, and no such model was pulled" inspect org/unknown
: >"$work/log"
expect 0 '"fetched_bytes": 0' pull org/folder --json
ok "nothing is fetched twice" test "$(asked resolve)" = 0
rm "$(snapshot folder)/config.json"
expect 0 "snapshots/" pull org/folder
ok "a lost link is made again" test -f "$(snapshot folder)/config.json"

# Revisions.
expect 0 "snapshots/" pull org/folder@v1
ok "a revision has its own ref" test -f "$(repo folder)/refs/v1"
expect 0 "snapshots/" pull org/folder@feature/x
ok "a revision with a slash" test -f "$(repo folder)/refs/feature/x"
expect 0 "snapshots/" pull "org/folder@$(cat "$(repo folder)/refs/main")"
expect 0 "qwen3" inspect "org/folder@$(cat "$(repo folder)/refs/main")"
expect 1 "Invalid rev id: v9" pull org/folder@v9

# One GGUF file of many.
expect 0 "m-Q4_K_M.gguf" pull org/m-GGUF
expect 0 "m.Q8_0.gguf" pull org/m-GGUF:q8_0
expect 0 "m-Q4_K_S.gguf" pull org/m-GGUF:m-Q4_K_S.gguf
expect 0 "Q6_K/m-Q6_K-00001-of-00002.gguf" pull org/m-GGUF:Q6_K
ok "all parts came" test -f "$(snapshot m-GGUF)/Q6_K/m-Q6_K-00002-of-00002.gguf"
ok "links from a folder inside" sh -c "readlink '$(snapshot m-GGUF)/Q6_K/m-Q6_K-00002-of-00002.gguf' | grep -q '^../../../blobs/'"
ok "only what was asked for" test ! -e "$(snapshot m-GGUF)/mmproj-m-Q4_K_M.gguf"
expect 2 "no file is Q4_K; GGUF files: m-Q4_K_S.gguf, m-Q4_K_M.gguf" pull org/m-GGUF:Q4_K
expect 1 "1 of its 2 parts are there" pull org/m-GGUF:Q2_K
expect 1 "neither model.safetensors nor a GGUF file" pull org/bin

# Connections that break, servers that are busy or know no ranges.
: >"$work/log"
expect 0 "snapshots/" pull org/breaks
ok "broken: whole" is_big breaks
ok "broken: goes on where it stopped" test "$(asked 'resolve.*model.safetensors bytes=70000- ')" = 1
ok "broken: and again" test "$(asked 'resolve.*model.safetensors bytes=170010- ')" = 1
expect 0 "snapshots/" pull org/busy
ok "busy: whole" is_big busy
: >"$work/log"
expect 1 "answered 500" pull org/down
ok "down: asked a few times, not for ever" test "$(asked 'down/resolve.*model.safetensors')" = 8
expect 0 "snapshots/" pull org/noranges
ok "no ranges: started over" is_big noranges
expect 1 "another part than was asked for" pull org/badrange
expect 0 "snapshots/" pull org/unsatisfied
ok "416: started over" is_big unsatisfied

# The disk is full, here a limit on the size of a file: the part stays, and the next pull goes on.
checks=$((checks + 1))
(ulimit -f 128; "$fledge" pull org/full >"$work/said" 2>&1)
[ $? -eq 1 ] && grep -q "too large" "$work/said" || { failed=$((failed + 1)); echo "FAIL full disk:"; head -3 "$work/said"; }
ok "full: the part stays" sh -c "test -s '$(repo full)'/blobs/*.incomplete"
ok "full: no ref" test ! -e "$(repo full)/refs/main"
: >"$work/log"
expect 0 "snapshots/" pull org/full
ok "full: goes on where it stopped" test "$(asked 'full/resolve.*model.safetensors bytes=[1-9]')" = 1
ok "full: whole" is_big full
expect 0 "compared with the hub's" inspect org/folder --check
blob=$(repo full)/blobs/$(basename "$(readlink "$(snapshot full)/model.safetensors")")
printf 'x' | dd of="$blob" bs=1 seek=1000 conv=notrunc 2>/dev/null
expect 1 "its checksum is" inspect org/full --check

# Content that is not what the hub promised.
expect 0 "downloading it once more" pull org/flipped
ok "flipped once: right the second time" is_big flipped
expect 1 "does not have the checksum it promises" pull org/wrong
ok "wrong: no blob, no ref" test ! -e "$(repo wrong)/refs/main" -a ! -e "$(repo wrong)/snapshots/model.safetensors"
expect 1 "longer than the hub's list says" pull org/longer
expect 1 "needs 1048576 TiB" pull org/huge

# Redirects: followed, but not in circles, and the token stays with the hub.
: >"$work/log"
HF_TOKEN=hf_secret expect 0 "snapshots/" pull org/moved
ok "moved: whole" is_big moved
ok "moved: the hub sees the token" test "$(asked 'moved/resolve.*Bearer hf_secret')" -ge 1
ok "moved: the store does not" test "$(asked 'store/.* - -$')" = 1
expect 1 "redirects" pull org/circle

# Who may.
expect 1 "private or gated; for those set HF_TOKEN" pull org/private
HF_TOKEN=hf_wrong expect 1 "the token was refused" pull org/private
HF_TOKEN=hf_secret expect 0 "snapshots/" pull org/private
mkdir -p "$work/home" && echo hf_secret >"$work/home/token"
expect 0 "snapshots/" pull org/private
expect 1 "access is restricted (Access to model org/gated is restricted)" pull org/gated
expect 1 "has no such thing" pull org/nothing
rm "$work/home/token"

# Names from the hub stay inside; what it says is checked.
expect 1 "no path inside a folder" pull org/dotdot
expect 1 "no path inside a folder" pull org/rooted
expect 1 "no path inside a folder" pull org/backslash
expect 1 "no checksum and size" pull org/badsum
expect 1 "no checksum and size" pull org/negative
expect 1 "expected a list of files" pull org/notlist
ok "nothing was written outside" test ! -e "$work/home/evil.safetensors" -a ! -e /tmp/evil.safetensors
for name in plain org/ /name org/na/me org/../x org/a--b 'org/n@' 'org/n:' 'org/n@../x' ./x; do
    expect 2 "not " pull "$name"
done
expect 2 "not the address of a hub" pull org/folder --mirror ftp://host

# The file changes on the hub between an attempt and the next.
expect 1 "no such thing" pull org/changing
ok "changing: a part is kept" sh -c "ls '$(repo changing)'/blobs/*.incomplete"
curl -s "$HF_ENDPOINT/change" >/dev/null 2>&1 || python3 -c "import sys, urllib.request; urllib.request.urlopen(sys.argv[1])" "$HF_ENDPOINT/change"
expect 0 "snapshots/" pull org/changing
ok "changing: the new content, whole" is_big changing

# Interrupted: 130, the part stays; two at once: one downloads, both have it.
"$fledge" pull org/slow >"$work/said" 2>&1 &
pid=$!
for _ in $(seq 600); do [ -s "$(ls "$(repo slow)"/blobs/*.incomplete 2>/dev/null | head -1)" ] && break; sleep 0.1; done
kill -INT $pid
wait $pid
ok "interrupted: exit 130" test $? = 130
ok "interrupted: says how to go on" grep -q "pull again to go on" "$work/said"
ok "interrupted: the part stays" sh -c "test -s '$(repo slow)'/blobs/*.incomplete"
ok "interrupted: no ref yet" test ! -e "$(repo slow)/refs/main"
: >"$work/log"
"$fledge" pull org/slow >"$work/one" 2>&1 &
first=$!
expect 0 "snapshots/" pull org/slow
wait $first
ok "two at once: both" test $? = 0
ok "two at once: one download, from where it stopped" test "$(asked 'slow/resolve.*model.safetensors bytes=[1-9]')" = 1 -a "$(asked 'slow/resolve.*model.safetensors')" = 1
ok "two at once: whole" is_big slow

# No network: what is here will do; else say so.
exec 9>&-
wait
expect 0 "using org/folder as pulled before" pull org/folder
expect 1 "no network: cannot reach 127.0.0.1" pull org/other
expect 1 "models already here: org/breaks, org/busy" pull org/other
HF_HUB_OFFLINE=1 expect 1 "no network: HF_HUB_OFFLINE is set" pull org/other
HF_HUB_OFFLINE=1 expect 0 "snapshots/" pull org/m-GGUF:Q8_0
HF_HUB_CACHE="$work/elsewhere" expect 1 "models already here: none" pull org/other

echo "$checks checks, $failed failed"
[ $failed -eq 0 ]
