#!/bin/sh
# test_tables - the tables in README.md and docs/ are what the program says of itself.
# Usage: test_tables.sh FLEDGE SOURCES
command -v python3 >/dev/null || { echo "SKIP tables: no python3"; exit 0; }
exec python3 "$2/tools/tables.py" "$1" --check
