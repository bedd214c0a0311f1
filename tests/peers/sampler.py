"""Golden values for check_sampler: what transformers' logits processors leave of a row of logits.

Usage: sampler.py OUT.json. Each case: options, history, logits and the surviving ids, likeliest first, with their
probabilities. The processors are applied in llama.cpp's order: penalty, top-k, top-p, min-p, temperature."""
import json, sys
import torch
from transformers import (MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper, TopKLogitsWarper,
                          TopPLogitsWarper, TypicalLogitsWarper)

torch.manual_seed(7)
V = 40
CASES = [
    dict(temperature=1.0),
    dict(temperature=0.7),
    dict(temperature=1.0, top_k=5),
    dict(temperature=1.0, top_k=1),
    dict(temperature=1.0, top_k=1000),
    dict(temperature=1.0, top_p=0.9),
    dict(temperature=1.0, top_p=0.5),
    dict(temperature=1.3, top_p=0.01),
    dict(temperature=1.0, min_p=0.1),
    dict(temperature=2.0, min_p=0.6),
    dict(temperature=1.0, repeat_penalty=1.3),
    dict(temperature=0.8, repeat_penalty=0.7, top_k=8),
    dict(temperature=0.8, top_k=20, top_p=0.95, min_p=0.05),
    dict(temperature=1.5, top_k=12, top_p=0.8, min_p=0.2, repeat_penalty=1.8),
    dict(temperature=1.0, typical_p=0.3),
    dict(temperature=1.0, typical_p=0.9),
    dict(temperature=0.9, top_k=10, typical_p=0.6, top_p=0.9),
]
out = []
for i, case in enumerate(CASES):
    logits = (torch.randn(1, V) * 3).float()
    history = torch.randint(0, V, (1, 12))
    z = logits.clone()
    if "repeat_penalty" in case:
        z = RepetitionPenaltyLogitsProcessor(case["repeat_penalty"])(history, z)
    if "top_k" in case:
        z = TopKLogitsWarper(case["top_k"])(history, z)
    if "typical_p" in case:
        z = TypicalLogitsWarper(case["typical_p"])(history, z)
    if "top_p" in case:
        z = TopPLogitsWarper(case["top_p"])(history, z)
    if "min_p" in case:
        z = MinPLogitsWarper(case["min_p"])(history, z)
    z = TemperatureLogitsWarper(case["temperature"])(history, z)
    p = torch.softmax(z.double(), -1)[0]
    ids = [int(j) for j in torch.argsort(p, descending=True, stable=True) if p[j] > 0]
    out.append(dict(options=case, history=history[0].tolist(), logits=logits[0].tolist(), ids=ids,
                    p=[float(p[j]) for j in ids], logprob=torch.log_softmax(logits.double(), -1)[0].tolist()))
json.dump(out, open(sys.argv[1], "w"))
