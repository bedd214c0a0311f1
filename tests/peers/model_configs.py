#!/usr/bin/env python3
"""What transformers makes of tests/data/config/published.json: the numbers that tests/check_config.c expects.

    python tests/peers/model_configs.py

Prints for each model: parameters (built without memory), layers with a window, rotated numbers of a head, theta, local
theta, scaling.
"""
import json
import pathlib

import torch
from transformers import AutoConfig, AutoModelForCausalLM

DATA = pathlib.Path(__file__).resolve().parent.parent / "data" / "config" / "published.json"

for name, v in json.loads(DATA.read_text()).items():
    v.pop("auto_map", None)
    if (v.get("rope_scaling") or {}).get("type") == "su":  # as early Phi-3 has it; transformers 5 forgot the name
        v["rope_scaling"]["type"] = "longrope"
    config = AutoConfig.for_model(**v)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model.tie_weights()
    rope = getattr(config, "rope_parameters", None) or {}
    full, local = rope.get("full_attention", rope), rope.get("sliding_attention", {})
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    types = getattr(config, "layer_types", None)
    window = getattr(config, "sliding_window", None)
    windowed = types.count("sliding_attention") if types else config.num_hidden_layers if window else 0
    print(name, sum(p.numel() for p in model.parameters()), windowed, int(head * full.get("partial_rotary_factor", 1)),
          full.get("rope_theta"), local.get("rope_theta"), full.get("rope_type"))
