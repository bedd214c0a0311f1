#!/usr/bin/env python3
"""Goldens of the mixes: which format llama.cpp gives each tensor of a model that it quantizes.

    python tests/peers/mix_goldens.py LLAMA_QUANTIZE    # writes tests/data/format/mixes.txt

Models of zeros, of the shapes that the rules look at, go through `llama-quantize --dry-run`. A line of the file is

    model NAME layers=24 heads=8 kv_heads=2 experts=0 tied=1 importance=0
    tensor blk.%d.ffn_down.weight 256 512          the shape, outermost first
    kept blk.%d.attn_norm.weight 256               likewise, of one that no mix quantizes
    Q4_K_M blk.%d.ffn_down.weight q6_k*3 q4_k*2    the formats layer by layer

and check_mix.c expects fl_mix to choose the same. A tensor without a line has, in all layers, the format of the mix's
own line, `mix Q4_K_M q4_k`.
"""
import itertools
import pathlib
import re
import subprocess
import sys
import tempfile

import gguf
import numpy as np

MIXES = {"F16": "f16", "BF16": "bf16", "Q4_0": "q4_0", "Q4_1": "q4_1", "Q5_0": "q5_0", "Q5_1": "q5_1", "Q8_0": "q8_0",
         "Q2_K": "q2_k", "Q2_K_S": "q2_k", "Q3_K_S": "q3_k", "Q3_K_M": "q3_k", "Q3_K_L": "q3_k", "Q4_K_S": "q4_k",
         "Q4_K_M": "q4_k", "Q5_K_S": "q5_k", "Q5_K_M": "q5_k", "Q6_K": "q6_k", "IQ4_NL": "iq4_nl", "IQ4_XS": "iq4_xs",
         "MXFP4_MOE": "q8_0"}


def dense(width, kv, out):
    return {"attn_norm.weight": [width], "attn_q.weight": [64, width], "attn_k.weight": [kv, width],
            "attn_v.weight": [kv, width], "attn_output.weight": [32, width], "ffn_gate.weight": [out, width],
            "ffn_up.weight": [out, width], "ffn_down.weight": [32, out]}


def sparse(experts, width, out, shared=0):
    layer = {k: v for k, v in dense(width, 32, 0).items() if not k.startswith("ffn")}
    layer |= {"ffn_gate_inp.weight": [experts, width], "ffn_up_exps.weight": [experts, out, width],
              "ffn_gate_exps.weight": [experts, out, width], "ffn_down_exps.weight": [experts, 8, out]}
    if shared:
        layer |= {"ffn_up_shexp.weight": [shared, width], "ffn_down_shexp.weight": [8, shared]}
    return layer


FUSED = {"attn_qkv.weight": [64, 256], "attn_output.weight": [32, 256], "ffn_up.weight": [512, 256],
         "ffn_down.weight": [32, 256]}
LATENT = {"attn_q_a.weight": [32, 256], "attn_q_a_norm.weight": [32], "attn_q_b.weight": [64, 256],
          "attn_kv_a_mqa.weight": [32, 256], "attn_kv_b.weight": [64, 256], "attn_output.weight": [32, 256]}
SPLIT = {k: v for k, v in LATENT.items() if k != "attn_kv_b.weight"}
SPLIT |= {"attn_k_b.weight": [4, 32, 256], "attn_v_b.weight": [4, 32, 256]}
EXPERTS = {k: v for k, v in sparse(16, 256, 256, 512).items() if k.startswith("ffn")}

# name: architecture, layers, heads, key-value heads, experts, width, tied, importance matrix, tensors of a layer
MODELS = {
    "grouped": ("llama", 24, 8, 2, 0, 256, False, False, dense(256, 32, 512)),
    "grouped_weighted": ("llama", 24, 8, 2, 0, 256, False, True, dense(256, 32, 512)),
    "tied": ("qwen2", 9, 4, 4, 0, 256, True, False, dense(256, 64, 256)),
    "narrow": ("llama", 30, 9, 3, 0, 576, True, False, dense(576, 32, 1536)),  # SmolLM2-135M's rows
    "odd": ("llama", 4, 4, 4, 0, 256, False, False, dense(256, 64, 80)),
    "odd_tied": ("llama", 4, 4, 4, 0, 80, True, True, dense(80, 64, 96)),
    "big": ("llama", 80, 16, 2, 0, 256, False, False, dense(256, 32, 256)),
    "eight_experts": ("llama", 16, 8, 2, 8, 256, False, False, sparse(8, 256, 256)),
    "sixty_experts": ("qwen2moe", 17, 4, 4, 60, 256, False, True, sparse(60, 256, 512, 256)),
    "fused": ("phi3", 16, 4, 4, 0, 256, False, False, FUSED),
    "latent": ("deepseek2", 16, 4, 4, 16, 256, False, False, LATENT | EXPERTS),
    "latent_split": ("deepseek2", 16, 4, 1, 16, 256, False, False, SPLIT | EXPERTS),
}


