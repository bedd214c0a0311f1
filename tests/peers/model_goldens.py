#!/usr/bin/env python3
"""Goldens of src/model: tiny models of every architecture, with what transformers and PEFT compute from them.

    python tests/peers/model_goldens.py            # writes tests/data/golden/

Each folder is a Hugging Face model (weights rounded to bf16, so that the file is small; the values are exact in f32) and
golden.safetensors: tokens, logits, loss, greedy (prompt, then what greedy decoding adds), grad.NAME for every
parameter. A lora_* folder is a PEFT adapter over the folder its golden names, with adapter gradients.
"""
import json
import pathlib
import shutil

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import (GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM,
                          Qwen3Config, Qwen3ForCausalLM)

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "golden"
B, T, PROMPT, MORE = 2, 24, 5, 20
SMALL = dict(vocab_size=96, bos_token_id=1, eos_token_id=None, pad_token_id=None)
LLAMA = dict(SMALL, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5)

MODELS = {
    "gpt2": (GPT2LMHeadModel, GPT2Config(**SMALL, n_embd=32, n_layer=2, n_head=4, n_positions=32, n_inner=64,
                                         resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)),
    "llama": (LlamaForCausalLM, LlamaConfig(**LLAMA, tie_word_embeddings=False)),
    "llama_tied_llama3": (LlamaForCausalLM, LlamaConfig(
        **LLAMA, tie_word_embeddings=True,
        # theta so small that waves fall into all three bands: 6 stays, 20 is mixed, 63 and 199 are divided
        rope_parameters=dict(rope_type="llama3", rope_theta=100.0, factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=32))),
    "llama_linear": (LlamaForCausalLM, LlamaConfig(
        **LLAMA, tie_word_embeddings=True, rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0))),
    "mistral_window": (MistralForCausalLM, MistralConfig(**LLAMA, tie_word_embeddings=False, sliding_window=7,
                                                         head_dim=8)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**LLAMA, head_dim=16, tie_word_embeddings=True)),
    "qwen3_window": (Qwen3ForCausalLM, Qwen3Config(**LLAMA, head_dim=8, tie_word_embeddings=False,
                                                   use_sliding_window=True, sliding_window=6, max_window_layers=1)),
}

ADAPTERS = {
    "lora_qwen3": ("qwen3", dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])),
    "lora_llama_all": ("llama", dict(r=2, lora_alpha=6, target_modules="all-linear", use_rslora=True)),
    "lora_gpt2": ("gpt2", dict(r=3, lora_alpha=6, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)),
}


def randomize(model, seed):
    """Weights large enough that attention is not uniform and every bias matters, rounded to bf16."""
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(dict(model.named_parameters()).items()):
            noise = torch.randn(p.shape, generator=gen)
            mean = 1.0 if "norm" in name and name.endswith("weight") or ".ln_" in name and "weight" in name else 0.0
            p.copy_((mean + noise * (0.1 if p.dim() == 1 else 0.15)).bfloat16().float())


def run(model, seed):
    """Tokens, logits, the sum of token losses over their number, and greedy decoding."""
    gen = torch.Generator().manual_seed(seed + 1)
    tokens = torch.randint(0, SMALL["vocab_size"], (B, T), generator=gen)
    model.zero_grad()
    logits = model(tokens).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    loss.backward()
    greedy = tokens[:1, :PROMPT]
    with torch.no_grad():
        for _ in range(MORE):
            greedy = torch.cat([greedy, model(greedy).logits[:, -1:].argmax(-1)], 1)
    return {"tokens": tokens.int(), "logits": logits.detach(), "loss": loss.detach().reshape(1), "greedy": greedy[0].int()}


def grads(model):
    return {"grad." + n: p.grad.detach().contiguous() for n, p in model.named_parameters() if p.requires_grad}


def build(name, seed):
    cls, config = MODELS[name]
    config._attn_implementation = "eager"
    model = cls(config).float().eval()
    randomize(model, seed)
    return model


def write_model(name, seed):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model = build(name, seed)
    golden = run(model, seed) | grads(model)
    model.bfloat16().save_pretrained(folder)
    save_file(golden, folder / "golden.safetensors")


def write_adapter(name, base, settings, seed):
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    model = get_peft_model(build(base, list(MODELS).index(base)),
                           LoraConfig(**settings, lora_dropout=0.0, bias="none", task_type="CAUSAL_LM"))
    gen = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for n, p in sorted(dict(model.named_parameters()).items()):
            if "lora_" in n:
                p.copy_(torch.randn(p.shape, generator=gen) * 0.2)
    golden = run(model, seed)
    golden |= {k.replace(".default", ""): v for k, v in grads(model).items()}
    model.save_pretrained(folder)
    for extra in ("README.md",):
        (folder / extra).unlink(missing_ok=True)
    config = folder / "adapter_config.json"
    v = json.loads(config.read_text())
    v["base_model_name_or_path"] = base
    v["target_modules"] = sorted(v["target_modules"])  # PEFT keeps a set
    config.write_text(json.dumps(v, indent=2, sort_keys=True) + "\n")
    save_file(golden, folder / "golden.safetensors")


for i, name in enumerate(MODELS):
    write_model(name, i)
for i, (name, (base, settings)) in enumerate(ADAPTERS.items()):
    write_adapter(name, base, settings, 100 + i)
