#!/usr/bin/env python3
"""Write tests/data/template/published.json: the templates beside it, rendered by transformers.

    python3 tests/peers/template_goldens.py
The whole comparison, over templates that are not ours to keep here, is template_compare.py.
"""
import json, pathlib

from template_conversations import CONVERSATIONS
from template_peer import case

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "template"
KEPT = ["user; ask", "turns", "turns; ask", "system only", "empty", "nothing", "unicode; ask", "assistant last", "two users", "parts; ask",
        "inline thought; ask", "answered; two tools; ask", "two calls; two tools; ask", "call text; a tool", "result; two tools; ask",
        "empty tools; ask", "continue reply", "continue spaces", "variables no specials"]


def main():
    rows = []
    for path in sorted(DATA.glob("*.jinja")):
        rows += [case(path.read_text(), CONVERSATIONS[key], file=path.name, conversation=key) for key in KEPT]
    out = {"conversations": {key: CONVERSATIONS[key] for key in KEPT}, "cases": rows}
    (DATA / "published.json").write_text(json.dumps(out, ensure_ascii=False, indent=0) + "\n")


main()
