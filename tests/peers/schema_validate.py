# What check_schema wrote, judged by the jsonschema package (formats included): check_schema FILE, then this FILE.
import json, sys
import jsonschema

checker = jsonschema.Draft202012Validator.FORMAT_CHECKER  # times need the package rfc3339-validator
assert "date-time" in checker.checkers and "time" in checker.checkers
good = bad = 0
for line in open(sys.argv[1], encoding="utf-8"):
    row = json.loads(line)
    try:
        jsonschema.Draft202012Validator(row["schema"], format_checker=checker).validate(json.loads(row["text"]))
        good += 1
    except Exception as e:
        bad += 1
        print(json.dumps(row["schema"])[:400], "\n", row["text"][:400], "\n", str(e)[:300])
print(f"{good} valid, {bad} not")
sys.exit(bad > 0 or good == 0)
