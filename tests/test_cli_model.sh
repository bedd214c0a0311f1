#!/bin/sh
# test_cli_model - fledge inspect and fledge convert: good folders, and what is said about broken ones.
# Usage: test_cli_model.sh FLEDGE SOURCES
fledge=$1 golden=$2/tests/data/golden checks=0 failed=0
. "$(dirname "$0")/expect.sh"

same() {
    checks=$((checks + 1))
    cmp "$1" "$2" || failed=$((failed + 1))
}

# broken NAME: a fresh copy of a good folder, to be spoilt.
broken() {
    rm -rf "$work/$1"
    cp -r "$golden/qwen3" "$work/$1"
}

expect 0 "qwen3 (Qwen3ForCausalLM)" inspect "$golden/qwen3"
expect 0 '"architecture": "gpt2"' inspect "$golden/gpt2" --json
expect 0 "6 keys in 1 of 2 layers" inspect "$golden/qwen3_window"
expect 0 "no tokenizer.json" inspect "$golden/qwen3"
expect 0 "verdict          sound" inspect "$golden/qwen3" --check
expect 0 "note          no tokenizer.json" inspect "$golden/qwen3" --check
expect 0 '"active_parameters": 18848' inspect "$golden/mixtral" --json
expect 0 "num_local_experts                            4" inspect "$golden/mixtral" --metadata
expect 0 "model.layers.1.self_attn.q_proj.weight" inspect "$golden/qwen3" --tensors
expect 2 "did you mean --tensors" inspect "$golden/qwen3" --tensor
expect 1 "there is no such file or folder" inspect "$work/none"
expect 2 "usage: fledge inspect MODEL" inspect
expect 0 "| gemma2 | Gemma2ForCausalLM | gemma2 | RMSNorm (1 + w) before and after blocks, rotary positions, grouped queries, soft caps, window in 1 of 2 layers, gated gelu_tanh, scaled embeddings |" architectures
expect 0 '"model_type": "gpt_neox"' architectures --json

# Beside a program that says it reads 100 tokens a second at once, 50 one by one and 80 together.
cat >"$work/llama-bench" <<'END'
#!/bin/sh
echo '[{"n_prompt": 8, "avg_ts": 100.0}, {"n_prompt": 0, "avg_ts": 50.0}]'
END
cat >"$work/llama-batched-bench" <<'END'
#!/bin/sh
echo 'loading'; echo '{"pl": 8, "speed_tg": 80.0, "speed": 1}'
END
chmod +x "$work/llama-bench" "$work/llama-batched-bench"
bench="bench inference $golden/qwen3 --rounds 1 --prompt 8 -n 4 --threads 1"
# shellcheck disable=SC2086
{
    expect 0 "100.0	50.0	80.0" $bench --peer "$work/llama-bench"
    ratio=$(awk -F'\t' '$2 == "fledge" { ours = $6 } $2 == "times" { print ($7 * 50 > 0 && $6 * 100 > ours - 1 && $6 * 100 < ours + 1) }' "$work/said")
    checks=$((checks + 1))
    [ "$ratio" = 1 ] || { failed=$((failed + 1)); echo "FAIL a ratio:"; cat "$work/said"; }
    expect 1 "cannot be run" $bench --peer "$work/none"
    expect 1 "there is no such file or folder" bench inference "$work/none"
    expect 0 "qwen3	fledge	1" $bench --sequences 0
    expect 2 "usage: fledge bench inference MODEL" bench inference
}

broken truncated
head -c 3000 "$golden/qwen3/model.safetensors" >"$work/truncated/model.safetensors"
expect 1 "truncated" inspect "$work/truncated"
expect 1 "truncated" convert "$work/truncated" --out "$work/out"
[ -e "$work/out" ] && { failed=$((failed + 1)); echo "FAIL a failed convert left $work/out"; }

broken empty
: >"$work/empty/model.safetensors"
expect 1 "too short for a safetensors file" inspect "$work/empty"

broken garbage
head -c 4096 "$fledge" >"$work/garbage/model.safetensors"
expect 1 "header" inspect "$work/garbage"

broken noweights
rm "$work/noweights/model.safetensors"
expect 1 "neither model.safetensors nor model.safetensors.index.json is there" inspect "$work/noweights"

broken noconfig
rm "$work/noconfig/config.json"
expect 1 "neither a model folder (no config.json) nor a run" inspect "$work/noconfig"

broken mismatch
cp "$golden/llama/config.json" "$work/mismatch/config.json"
expect 1 "config.json makes it" inspect "$work/mismatch"

