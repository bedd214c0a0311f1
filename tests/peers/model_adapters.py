#!/usr/bin/env python3
"""Adapters saved by Fledge, opened by PEFT on transformers' models: python tests/peers/model_adapters.py BUILD/test_model_golden

Logits must be those of the golden within 1e-4 of the largest.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "data" / "golden"
failed = 0
with tempfile.TemporaryDirectory() as out:
    subprocess.run([sys.argv[1], out], check=True)
    for folder in sorted(pathlib.Path(out).iterdir()):
        base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
        model = AutoModelForCausalLM.from_pretrained(GOLDEN / base, dtype=torch.float32, attn_implementation="eager")
        model = PeftModel.from_pretrained(model, folder).eval()
        golden = load_file(GOLDEN / folder.name / "golden.safetensors")
        with torch.no_grad():
            logits = model(golden["tokens"].long()).logits
        off = float((logits - golden["logits"]).abs().max() / golden["logits"].abs().max())
        failed += not off < 1e-4
        print(f"{'ok  ' if off < 1e-4 else 'FAIL'} {folder.name}: peft opens it, logits within {off:.1e}")
sys.exit(failed != 0)
