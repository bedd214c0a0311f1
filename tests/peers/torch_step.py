#!/usr/bin/env python3
"""Time GPT-2 training steps in torch, the peer of `fledge bench step`.

    python tests/peers/torch_step.py --shape gpt2-t256 --mode bf16 [--compile] [--steps 5]

Prints one tab-separated line: shape, mode, seconds a step (median), tokens/s, peak memory in MiB.
The step is forward, backward, gradient clipping and fused AdamW on random tokens, as in nanoGPT.
"Tuned" is the environment the caller sets: see tests/peers/step_compare.sh."""
import argparse, os, resource, statistics, time
import torch
import torch.nn as nn
import torch.nn.functional as F

SHAPES = {  # layers, width, heads, vocabulary, batch, length
    "small":      (6, 384, 6, 4096, 16, 256),
    "gpt2-t256":  (12, 768, 12, 50257, 4, 256),
    "gpt2-t1024": (12, 768, 12, 50257, 4, 1024),
}


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.c_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (t.view(B, T, self.heads, -1).transpose(1, 2) for t in self.c_attn(self.ln_1(x)).split(C, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).reshape(B, T, C))
        return x + self.c_out(F.gelu(self.c_fc(self.ln_2(x)), approximate="tanh"))


class GPT2(nn.Module):
    def __init__(self, layers, width, heads, vocab, length):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocab, width), nn.Embedding(length, width)
        self.h = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)
        for p in self.parameters():
            nn.init.normal_(p, std=0.02) if p.dim() == 2 else None

    def forward(self, ids, targets):
        x = self.wte(ids) + self.wpe(torch.arange(ids.shape[1]))
        for block in self.h:
            x = block(x)
        logits = F.linear(self.ln_f(x), self.wte.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--shape", choices=SHAPES, required=True)
    ap.add_argument("--mode", choices=["f32", "bf16"], default="bf16")
    ap.add_argument("--compile", action="store_true")
    ap.add_argument("--steps", type=int, default=5)
    ap.add_argument("--threads", type=int, default=2)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(1)
    layers, width, heads, vocab, B, T = SHAPES[a.shape]
    model = GPT2(layers, width, heads, vocab, T)
    opt = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.1, fused=True)
    run = torch.compile(model) if a.compile else model
    ids, targets = (torch.randint(vocab, (B, T)) for _ in range(2))
    times = []
    for _ in range(a.steps + 2):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=a.mode == "bf16"):
            loss = run(ids, targets)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        times.append(time.perf_counter() - start)
    median = statistics.median(times[2:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    name = a.mode + ("+compile" if a.compile else "") + ("+tuned" if "MALLOC_TOP_PAD_" in os.environ else "")
    print(f"torch-{torch.__version__}\t{a.shape}\t{name}\t{median:.4f}\t{B * T / median:.0f}\t{peak}", flush=True)


main()