broken nan
# The last two bytes are a bf16 weight; 0x7fc0 is not a number.
size=$(wc -c <"$work/nan/model.safetensors")
printf '\300\177' | dd of="$work/nan/model.safetensors" bs=1 seek=$((size - 2)) conv=notrunc 2>/dev/null
expect 0 "qwen3" inspect "$work/nan"
expect 1 "1 NaN and 0 infinite numbers, the first in row" inspect "$work/nan" --check
expect 1 "verdict          wrong: 1 problems" inspect "$work/nan" --check
expect 1 '"sound": false' inspect "$work/nan" --check --json

expect 2 "--out PATH" convert "$golden/qwen3"
expect 2 "--dtype q4" convert "$golden/qwen3" --dtype q4 --out "$work/x"
expect 1 "llama.cpp's qwen3 has no sliding_window" convert "$golden/qwen3_window" --to gguf --out "$work/x"
expect 0 "Hugging Face folder, bf16" convert "$golden/gpt2" --out "$work/hf"
same "$work/hf/model.safetensors" "$golden/gpt2/model.safetensors"
expect 0 "GGUF, f16" convert "$golden/gpt2" --dtype f16 --out "$work/tiny.gguf"
expect 0 "transformer" inspect "$golden/gpt2" --tensors
expect 0 "general.architecture                       string \"gpt2\"" inspect "$work/tiny.gguf" --metadata
expect 0 "blk.1.ffn_up.weight" inspect "$work/tiny.gguf" --all
expect 0 "verdict          sound" inspect "$work/tiny.gguf" --check
expect 0 '"format": "gguf"' convert "$golden/gpt2" --to gguf --json --out "$work/again"
chat=$2/tests/data/chat
expect 0 "GGUF, f16" convert "$chat" --dtype f16 --out "$work/chat.gguf"
expect 0 "vocabulary  259 ids" tokenizer inspect "$work/chat.gguf"
"$fledge" tokenizer encode "$chat" "The cat <|im_end|>" >"$work/want"
"$fledge" tokenizer encode "$work/chat.gguf" "The cat <|im_end|>" >"$work/ids"
same "$work/ids" "$work/want"
# And back: a folder whose tokens, chat template and text are those of the file and of the folder it came from.
hi='[{"role": "user", "content": "Hi"}]'
expect 0 "Hugging Face folder, f16" convert "$work/chat.gguf" --to hf --out "$work/back"
"$fledge" prompt "$chat" "$hi" >"$work/want-prompt"
"$fledge" generate "$work/chat.gguf" Hi --compute f32 --temperature 0 --max-tokens 20 --quiet >"$work/want-text"
for from in chat.gguf back; do
    "$fledge" prompt "$work/$from" "$hi" >"$work/prompt"
    same "$work/prompt" "$work/want-prompt"
    "$fledge" tokenizer encode "$work/$from" "The cat <|im_end|>" >"$work/ids"
    same "$work/ids" "$work/want"
    "$fledge" generate "$work/$from" Hi --compute f32 --temperature 0 --max-tokens 20 --quiet >"$work/text"
    same "$work/text" "$work/want-text"
done
grep -q '"rms_norm_eps": 1e-06' "$work/back/config.json" || { failed=$((failed + 1)); echo "FAIL epsilon is not as it was"; }
# Every token that ends a text goes along.
cp -r "$chat" "$work/ends"
echo '{"eos_token_id": [256, 65]}' >"$work/ends/generation_config.json"
expect 0 "GGUF" convert "$work/ends" --to gguf --out "$work/ends.gguf"
expect 0 "Hugging Face folder" convert "$work/ends.gguf" --to hf --out "$work/ends-back"
tr -d ' \n' <"$work/ends-back/generation_config.json" | grep -q '"eos_token_id":\[256,65\]' ||
    { failed=$((failed + 1)); echo "FAIL the ends are not as they were"; }
: >"$work/empty.gguf"
expect 1 "the file is empty" tokenizer inspect "$work/empty.gguf"
expect 0 "| q4_k | 4.5 | 256 | GGUF | read and written |" formats
expect 0 "| iq1_s | 1.5625 | 256 | GGUF | read |" formats
expect 0 '"format": "mxfp4", "ggml": 39' formats --json
# Over itself: weights are mapped from the file that is replaced.
broken itself
expect 0 "Hugging Face folder, f32" convert "$work/itself" --dtype f32 --out "$work/itself"
expect 0 "Hugging Face folder, bf16" convert "$work/itself" --dtype bf16 --out "$work/itself"
same "$work/itself/model.safetensors" "$golden/qwen3/model.safetensors"

echo "$checks checks, $failed failed"
[ $failed -eq 0 ]
