#!/usr/bin/env python3
"""Hold each of Fledge's named templates to the published one it stands for.

    python3 tests/peers/template_named.py CHECK_TEMPLATE NAME=PUBLISHED.jinja ...
    python3 tests/peers/template_named.py --write NAME=PUBLISHED.jinja ...     a few of them, to tests/data/template
Every conversation of plain text and ordinary roles that transformers renders with the published template must come out of the named one.
Templates of the collection chujiezheng/chat_templates are written over several lines, which its README says to join
first; PUBLISHED may be "joined:FILE" for that.
"""
import json, pathlib, subprocess, sys, tempfile

from template_conversations import MESSAGES, SPECIALS
from template_peer import case

ADDED = {"many": [m for i in range(4) for m in ({"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"a{i}\n"})] + [{"role": "user", "content": "end"}]}


KEPT = ["user True", "turns False", "turns True", "many True", "unicode False"]


def conversations():
    for name, messages in {**MESSAGES, **ADDED}.items():
        # Other roles, published templates leave out without a word, or name; ours refuse them.
        ordinary = all(m["role"] in ("user", "assistant") for m in messages[1:]) and "odd" not in name
        if ordinary and all(isinstance(m.get("content"), str) for m in messages):
            for ask in (False, True):
                yield f"{name} {ask}", {"messages": messages, "variables": SPECIALS, "add_generation_prompt": ask}


def source_of(path):
    joined = path.startswith("joined:")
    text = pathlib.Path(path.removeprefix("joined:")).read_text()
    return text.replace("    ", "").replace("\n", "") if joined else text


def main():
    given, rows = dict(conversations()), []
    for pair in sys.argv[2:]:
        name, path = pair.split("=", 1)
        found = [case(source_of(path), c, named=name, conversation=key) for key, c in given.items()]
        found = [row for row in found if "want" in row]
        print(f"{name}: {len(found)} conversations of {path.rsplit('/', 1)[-1]}")
        rows += found
    for row in rows:
        row.pop("assistant", None)
    if sys.argv[1] == "--write":
        rows = [row for row in rows if row["conversation"] in KEPT]
        data = {"conversations": {key: given[key] for key in KEPT}, "cases": rows}
        path = pathlib.Path(__file__).resolve().parent.parent / "data" / "template" / "named.json"
        return path.write_text(json.dumps(data, ensure_ascii=False, indent=0) + "\n") and 0
    with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
        json.dump({"conversations": given, "cases": rows}, f, ensure_ascii=False)
        f.flush()
        done = subprocess.run([sys.argv[1], f.name], capture_output=True, text=True)
    print(done.stdout[-6000:])
    return done.returncode


sys.exit(main())
