#!/usr/bin/env python3
"""Goldens of src/train: what torch's AdamW and the published Muon make of the tiny models of model_goldens.py.

    python tests/peers/train_goldens.py            # writes tests/data/golden/train.safetensors

adamw.NAME.tokens (20, 2, 25) and adamw.NAME.losses (20), .norms (20): twenty steps with clipping, decay on hidden
matrices only, warm-up and cosine; lora_qwen3 trains that adapter alone. muon.f32.NAME, muon.bf16.NAME: what three steps of Muon without decay subtract from a
matrix of qwen3, at learning rate 1, when step t's gradient is grad[i] cos(0.37 t i).

Muon is restated here from its publication (github.com/KellerJordan/Muon): momentum by lerp, Nesterov, five
Newton-Schulz steps, scale max(1, rows / cols)^0.5."""
import math
import pathlib

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "golden"
STEPS, B, T = 20, 2, 24
LR, WARMUP, FINAL, CLIP, DECAY = 3e-3, 4, 0.1, 1.0, 0.1
MATRICES = ["q_proj", "k_proj", "o_proj", "gate_proj", "down_proj", "c_attn", "c_proj", "c_fc", "up_proj", "v_proj"]


def factor(step):
    if step < WARMUP:
        return (step + 1) / (WARMUP + 1)
    p = (step - WARMUP) / (STEPS - WARMUP)
    return FINAL + (1 - FINAL) * 0.5 * (1 + math.cos(math.pi * p))


def is_matrix(name, p):
    return p.dim() == 2 and any(m in name for m in MATRICES)


def load(name):
    base = "qwen3" if name == "lora_qwen3" else name
    model = AutoModelForCausalLM.from_pretrained(OUT / base, dtype=torch.float32, attn_implementation="eager")
    return model if name == base else PeftModel.from_pretrained(model, OUT / name, is_trainable=True)


def adamw(name, out):
    model = load(name)
    gen = torch.Generator().manual_seed(7)
    tokens = torch.randint(0, 96, (2, B, T + 1), generator=gen).repeat(STEPS // 2, 1, 1)  # two batches, learnt by heart
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [dict(params=[p for n, p in trained if is_matrix(n, p)], weight_decay=DECAY),
              dict(params=[p for n, p in trained if not is_matrix(n, p)], weight_decay=0.0)]
    opt = torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.95), eps=1e-8)
    losses, norms = [], []
    for step in range(STEPS):
        for g in opt.param_groups:
            g["lr"] = LR * factor(step)
        logits = model(tokens[step, :, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.reshape(B * T, -1), tokens[step, :, 1:].reshape(-1))
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_([p for _, p in trained], CLIP).item())
        opt.step()
        opt.zero_grad()
        losses.append(loss.item())
    out[f"adamw.{name}.tokens"] = tokens.int()
    out[f"adamw.{name}.losses"] = torch.tensor(losses)
    out[f"adamw.{name}.norms"] = torch.tensor(norms)
    print(name, " ".join(f"{x:.4f}" for x in losses))


def newton_schulz(g, dtype):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.to(dtype)
    tall = g.size(0) > g.size(1)
    if tall:
        x = x.T
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        A = x @ x.T
        x = a * x + (b * A + c * A @ A) @ x
    return (x.T if tall else x).float()


def muon(g0, dtype):
    momentum, moved = torch.zeros_like(g0), torch.zeros_like(g0)
    i = torch.arange(g0.numel(), dtype=torch.float64)
    for t in range(3):
        g = (g0.double() * torch.cos(0.37 * t * i).reshape(g0.shape)).float()
        momentum.lerp_(g, 1 - 0.95)
        u = g.lerp(momentum, 0.95)
        moved += newton_schulz(u, dtype) * max(1, g0.size(0) / g0.size(1)) ** 0.5
    return moved


def main():
    torch.set_num_threads(1)
    out = {}
    for name in ["qwen3", "gpt2", "lora_qwen3"]:
        adamw(name, out)
    golden = load_file(OUT / "qwen3" / "golden.safetensors")
    for part in ["self_attn.q_proj", "self_attn.k_proj", "mlp.gate_proj", "mlp.down_proj"]:
        name = f"model.layers.0.{part}.weight"
        out[f"muon.f32.{name}"] = muon(golden[f"grad.{name}"], torch.float32)
        out[f"muon.bf16.{name}"] = muon(golden[f"grad.{name}"], torch.bfloat16)
    save_file(out, OUT / "train.safetensors")


main()
