#!/usr/bin/env python3
"""Goldens of models with experts: as model_goldens.py, and which experts each token goes to.

    python tests/peers/expert_goldens.py [NAME..]         # writes tests/data/golden/

transformers holds all experts of a layer in one tensor; files, and so the gradients here, have one for each
(grad.NAME under the published name). routing.L (B x T, k) are the experts of layer L, ascending. The weights are drawn
until no choice hangs on a rounding: the last chosen and the first left out differ by MARGIN, so that they are the same
in bf16.
"""
import sys

import torch
import model_goldens as dense
from safetensors.torch import save_file
from transformers import (MixtralConfig, MixtralForCausalLM, Qwen2MoeConfig, Qwen2MoeForCausalLM, Qwen3MoeConfig,
                          Qwen3MoeForCausalLM)

MARGIN = 0.001
dense.MORE = 64 - dense.PROMPT
SMALL = dict(dense.SMALL, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64, tie_word_embeddings=False)

dense.MODELS = {
    "mixtral": (MixtralForCausalLM, MixtralConfig(**SMALL, intermediate_size=16, num_local_experts=4,
                                                  num_experts_per_tok=2, head_dim=8)),
    # a dense layer between: only every second has experts
    "qwen2_moe": (Qwen2MoeForCausalLM, Qwen2MoeConfig(
        **SMALL, intermediate_size=40, moe_intermediate_size=16, shared_expert_intermediate_size=24, num_experts=6,
        num_experts_per_tok=3, decoder_sparse_step=2)),
    "qwen3_moe": (Qwen3MoeForCausalLM, Qwen3MoeConfig(
        **SMALL, intermediate_size=40, moe_intermediate_size=8, num_experts=8, num_experts_per_tok=3, head_dim=16,
        norm_topk_prob=True)),
}

# of the part of a name behind "mlp.": the published name, and of each expert's matrices
NAMES = {"mixtral": ("block_sparse_moe.", "w1", "w3", "w2")}
OTHERS = ("mlp.", "gate_proj", "up_proj", "down_proj")


def published(kind, name, grad):
    block, gate, up, down = NAMES.get(kind, OTHERS)
    if ".experts." not in name:
        yield name.replace("mlp.gate.weight", block + "gate.weight"), grad
        return
    stem = name.replace("mlp.", block)[:name.replace("mlp.", block).index("experts.") + len("experts.")]
    for e in range(grad.shape[0]):
        if name.endswith("down_proj"):
            yield f"{stem}{e}.{down}.weight", grad[e]
        else:
            half = grad.shape[1] // 2
            yield f"{stem}{e}.{gate}.weight", grad[e, :half]
            yield f"{stem}{e}.{up}.weight", grad[e, half:]


def watch(model):
    """Hooks that keep what every router says: its choices, and how far the last is from the next."""
    seen = {}

    def keep(layer):
        def hook(module, inputs, output):
            logits, _, ids = output
            scores = torch.sigmoid(logits) if hasattr(module, "e_score_correction_bias") else logits.softmax(-1)
            if hasattr(module, "e_score_correction_bias"):
                scores = scores + module.e_score_correction_bias
            top = scores.sort(-1, descending=True).values
            k = ids.shape[-1]
            seen.setdefault(layer, []).append((ids.sort(-1).values, (top[:, k - 1] - top[:, k]).min().item()))
        return hook

    for i, layer in enumerate(model.model.layers):
        if hasattr(layer.mlp, "gate") and hasattr(layer.mlp, "experts"):
            layer.mlp.gate.register_forward_hook(keep(i))
    return seen


def is_clear(model, seen, seed):
    """The choices of the golden's tokens, without the cost of decoding."""
    tokens = torch.randint(0, dense.SMALL["vocab_size"], (dense.B, dense.T),
                           generator=torch.Generator().manual_seed(seed + 1))
    seen.clear()
    with torch.no_grad():
        model(tokens)
    return min(margin for calls in seen.values() for _, margin in calls) >= MARGIN


def is_decided(model, seen, greedy):
    """No greedy token, and no choice on the way, hangs on the order of a sum in f32."""
    with torch.no_grad():
        top = model(greedy[None, :-1].long()).logits[0, dense.PROMPT - 1:].topk(2).values
    return min([(top[:, 0] - top[:, 1]).min().item()] + [m for c in seen.values() for _, m in c]) >= 1e-4


def write(name, seed):
    folder = dense.OUT / name
    for attempt in range(400):
        model = dense.build(name, seed + 1000 * attempt)
        seen = watch(model)
        if not is_clear(model, seen, seed):
            continue
        golden = dense.run(model, seed)
        routing = {f"routing.{layer}": calls[0][0].int() for layer, calls in seen.items()}
        if is_decided(model, seen, golden["greedy"]):
            break
    else:
        sys.exit(f"{name}: no weights whose choices are clear")
    print(name, "at attempt", attempt)
    golden |= routing
    for key, grad in dense.grads(model).items():
        for file_name, part in published(name, key.removeprefix("grad."), grad):
            golden["grad." + file_name] = part.contiguous()
    dense.shutil.rmtree(folder, ignore_errors=True)
    model.bfloat16().save_pretrained(folder)
    save_file(golden, folder / "golden.safetensors")


for i, name in enumerate(dense.MODELS):
    if not sys.argv[1:] or name in sys.argv[1:]:
        write(name, 50 + i)