def write_model(path, arch, layers, heads, kv, experts, width, tied, tensors):
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(layers)
    w.add_context_length(128)
    w.add_embedding_length(64 * heads)
    w.add_feed_forward_length(512)
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_expert_count(experts)
    w.add_expert_used_count(min(experts, 2))
    if arch == "deepseek2":
        for key, value in {"attention.q_lora_rank": 32, "attention.kv_lora_rank": 16, "expert_feed_forward_length": 256,
                           "expert_shared_count": 1, "leading_dense_block_count": 1}.items():
            w.add_uint32(f"{arch}.{key}", value)
    if arch == "phi3":
        w.add_sliding_window(0)
    for name, shape in tensors:
        w.add_tensor(name, np.zeros(shape, np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def write_imatrix(path):
    w = gguf.GGUFWriter(path, "")
    w.add_type("imatrix")
    w.add_array("imatrix.datasets", ["none"])
    w.add_uint32("imatrix.chunk_count", 1)
    w.add_uint32("imatrix.chunk_size", 512)
    w.add_tensor("none.weight.in_sum2", np.ones((1, 32), np.float32))
    w.add_tensor("none.weight.counts", np.ones((1, 1), np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def formats(model, mix, imatrix):
    command = [sys.argv[1], "--dry-run", *(["--imatrix", imatrix] if imatrix else []), model, mix]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {}
    for line in (said.stdout + said.stderr).splitlines():
        m = re.match(r"\[ *\d+/ *\d+\] (\S+) .*type = +(\S+), size = [^(]*(?:\((\w+)\))?", line)
        if m:
            found[m[1]] = (m[3] or "-").lower()
    return found


def runs(names):
    counted = [(name, len(list(group))) for name, group in itertools.groupby(names)]
    return " ".join(name if n == 1 else f"{name}*{n}" for name, n in counted)


def main():
    lines = [f"mix {mix} {plain}" for mix, plain in MIXES.items()]
    with tempfile.TemporaryDirectory() as work:
        model, imatrix = f"{work}/model.gguf", f"{work}/imatrix.gguf"
        write_imatrix(imatrix)
        for name, (arch, layers, heads, kv, experts, width, tied, weighted, layer) in MODELS.items():
            patterns = {"token_embd.weight": [64, width], "output_norm.weight": [width]}
            patterns |= {} if tied else {"output.weight": [64, width]}
            patterns |= {f"blk.%d.{k}": v for k, v in layer.items()}
            named = {p: [p % i for i in range(layers)] if "%d" in p else [p] for p in patterns}
            write_model(model, arch, layers, heads, kv, experts, width, tied,
                        [(n, patterns[p]) for p in patterns for n in named[p]])
            lines.append(f"model {name} layers={layers} heads={heads} kv_heads={kv} experts={experts} tied={tied:d} "
                         f"importance={weighted:d}")
            found = {mix: formats(model, mix, imatrix if weighted else None) for mix in MIXES}
            kept = {p for p in patterns if {found[mix][n] for mix in MIXES for n in named[p]} == {"-"}}
            lines += [f"{'kept' if p in kept else 'tensor'} {p} " + " ".join(map(str, shape))
                      for p, shape in patterns.items()]
            for (mix, plain), p in itertools.product(MIXES.items(), patterns):
                got = [found[mix][n] for n in named[p]]
                if p not in kept and set(got) != {plain}:
                    lines.append(f"{mix} {p} {runs(got)}")
    out = pathlib.Path(__file__).resolve().parent.parent / "data" / "format" / "mixes.txt"
    out.write_text("\n".join(lines) + "\n")
    print(out, len(lines), "lines", out.stat().st_size, "bytes")


main()
