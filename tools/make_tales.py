#!/usr/bin/env python3
"""Make data/tales*.jsonl from a children.jsonl with fields title, author, text (public domain books).

    python3 tools/make_tales.py children.jsonl data/ && zstd -19 --rm data/tales*.jsonl

Drops each book's title block and zero-width characters, nothing else. Two whole books are held out; neither
shares a story with the others."""
import json, pathlib, re, sys

HELD_OUT = {"The Happy Prince & Other Tales", "The Princess and the Goblin"}
source, target = sys.argv[1], pathlib.Path(sys.argv[2])
files = {name: open(target / f"{name}.jsonl", "w") for name in ("tales", "tales-heldout")}
for line in open(source):
    book = json.loads(line)
    text = re.sub(r"\ATitle: .*?\n-------\n", "", book["text"], flags=re.S)
    text = re.sub("[\u200b\u2060]", "", text).strip() + "\n"
    row = {"title": book["title"], "author": book["author"], "text": text}
    name = "tales-heldout" if book["title"] in HELD_OUT else "tales"
    files[name].write(json.dumps(row, ensure_ascii=False) + "\n")
