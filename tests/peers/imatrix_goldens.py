#!/usr/bin/env python3
"""Goldens of importance matrices: what llama-imatrix makes of a tiny model with experts and a text.

    python tests/peers/imatrix_goldens.py build/release/fledge LLAMA_BIN    # writes tests/data/format/imatrix*

The model is Qwen3-MoE's architecture with random weights and the tokenizer of tests/data/chat, made by transformers and
written to GGUF in f16 by `fledge convert`. LLAMA_BIN/llama-imatrix writes both kinds of file. It rounds what it
multiplies by f16 weights, so that some tokens go to another expert; therefore it is given the same weights as f32, and
keeps keys and values in f32. check_quantize.c reads both, and makes a matrix of its own from the f16 model and the text.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

FLEDGE, LLAMA = (pathlib.Path(p).resolve() for p in sys.argv[1:])
DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
CONTEXT = 32


def main():
    torch.manual_seed(5)
    config = Qwen3MoeConfig(vocab_size=259, hidden_size=32, intermediate_size=48, num_hidden_layers=2, head_dim=16,
                            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64, num_experts=4,
                            num_experts_per_tok=2, moe_intermediate_size=24, norm_topk_prob=True, initializer_range=0.2,
                            tie_word_embeddings=True, bos_token_id=None, eos_token_id=256, pad_token_id=None)
    out = DATA / "format"
    text = out / "imatrix.txt"
    text.write_text("".join(chr(33 + (7 * i + i * i // 11) % 90) + " " * (i % 5 == 0) for i in range(150)))
    with tempfile.TemporaryDirectory() as work:
        model = pathlib.Path(work) / "tiny"
        Qwen3MoeForCausalLM(config).save_pretrained(model)
        for name in ["tokenizer.json", "tokenizer_config.json"]:
            shutil.copy(DATA / "chat" / name, model)
        wide, kept = pathlib.Path(work) / "wide.gguf", out / "imatrix_model.gguf"
        subprocess.run([FLEDGE, "convert", model, "--dtype", "f16", "--out", kept], check=True)
        subprocess.run([FLEDGE, "convert", kept, "--dtype", "f32", "--out", wide], check=True)
        for kind in ["gguf", "dat"]:  # the files name the text: relative, so that they are the same everywhere
            subprocess.run([f"{LLAMA}/llama-imatrix", "-m", wide, "-f", text.name, "-c", str(CONTEXT), "-b",
                            str(CONTEXT), "-t", "1", "-ctk", "f32", "-ctv", "f32", "-fa", "off", "-o", f"imatrix.{kind}",
                            "--output-format", kind], check=True, cwd=out)


main()
