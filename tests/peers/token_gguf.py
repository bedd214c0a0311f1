#!/usr/bin/env python3
"""Tokenizers that Fledge writes to GGUF, read by llama.cpp: the same ids for a text of many scripts?

    python tests/peers/token_gguf.py build/release/fledge LLAMA_BIN TEXT TOKENIZER..

A TOKENIZER is a tokenizer.json or a folder with one; a model of a few weights is put around it, `fledge convert` makes a
GGUF file and, from that, a folder again, and LLAMA_BIN/llama-tokenize must give the ids that `fledge tokenizer encode`
gives for all three.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import save_file

FLEDGE, LLAMA, TEXT = sys.argv[1:4]
WIDTH = 8


def write_model(folder, vocab):
    shapes = {"model.embed_tokens": (vocab, WIDTH), "model.layers.0.mlp.down_proj": (WIDTH, 16), "model.norm": (WIDTH,)}
    shapes |= {f"model.layers.0.self_attn.{p}_proj": (WIDTH, WIDTH) for p in "qkvo"}
    shapes |= {f"model.layers.0.mlp.{p}_proj": (16, WIDTH) for p in ["gate", "up"]}
    shapes |= {f"model.layers.0.{p}_layernorm": (WIDTH,) for p in ["input", "post_attention"]}
    save_file({f"{k}.weight": np.zeros(v, np.float16) for k, v in shapes.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(dict(
        architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=vocab, hidden_size=WIDTH, intermediate_size=16,
        num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1, max_position_embeddings=64, rms_norm_eps=1e-5,
        tie_word_embeddings=True, hidden_act="silu")))


def vocab_size(path):
    v = json.loads(path.read_text())
    entries = v["model"]["vocab"]
    ids = list(entries.values()) if isinstance(entries, dict) else [len(entries) - 1]
    return max(ids + [t["id"] for t in v.get("added_tokens", [])]) + 1


def run(*words):
    return subprocess.run([str(w) for w in words], check=True, stdout=subprocess.PIPE, text=True).stdout


def ours(model):
    return [int(x) for x in run(FLEDGE, "tokenizer", "encode", model, "--file", TEXT, "--quiet").split()]


def main():
    bad = 0
    for source in map(pathlib.Path, sys.argv[4:]):
        with tempfile.TemporaryDirectory() as work:
            folder, gguf, back = (pathlib.Path(work) / n for n in ["hf", "m.gguf", "back"])
            folder.mkdir()
            for f in [source] if source.is_file() else source.glob("token*"):
                shutil.copy(f, folder / ("tokenizer.json" if source.is_file() else f.name))
            write_model(folder, vocab_size(folder / "tokenizer.json"))
            run(FLEDGE, "convert", folder, "--out", gguf, "--quiet")
            run(FLEDGE, "convert", gguf, "--out", back, "--quiet")
            said = run(f"{LLAMA}/llama-tokenize", "-m", gguf, "-f", TEXT, "--ids", "--no-bos", "--log-disable",
                       "--no-parse-special")
            theirs = json.loads(said[said.rindex("["):])
            a, b, c = ours(folder), ours(gguf), ours(back)
            at = next((i for i, (x, y) in enumerate(zip(a, theirs)) if x != y), min(len(a), len(theirs)))
            ok = a == theirs and a == b and a == c
            bad += not ok
            print(f"{'ok  ' if ok else 'FAIL'} {source.name}: {len(a)} ids; llama.cpp {a == theirs}, from GGUF {a == b}, "
                  f"from a folder again {a == c}" + ("" if ok else f"; {at}: {a[at:at+6]} {theirs[at:at+6]}"))
    sys.exit(bad > 0)


main()
