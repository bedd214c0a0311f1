#!/usr/bin/env python3
"""Make data/tales.jsonl and data/tales-heldout.txt from a children.jsonl with fields title, author, text (public domain books).

    python3 tools/make_tales.py children.jsonl data/ && zstd -19 --rm data/tales*.jsonl data/tales*.txt

Drops each book's title block and zero-width characters, nothing else. Two whole books are held out; neither
shares a story with the others."""
import json, pathlib, re, sys

HELD_OUT = {"The Happy Prince & Other Tales", "The Princess and the Goblin"}
source, target = sys.argv[1], pathlib.Path(sys.argv[2])
books = open(target / "tales.jsonl", "w")
held_out = open(target / "tales-heldout.txt", "w")
for line in open(source):
    book = json.loads(line)
    text = re.sub(r"\ATitle: .*?\n-------\n", "", book["text"], flags=re.S)
    text = re.sub("[\u200b\u2060]", "", text).strip() + "\n"
    if book["title"] in HELD_OUT:
        held_out.write(text)
        continue
    row = {"title": book["title"], "author": book["author"], "text": text}
    books.write(json.dumps(row, ensure_ascii=False) + "\n")
