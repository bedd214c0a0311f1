#!/bin/sh
# test_quantize - fledge quantize: what it prints, what it refuses, and that what it wrote opens.
# Usage: test_quantize.sh FLEDGE SOURCES
fledge=$1 data=$2/tests/data checks=0 failed=0
. "$(dirname "$0")/expect.sh"

out=$work/out.gguf model=$data/format/imatrix_model.gguf

expect 2 "--out FILE.gguf" quantize "$model"
expect 2 "there are F32, F16, BF16" quantize "$model" --to Q9_K --out "$out"
expect 2 "expected PART=FORMAT" quantize "$model" --tensor attn_v --out "$out"
expect 2 "no format that can be written" quantize "$model" --tensor attn_v=iq2_xs --out "$out"
expect 2 "no format that can be written" quantize "$model" --tensor attn_v=i8 --out "$out"
expect 2 'no tensor has "attn_w" in its name' quantize "$model" --tensor attn_w=q8_0 --out "$out"
expect 1 "entry 1 is cut or damaged" quantize "$model" --imatrix "$0" --out "$out"
expect 1 "expected imatrix" quantize "$model" --imatrix "$model" --out "$out"
[ -e "$out" ] && { failed=$((failed + 1)); echo "FAIL a failed quantize left $out"; }

# Rows of 32 and of 24 columns: Q5_0 instead of Q4_K, and F16.
expect 0 "13 of 26 tensors quantized" quantize "$model" --out "$out"
expect 0 "f16       " quantize "$model" --out "$out"
expect 0 "rows that are no whole blocks" quantize "$model" --out "$out"
expect 0 "(by importance)" quantize "$model" --imatrix "$data/format/imatrix.gguf" --out "$out"
expect 0 '"weighted": 12' quantize "$model" --imatrix "$data/format/imatrix.dat" --out "$out" --json
expect 0 "q8_0" inspect "$out"
expect 2 "quantizing twice" quantize "$out" --to Q4_0 --out "$work/twice.gguf"
expect 0 "tensors quantized" quantize "$out" --to Q4_0 --again --out "$work/twice.gguf"
expect 0 "perplexity" quantize "$model" --to Q8_0 --text "$data/format/imatrix.txt" --out "$out"

# An importance matrix of our own, which quantize takes.
expect 0 "16 tensors, from 5 windows of 32 tokens" imatrix "$model" "$data/format/imatrix.txt" --window 32 --out "$work/im.gguf"
expect 0 '"weighted": 12' quantize "$model" --imatrix "$work/im.gguf" --out "$out" --json
expect 2 "want 1 to 64" imatrix "$model" "$data/format/imatrix.txt" --window 65 --out "$work/im.gguf"
expect 2 "--out FILE.gguf" imatrix "$model" "$data/format/imatrix.txt"

# llama-imatrix printed 502.0977 for this (tests/peers/imatrix_goldens.py).
expect 0 "perplexity     502.0" eval perplexity "$model" "$data/format/imatrix.txt" --window 32 --halves --compute f32
expect 0 "tokens scored  30," eval perplexity "$model" "$data/format/imatrix.txt" --window 32 --halves --chunks 2
expect 2 "only with --halves" eval perplexity "$model" "$data/format/imatrix.txt" --chunks 2

# A folder becomes a file on the way, which does not stay.
expect 0 "tensors quantized" quantize "$data/chat" --to Q8_0 --out "$out"
[ -e "$out.whole" ] && { failed=$((failed + 1)); echo "FAIL $out.whole is left"; }
expect 1 "no/such/out.gguf" quantize "$data/chat" --to Q8_0 --out "$work/no/such/out.gguf"

echo "$checks checks, $failed failed"
[ $failed -eq 0 ]
