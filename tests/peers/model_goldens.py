#!/usr/bin/env python3
"""Goldens of src/model: tiny models of every architecture, with what transformers and PEFT compute from them.

    python tests/peers/model_goldens.py [NAME..]   # writes tests/data/golden/, all or those named

Each folder is a Hugging Face model (weights rounded to bf16, so that the file is small; the values are exact in f32) and
golden.safetensors: tokens, logits, loss, greedy (prompt, then what greedy decoding adds), grad.NAME for every
parameter. A lora_* folder is a PEFT adapter over the folder its golden names, with adapter gradients.
"""
import json
import pathlib
import shutil
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import (Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM, Gemma3TextConfig, GPT2Config,
                          GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM,
                          MistralConfig, MistralForCausalLM, Olmo2Config, Olmo2ForCausalLM, Phi3Config, Phi3ForCausalLM,
                          Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM, StableLmConfig,
                          StableLmForCausalLM)

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "golden"
B, T, PROMPT, MORE = 2, 24, 5, 64
SMALL = dict(vocab_size=96, bos_token_id=1, eos_token_id=None, pad_token_id=None)
LLAMA = dict(SMALL, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5)

TINY = dict(vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=72, bos_token_id=1, eos_token_id=None, pad_token_id=None)
TINY_RMS = dict(TINY, num_key_value_heads=2, rms_norm_eps=1e-5, tie_word_embeddings=True)
# heads of 16: queries and keys are not hidden_size wide; caps and windows small enough to matter
GEMMA = dict(TINY_RMS, head_dim=16, query_pre_attn_scalar=24, sliding_window=6)
YARN = dict(rope_type="yarn", rope_theta=100.0, factor=4.0, original_max_position_embeddings=24, beta_fast=4.0)
# one less than T, so that logits need the long factors and greedy text begins with the short ones
LONG = dict(rope_type="longrope", rope_theta=500.0, original_max_position_embeddings=23, partial_rotary_factor=0.75,
            short_factor=[1.0, 1.1, 1.3], long_factor=[1.5, 2.0, 4.0])

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
    "llama_biased": (LlamaForCausalLM, LlamaConfig(**TINY_RMS, attention_bias=True, mlp_bias=True,
                                                   rope_parameters=dict(rope_type="dynamic", rope_theta=10000.0,
                                                                        factor=2.0))),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**TINY_RMS, rope_parameters=YARN)),
    "gemma2": (Gemma2ForCausalLM, Gemma2Config(**GEMMA, attn_logit_softcapping=2.0, final_logit_softcapping=3.0)),
    "gemma3": (Gemma3ForCausalLM, Gemma3TextConfig(
        **GEMMA, layer_types=["sliding_attention", "full_attention"], rope_parameters=dict(
            full_attention=dict(rope_type="linear", rope_theta=1000.0, factor=8.0),
            sliding_attention=dict(rope_type="default", rope_theta=100.0)))),
    "phi3": (Phi3ForCausalLM, Phi3Config(**TINY_RMS, sliding_window=9)),
    "phi3_long": (Phi3ForCausalLM, Phi3Config(**TINY_RMS, original_max_position_embeddings=23,
                                              rope_parameters=LONG)),
    "olmo2": (Olmo2ForCausalLM, Olmo2Config(**TINY_RMS)),
    "stablelm": (StableLmForCausalLM, StableLmConfig(**TINY, num_key_value_heads=2, use_qkv_bias=True,
                                                     partial_rotary_factor=0.5, tie_word_embeddings=True)),
    "stablelm_parallel": (StableLmForCausalLM, StableLmConfig(**TINY, num_key_value_heads=4,
                                                              use_parallel_residual=True)),
    "gpt_neox": (GPTNeoXForCausalLM, GPTNeoXConfig(**TINY, rope_parameters=dict(
        rope_type="default", rope_theta=1000.0, partial_rotary_factor=0.5))),
    "gpt_neox_sequential": (GPTNeoXForCausalLM, GPTNeoXConfig(**TINY, use_parallel_residual=False,
                                                              attention_bias=False, tie_word_embeddings=True)),
}

ADAPTERS = {
    "lora_qwen3": ("qwen3", dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])),
    "lora_llama_all": ("llama", dict(r=2, lora_alpha=6, target_modules="all-linear", use_rslora=True)),
    "lora_gpt2": ("gpt2", dict(r=3, lora_alpha=6, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)),
    "lora_gpt_neox": ("gpt_neox", dict(r=2, lora_alpha=4, target_modules=["query_key_value", "dense"])),
    "lora_phi3": ("phi3", dict(r=2, lora_alpha=4, target_modules=["qkv_proj", "down_proj"])),
}


def randomize(model, seed):
    """Weights large enough that attention is not uniform and every bias matters, rounded to bf16."""
    gen = torch.Generator().manual_seed(seed)
    gain = 0.0 if model.config.model_type.startswith("gemma") else 1.0  # Gemma adds 1
    with torch.no_grad():
        for name, p in sorted(dict(model.named_parameters()).items()):
            noise = torch.randn(p.shape, generator=gen)
            norm = "norm" in name and name.endswith("weight") or ".ln_" in name and "weight" in name
            mean = gain if norm else 0.0
            p.copy_((mean + noise * (0.1 if p.dim() == 1 else 0.15)).bfloat16().float())


def run(model, seed):
    """Tokens, logits, the sum of token losses over their number, and greedy decoding."""
    gen = torch.Generator().manual_seed(seed + 1)
    tokens = torch.randint(0, model.config.vocab_size, (B, T), generator=gen)
    model.zero_grad()
    logits = model(tokens).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    loss.backward()
    greedy = tokens[:1, :PROMPT]
    with torch.no_grad():
        for _ in range(min(MORE, model.config.max_position_embeddings - PROMPT)):
            greedy = torch.cat([greedy, model(greedy).logits[:, -1:].argmax(-1)], 1)
    return {"tokens": tokens.int(), "logits": logits.detach(), "loss": loss.detach().reshape(1), "greedy": greedy[0].int()}


def grads(model):
    """By the names of files: transformers keeps GPT-NeoX's embed_out under another one in memory."""
    neox = model.config.model_type == "gpt_neox"
    return {"grad." + (n.replace("lm_head", "embed_out") if neox else n): p.grad.detach().contiguous() for n, p in model.named_parameters() if p.requires_grad}


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


if __name__ == "__main__":
    torch.set_num_threads(1)
    only = sys.argv[1:] or [*MODELS, *ADAPTERS]
    for i, name in enumerate(MODELS):
        if name in only:
            write_model(name, i)
    for i, (name, (base, settings)) in enumerate(ADAPTERS.items()):
        if name in only:
            write_adapter(name, base, settings, 100 + i)
