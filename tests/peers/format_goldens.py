#!/usr/bin/env python3
"""Goldens of src/format: the same small content written by the packages `safetensors`, `gguf` and `tensorboard`.

    python tests/peers/format_goldens.py           # writes tests/data/format/

check_format.c writes this content with Fledge and expects the same bytes.
"""
import pathlib

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

OUT = pathlib.Path(__file__).resolve().parent.parent / "data" / "format"
OUT.mkdir(parents=True, exist_ok=True)

ramp = torch.arange(6, dtype=torch.float32).reshape(2, 3) - 2.5
save_file({"b.half": ramp.half(), "a.brain": ramp.bfloat16(), "z.full": ramp, "c.full": ramp[0].clone(),
           "ids": torch.tensor([7, -1], dtype=torch.int32)}, OUT / "five.safetensors", metadata={"format": "pt"})

w = gguf.GGUFWriter(str(OUT / "two.gguf"), "llama")
w.add_uint32("llama.block_count", 3)
w.add_float32("llama.rope.freq_base", 10000.0)
w.add_bool("tokenizer.ggml.add_bos_token", True)
w.add_string("general.name", "tiny")
w.add_array("tokenizer.ggml.tokens", ["a", "\u00e9", ""])
w.add_array("tokenizer.ggml.token_type", [1, 3, 1])
w.add_tensor("token_embd.weight", ramp.numpy())
w.add_tensor("output_norm.weight", ramp[0].half().numpy())
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()

w = gguf.GGUFWriter(str(OUT / "types.gguf"), "test")
w.add_uint8("t.u8", 200)
w.add_int8("t.i8", -100)
w.add_uint16("t.u16", 60000)
w.add_int16("t.i16", -30000)
w.add_uint32("t.u32", 4000000000)
w.add_int32("t.i32", -2000000000)
w.add_float32("t.f32", 0.5)
w.add_bool("t.bool", True)
w.add_uint64("t.u64", 1 << 52)
w.add_key_value("t.i64", -(1 << 52), gguf.GGUFValueType.INT64)
w.add_float64("t.f64", 0.1)
w.add_string("t.text", "h\u00e9llo")
w.add_array("t.words", ["a", "bc", ""])
w.add_array("t.reals", [3.5, -1.25])
w.add_tensor("ramp", ramp.numpy())
q8 = gguf.quants.quantize(np.linspace(-1, 1, 128, dtype=np.float32).reshape(2, 64), gguf.GGMLQuantizationType.Q8_0)
w.add_tensor("q8", q8, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
w.add_tensor("half", ramp[1].half().numpy())
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()

with open(OUT / "two.tfevents", "wb") as f:
    records = RecordWriter(f)
    records.write(event_pb2.Event(wall_time=1.5, file_version="brain.Event:2").SerializeToString())
    value = summary_pb2.Summary.Value(tag="loss", simple_value=0.75)
    records.write(event_pb2.Event(wall_time=2.25, step=300, summary=summary_pb2.Summary(value=[value])).SerializeToString())
    f.flush()
