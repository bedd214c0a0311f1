#!/bin/sh
# fuzz - run every fuzzer (or NAME) for SECONDS (60) over its kept corpus, under ASan and UBSan. Needs clang.
# Usage: tools/fuzz.sh [SECONDS [fuzz_NAME]]
# What it finds to be new goes to build/fuzz/found/NAME; a crash stops it.
set -eu
seconds=${1:-60}
cd "$(dirname "$0")/.."
cmake --preset fuzz >/dev/null
names=${2:-$(ls tests/fuzz/fuzz_*.c | sed 's|.*/\(.*\)\.c|\1|')}
# shellcheck disable=SC2086 # a list
cmake --build build/fuzz --target $names
for name in $names; do
    found=build/fuzz/found/${name#fuzz_}
    mkdir -p "$found"
    echo "== $name, $seconds s"
    build/fuzz/"$name" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -verbosity=0 "$found" "tests/fuzz/corpus/${name#fuzz_}"
done
