#!/usr/bin/env python3
"""The tables that the program makes from its rows, put where pages mark them.

    tools/tables.py FLEDGE           rewrite the regions
    tools/tables.py FLEDGE --check   fail where a region is not what the program says

A page marks a region by the command that makes it:

    <!-- fledge architectures -->
    ...
    <!-- end -->
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
REGION = re.compile(r"(<!-- fledge (architectures|formats) -->\n)(.*?)(<!-- end -->)", re.S)
WANTED = {"architectures", "formats"}  # of docs/models.md


def main():
    fledge, check = sys.argv[1], "--check" in sys.argv
    made = {name: subprocess.run([fledge, name], check=True, capture_output=True, text=True).stdout for name in WANTED}
    stale, seen = [], set()
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        text = page.read_text()
        if page.name == "models.md":
            seen = {m[2] for m in REGION.finditer(text)}
        fresh = REGION.sub(lambda m: m[1] + made[m[2]] + m[4], text)
        if fresh == text:
            continue
        stale.append(str(page.relative_to(ROOT)))
        if not check:
            page.write_text(fresh)
    for name in sorted(WANTED - seen):
        print(f"docs/models.md has no region <!-- fledge {name} -->")
    for page in stale:
        print(f"{page}: {'is not what the program says; run tools/tables.py' if check else 'rewritten'}")
    sys.exit(bool(WANTED - seen or (check and stale)))


if __name__ == "__main__":
    main()
