#!/usr/bin/env python3
"""A tokenizer saved by Fledge, opened by transformers' AutoTokenizer, gives the same ids.

    python3 tests/peers/token_transformers.py BENCH_TOKEN TEXT.txt
Trains one per pattern on the text, and compares ids of the committed cases and of the text.
"""
import pathlib, struct, subprocess, sys, tempfile
from transformers import AutoTokenizer

program, text = sys.argv[1], pathlib.Path(sys.argv[2]).read_bytes()
cases = (pathlib.Path(__file__).parents[1] / "data/token/cases.txt").read_bytes().split(b"\x1e") + [text]


def pack(docs, path):
    path.write_bytes(b"".join(struct.pack("<I", len(d)) + d for d in docs))


wrong = 0
with tempfile.TemporaryDirectory() as d:
    d = pathlib.Path(d)
    pack([text], d / "text")
    pack(cases, d / "cases")
    for pattern in ("gpt2", "cl100k", "llama3", "qwen2", "nanochat", "o200k", r"\p{L}+|\s+|\d"):
        subprocess.run([program, "train", d / "text", "1000", pattern, d / "out"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([program, "encode", d / "out", d / "cases", d / "ids"], check=True, stdout=subprocess.DEVNULL)
        t = AutoTokenizer.from_pretrained(d / "out")
        data, at, differ = (d / "ids").read_bytes(), 0, 0
        for c in cases:
            n = struct.unpack_from("<I", data, at)[0]
            ours = list(struct.unpack_from(f"<{n}i", data, at + 4))
            at += 4 + 4 * n
            theirs = t.encode(c.decode(), add_special_tokens=False)
            differ += theirs != ours or t.decode(ours) != c.decode()
        print(f"{pattern}\t{type(t).__name__}\t{len(cases)} texts\t{differ} differ\teos {t.eos_token}")
        wrong += differ
sys.exit(wrong != 0)
