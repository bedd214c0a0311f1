#!/usr/bin/env python3
"""Whoever shares a batch, and on however many threads: a text's bytes, and its log-probabilities, are the same.

    python tests/peers/batches.py build/release/fledge MODEL TEXT

Fifty prompts out of TEXT, of 1 to 80 words, some of which begin alike, are asked for 24 tokens at temperature 0.8: each
alone on one thread and on two, then all in random order with 3, 8, 17 and 50 of them at once.
"""
import json
import random
import subprocess
import sys
import tempfile

FLEDGE, MODEL, TEXT = sys.argv[1:4]
HOW = ["-n", "24", "--seed", "4", "--temperature", "0.8", "--logprobs", "2", "--json", "-q"]
TOGETHER = [(1, 3), (2, 8), (2, 17), (1, 50)]  # threads, texts at once
failed = 0


def make_prompts(rng):
    words = open(TEXT, encoding="utf-8").read().split()
    starts = [rng.randrange(len(words) - 80) for _ in range(50)]
    prompts = [" ".join(words[at:at + rng.choice([1, 2, 5, 12, 30, 80])]) for at in starts]
    prompts[7] = f"{prompts[3]} {prompts[7]}"
    prompts[9] = prompts[3]
    return prompts


def generate(*words):
    out = subprocess.run([FLEDGE, "generate", MODEL, *map(str, words), *HOW], check=True, stdout=subprocess.PIPE).stdout
    return [json.loads(line) for line in out.splitlines()]


def said(answer):
    """All but what a clock and a file's order say."""
    kept = {k: v for k, v in answer.items() if not k.endswith("seconds") and k not in ("index", "prompt")}
    return json.dumps(kept, sort_keys=True)


def report(what, n, differ):
    global failed
    failed += len(differ)
    print(f"{what}: {n} texts, {len(differ)} differ {differ[:3] or ''}", flush=True)


def main():
    rng = random.Random(5)
    prompts = make_prompts(rng)
    alone = {p: said(generate("-t", 1, p)[0]) for p in prompts}
    report("alone, 2 threads", len(prompts), [p for p in prompts if said(generate("-t", 2, p)[0]) != alone[p]])
    for threads, parallel in TOGETHER:
        rng.shuffle(prompts)
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as f:
            f.writelines(json.dumps({"prompt": p}) + "\n" for p in prompts)
            f.flush()
            rows = generate("-t", threads, "--prompts", f.name, "--parallel", parallel)
        report(f"{parallel} at once, threads {threads}", len(rows),
               [r["prompt"] for r in rows if said(r) != alone[r["prompt"]]])
    sys.exit(failed != 0)


main()
