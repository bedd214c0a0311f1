#!/usr/bin/env python3
"""Golden of a folder whose experts are in MXFP4, as gpt-oss is published.

    python tests/peers/mxfp4_goldens.py         # writes tests/data/golden/gpt_oss_mxfp4/

A tiny random model whose experts are random blocks and scales; golden.safetensors has tokens, the logits of transformers'
model over what its own convert_moe_packed_tensors makes of them, and those matrices under their dense names.
"""
import pathlib
import shutil

import torch
from safetensors.torch import save_file
from transformers import GptOssConfig, GptOssForCausalLM
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "golden" / "gpt_oss_mxfp4"
T, E, C, F = 20, 3, 64, 32
CONFIG = GptOssConfig(
    vocab_size=48, hidden_size=C, intermediate_size=F, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
    head_dim=16, num_local_experts=E, num_experts_per_tok=2, sliding_window=7, max_position_embeddings=64, bos_token_id=1,
    eos_token_id=None, pad_token_id=None, attn_implementation="eager")


def blocks_of(gen, rows, cols):
    return (torch.randint(0, 256, (E, rows, cols // 32, 16), generator=gen, dtype=torch.uint8),
            torch.randint(121, 126, (E, rows, cols // 32), generator=gen, dtype=torch.uint8))


def main():
    gen = torch.Generator().manual_seed(7)
    model = GptOssForCausalLM(CONFIG).float().eval()
    shutil.rmtree(OUT, ignore_errors=True)
    stored, golden = {}, {}
    with torch.no_grad():
        for name, p in sorted(dict(model.named_parameters()).items()):
            if name.endswith("gate_up_proj") or name.endswith("down_proj"):
                blocks, scales = blocks_of(gen, *((2 * F, C) if "gate" in name else (C, F)))
                p.copy_(convert_moe_packed_tensors(blocks, scales, dtype=torch.bfloat16).float())
                stored[name + "_blocks"], stored[name + "_scales"] = blocks, scales
                golden[name] = p.detach().bfloat16()
                continue
            mean = 1.0 if "norm" in name else 0.0
            p.copy_((mean + 0.15 * torch.randn(p.shape, generator=gen)).bfloat16().float())
            stored[name] = p.detach().bfloat16()
        tokens = torch.randint(0, CONFIG.vocab_size, (1, T), generator=gen)
        golden |= {"tokens": tokens.int(), "logits": model(tokens).logits}
    CONFIG.quantization_config = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    CONFIG.save_pretrained(OUT)
    save_file({k: v.contiguous() for k, v in stored.items()}, OUT / "model.safetensors")
    save_file({k: v.contiguous() for k, v in golden.items()}, OUT / "golden.safetensors")
    for path in OUT.iterdir():
        path.chmod(0o644)


main()
