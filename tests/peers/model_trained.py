#!/usr/bin/env python3
"""A model trained by Fledge, opened by transformers, TensorBoard and llama.cpp.

    LLAMA_CPP_LIB_PATH=... PYTHONPATH=... python tests/peers/model_trained.py build/rel/fledge TEXT [ARCH...]

For each architecture: 100 steps on TEXT, then greedy continuations of several prompts in f32 must be the same tokens in
all, and the log-probabilities of Fledge's tokens those of transformers within 1e-3.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import AutoModelForCausalLM, AutoTokenizer

try:
    import llama_cpp
except ImportError as e:
    llama_cpp = None
    print(f"SKIP llama.cpp: {e}")

FLEDGE, TEXT = sys.argv[1:3]
PROMPTS = ["KING HENRY:\n", "The", "What is the matter in 1603?", " my lord,"]
MORE = 48
failed = 0


def check(ok, what):
    global failed
    failed += not ok
    print(("ok   " if ok else "FAIL ") + what)


def fledge(*words):
    return subprocess.run([FLEDGE, *map(str, words)], check=True, capture_output=True, text=True).stdout


def continued(run, prompt):
    """Ids and log-probabilities of what Fledge adds, likeliest first."""
    out = json.loads(fledge("generate", run, prompt, "--temperature", 0, "--max-tokens", MORE, "--compute", "f32", "--json",
                            "--logprobs", 1, "--ignore-eos", "-q"))
    return [t["id"] for t in out["tokens"]], np.array([t["logprob"] for t in out["tokens"]])


def by_transformers(model, ids):
    """The same of transformers, each token from a whole pass."""
    ids, logprobs = list(ids), []
    with torch.no_grad():
        for _ in range(MORE):
            row = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1], -1)
            ids.append(int(row.argmax()))
            logprobs.append(float(row.max()))
    return ids[-MORE:], np.array(logprobs)


def by_llama_cpp(model, ids):
    model.reset()
    out = []
    for token in model.generate(ids, temp=0.0, repeat_penalty=1.0):
        out.append(token)
        if len(out) == MORE:
            return out


for arch in sys.argv[3:] or ["qwen3", "llama", "gpt2"]:
    with tempfile.TemporaryDirectory() as folder:
        run, path = pathlib.Path(folder) / "run", pathlib.Path(folder) / "model.gguf"
        fledge("train", TEXT, "--arch", arch, "--depth", 3, "--width", 128, "--vocab-size", 600, "--pattern", "qwen2",
               "--seq-len", 128, "--batch-size", 8, "--steps", 100, "--out", run, "-q")
        events = EventAccumulator(str(run))
        events.Reload()
        check(len(events.Tags()["scalars"]) > 0, f"{arch}: TensorBoard reads {len(events.Tags()['scalars'])} curves")
        fledge("convert", run, "--dtype", "f32", "--out", path, "-q")
        model = AutoModelForCausalLM.from_pretrained(run / "latest", dtype=torch.float32).eval()
        tokenizer = AutoTokenizer.from_pretrained(run / "latest")
        other = llama_cpp and llama_cpp.Llama(str(path), n_ctx=128, verbose=False)
        for prompt in PROMPTS:
            ids, logprobs = continued(run, prompt)
            prompt_ids = tokenizer(prompt).input_ids
            want, want_logprobs = by_transformers(model, prompt_ids)
            off = np.abs(logprobs - want_logprobs).max()
            check(ids == want and off < 1e-3, f"{arch}: {prompt!r}: transformers, log-probabilities within {off:.1e}")
            if other:
                check(other.tokenize(prompt.encode(), add_bos=False) == prompt_ids, f"{arch}: {prompt!r}: llama.cpp, prompt")
                check(by_llama_cpp(other, prompt_ids) == ids, f"{arch}: {prompt!r}: llama.cpp, greedy tokens")
print(f"{failed} failed")
sys.exit(failed != 0)
