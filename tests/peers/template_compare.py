#!/usr/bin/env python3
"""Render every template found with transformers and with Fledge, over many conversations.

    python3 tests/peers/template_compare.py CHECK_TEMPLATE PATH...
CHECK_TEMPLATE is the test program; a PATH is a .jinja file, a tokenizer_config.json, a GGUF file, or a folder of
such. Prints a line per template, and the differences; exit status 1 if there is any.
"""
import json, pathlib, subprocess, sys, tempfile

from template_conversations import CONVERSATIONS
from template_peer import case


def from_config(path):
    found = json.loads(path.read_text()).get("chat_template")
    if isinstance(found, str):
        yield str(path), found
    for t in found if isinstance(found, list) else []:
        yield f"{path}:{t['name']}", t["template"]


def from_gguf(path):
    import gguf
    for name, field in gguf.GGUFReader(path).fields.items():
        if name.startswith("tokenizer.chat_template") and len(field.data) == 1:
            yield f"{path}:{name}", bytes(field.parts[field.data[0]]).decode()


def templates(paths):
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            yield from templates(sorted(p for p in path.rglob("*") if p.is_file()))
        elif path.suffix == ".jinja":
            yield str(path), path.read_text()
        elif path.name.endswith("tokenizer_config.json"):
            yield from from_config(path)
        elif path.suffix == ".gguf":
            yield from from_gguf(path)


def main():
    program, failed, total = sys.argv[1], 0, 0
    for name, source in templates(sys.argv[2:]):
        rows = [case(source, c, source=source, conversation=key) for key, c in CONVERSATIONS.items()]
        # Ours lets a template change its own lists, which transformers' sandbox does not.
        rows = [row for row in rows if "SecurityError" not in row.get("error", "")]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as f:
            json.dump({"conversations": CONVERSATIONS, "cases": rows}, f, ensure_ascii=False)
            f.flush()
            done = subprocess.run([program, f.name], capture_output=True, text=True)
        texts = sum("want" in row for row in rows)
        total += len(rows)
        failed += done.returncode != 0
        print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {texts:3} texts {len(rows) - texts:3} errors  {name}", flush=True)
        if done.returncode:
            print(done.stdout[:3000])
    print(f"{total} renderings, {failed} templates differ")
    return 1 if failed or not total else 0


sys.exit(main())
