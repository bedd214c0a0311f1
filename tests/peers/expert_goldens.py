#!/usr/bin/env python3
"""Goldens of models with experts: as model_goldens.py, and which experts each token goes to.

    python tests/peers/expert_goldens.py [NAME..]         # writes tests/data/golden/

transformers holds all experts of a layer in one tensor; files, and so the gradients here, have one for each
(grad.NAME under the published name). routing.L (B x T, k) are the experts of layer L, ascending. The weights are drawn
until no choice hangs on a rounding, so that they are the same in bf16.
"""
import sys

import torch
import model_goldens as dense
from safetensors.torch import save_file
from transformers import (DeepseekV2Config, DeepseekV2ForCausalLM, DeepseekV3Config, DeepseekV3ForCausalLM,
                          GptOssConfig, GptOssForCausalLM, MixtralConfig, MixtralForCausalLM, Qwen2MoeConfig,
                          Qwen2MoeForCausalLM, Qwen3MoeConfig, Qwen3MoeForCausalLM)

BF16_NOISE = 0.01  # of a router's inputs, relative: a few roundings to bf16
dense.MORE = 64 - dense.PROMPT
SMALL = dict(dense.SMALL, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=64, tie_word_embeddings=False)

LATENT = dict(intermediate_size=40, moe_intermediate_size=8, n_shared_experts=2, first_k_dense_replace=1,
              kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=6)

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
    # queries whole; a dense layer, then experts in groups of which two may be chosen from
    "deepseek_v2": (DeepseekV2ForCausalLM, DeepseekV2Config(
        **dict(SMALL, num_key_value_heads=4), **LATENT, q_lora_rank=None, n_routed_experts=8, num_experts_per_tok=3,
        topk_method="group_limited_greedy", n_group=4, topk_group=2, routed_scaling_factor=1.5)),
    "deepseek_v3": (DeepseekV3ForCausalLM, DeepseekV3Config(
        **dict(SMALL, num_key_value_heads=4), **LATENT, q_lora_rank=12, n_routed_experts=8, num_experts_per_tok=3,
        n_group=4, topk_group=2, routed_scaling_factor=1.5, norm_topk_prob=True)),
    "deepseek_v3_yarn": (DeepseekV3ForCausalLM, DeepseekV3Config(
        **dict(SMALL, num_key_value_heads=4), **LATENT, q_lora_rank=12, n_routed_experts=4, num_experts_per_tok=2,
        n_group=1, topk_group=1, routed_scaling_factor=1.0, norm_topk_prob=False,
        rope_parameters=dict(rope_type="yarn", rope_theta=100.0, factor=4.0, beta_fast=4, beta_slow=1, mscale=1.0,
                             mscale_all_dim=0.8, original_max_position_embeddings=16))),
    # a window smaller than the text in the first layer, a limit that bends, a ramp that is not in whole dimensions
    "gpt_oss": (GptOssForCausalLM, GptOssConfig(
        **SMALL, intermediate_size=16, num_local_experts=4, num_experts_per_tok=2, head_dim=16, sliding_window=6,
        swiglu_limit=1.0, rope_parameters=dict(rope_type="yarn", rope_theta=100.0, factor=4.0, beta_fast=2.0,
                                               beta_slow=0.5, truncate=False, original_max_position_embeddings=24))),
}

# of the part of a name behind "mlp.": the published name, and of each expert's matrices
NAMES = {"mixtral": ("block_sparse_moe.", "w1", "w3", "w2")}
OTHERS = ("mlp.", "gate_proj", "up_proj", "down_proj")


def published(kind, name, grad):
    block, gate, up, down = NAMES.get(kind, OTHERS)
    if kind == "gpt_oss":  # all experts in one tensor in files too
        yield name, grad
        return
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
    """Hooks that keep what every router chooses, and whether it would choose so of inputs that are a little off."""
    seen = {"noise": 0.0, "steady": True, "ids": {}}

    def keep(layer):
        def hook(module, inputs, output):
            ids = output[2].sort(-1).values
            for _ in range(8):
                other = module.forward(inputs[0] * (1 + seen["noise"] * torch.randn_like(inputs[0])))[2]
                seen["steady"] &= bool((other.sort(-1).values == ids).all())
            seen["ids"].setdefault(layer, ids.int())
        return hook

    for i, layer in enumerate(model.model.layers):
        router = getattr(layer.mlp, "router", getattr(layer.mlp, "gate", None))
        if hasattr(layer.mlp, "experts"):
            router.register_forward_hook(keep(i))
    return seen


def draw_biases(model, seed):
    """What chooses experts beside their scores: no parameter, and zero in a new model."""
    gen = torch.Generator().manual_seed(seed)
    for name, buffer in model.named_buffers():
        if "correction_bias" in name:
            buffer.copy_((0.1 * torch.randn(buffer.shape, generator=gen)).bfloat16().float())


def is_clear(model, seen, seed):
    """The choices of the golden's tokens, without the cost of decoding, hold in bf16."""
    tokens = torch.randint(0, dense.SMALL["vocab_size"], (dense.B, dense.T),
                           generator=torch.Generator().manual_seed(seed + 1))
    torch.manual_seed(0)
    seen["noise"] = BF16_NOISE
    with torch.no_grad():
        model(tokens)
    seen["noise"] = 1e-5
    return seen["steady"]


def is_decided(model, greedy):
    """No greedy token hangs on the order of a sum."""
    with torch.no_grad():
        top = model(greedy[None, :-1].long()).logits[0, dense.PROMPT - 1:].topk(2).values
    return (top[:, 0] - top[:, 1]).min().item() >= 1e-4


def write(name, seed):
    folder = dense.OUT / name
    for attempt in range(400):
        model = dense.build(name, seed + 1000 * attempt)
        draw_biases(model, seed)
        seen = watch(model)
        if not is_clear(model, seen, seed):
            continue
        golden = dense.run(model, seed)
        if seen["steady"] and is_decided(model, golden["greedy"]):
            break
    else:
        sys.exit(f"{name}: no weights whose choices are clear")
    golden |= {f"routing.{layer}": ids for layer, ids in seen["ids"].items()}
    print(name, "at attempt", attempt)
    for key, grad in dense.grads(model).items():
        for file_name, part in published(name, key.removeprefix("grad."), grad):
            golden["grad." + file_name] = part.contiguous()
    dense.shutil.rmtree(folder, ignore_errors=True)
    model.bfloat16().save_pretrained(folder)
    save_file(golden, folder / "golden.safetensors")


for i, name in enumerate(dense.MODELS):
    if not sys.argv[1:] or name in sys.argv[1:]:
        write(name, 50 + i)
