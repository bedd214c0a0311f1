#!/bin/sh
# The main job on real text, start to finish: a folder of books becomes a language model.
# Usage: tools/demo.sh PATH-OF-FLEDGE [BUDGET]       (make demo does all of it)
set -eu
fledge=$1
budget=${2:-4m}
here=$(cd "$(dirname "$0")/.." && pwd)
text=$here/data/tales.jsonl.zst
heldout=$here/data/tales-heldout.txt.zst
run=runs/tales

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
number() { sed -n "s/.*\"$1\": *\([0-9]*\.[0-9]\{3\}\).*/\1/p" | head -n 1; }
bits() { awk -v out="$1" -v raw="$2" 'BEGIN { printf "%.3f", 8 * out / raw }'; }

say "1. Train: tokenizer and model from 30 children's books, $budget on this machine"
rm -rf "$run"
"$fledge" train "$text" --val "$heldout" --budget "$budget" --out "$run" --sample-prompt "Once upon a time"

say "2. Compare: how many bits does each byte of two unseen books cost?"
raw=$(zstd -dc "$heldout" | wc -c)
zstd19=$(zstd -dc "$heldout" | zstd -19 -c | wc -c)
xz9=$(zstd -dc "$heldout" | xz -9e -c | wc -c)
model=$("$fledge" eval perplexity "$run" "$heldout" --json | number bits_per_byte)
bigram=$("$fledge" eval bigram "$run" "$heldout" --train "$text" --json | number bits_per_byte)
printf '  %-34s %s\n' "zstd -19" "$(bits "$zstd19" "$raw")" "xz -9e" "$(bits "$xz9" "$raw")" \
    "bigram model, same tokens" "$bigram" "the model just trained" "$model"

say "3. Write: three beginnings, continued"
for prompt in "Once upon a time there was" "The Princess opened the door and" "\"I never saw a dragon,\" said"; do
    "$fledge" generate "$run" "$prompt" --max-tokens 90 --temperature 0.7 --seed 7 --quiet
    printf '\n  --\n'
done

say "4. Export: the folder opens as it is in transformers and vLLM; for llama.cpp:"
"$fledge" convert "$run" --to gguf --out "$run/tales.gguf"

say "What next"
cat <<EOF
  $fledge generate $run "Alice said"              write more
  $fledge inspect $run                            what is in the model
  xdg-open $run/report.html                       the curves
  $fledge train YOUR-FOLDER --budget 10m          a model of your own text
EOF
