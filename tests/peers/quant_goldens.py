#!/usr/bin/env python3
"""Goldens of the block formats: what ggml makes of random blocks, and how well it quantizes.

    python tests/peers/quant_goldens.py LIBGGML_BASE.so    # writes tests/data/format/quant.safetensors

LIBGGML_BASE.so is built from llama.cpp (its functions dequantize_row_* and ggml_quantize_chunk are called directly).
Where the `gguf` package knows a format too, both must agree. check_quant.c dequantizes the same blocks and expects
the same bits, and quantizes the same rows and expects no more error, with importance weights and without.
"""
import ctypes
import pathlib
import sys

import numpy as np
from gguf import quants
from gguf.constants import GGMLQuantizationType
from safetensors.numpy import save_file

# name, ggml's number, elements and bytes of a block, offsets of the f16 scales in it, can be quantized
FORMATS = [("q4_0", 2, 32, 18, [0], True), ("q4_1", 3, 32, 20, [0, 2], True), ("q5_0", 6, 32, 22, [0], True),
           ("q5_1", 7, 32, 24, [0, 2], True), ("q8_0", 8, 32, 34, [0], True), ("q2_K", 10, 256, 84, [80, 82], True),
           ("q3_K", 11, 256, 110, [108], True), ("q4_K", 12, 256, 144, [0, 2], True),
           ("q5_K", 13, 256, 176, [0, 2], True), ("q6_K", 14, 256, 210, [208], True), ("iq4_nl", 20, 32, 18, [0], True),
           ("iq4_xs", 23, 256, 136, [0], True), ("mxfp4", 39, 32, 17, [], True), ("nvfp4", 40, 64, 36, [], False),
           ("iq2_xxs", 16, 256, 66, [0], False), ("iq2_xs", 17, 256, 74, [0], False), ("iq2_s", 22, 256, 82, [0], False),
           ("iq3_xxs", 18, 256, 98, [0], False), ("iq3_s", 21, 256, 110, [0], False), ("iq1_s", 19, 256, 50, [0], False),
           ("iq1_m", 29, 256, 56, [], False), ("tq1_0", 34, 256, 54, [52], False), ("tq2_0", 35, 256, 66, [64], False),
           ("q1_0", 41, 128, 18, [0], False), ("q2_0", 42, 64, 18, [0], False)]
ELEMENTS = 512
ROWS, COLS = 12, 256

lib = ctypes.CDLL(sys.argv[1])
lib.ggml_quantize_chunk.restype = ctypes.c_size_t
lib.ggml_quantize_chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64,
                                    ctypes.c_int64, ctypes.c_void_p]


def pointer(array):
    return array.ctypes.data_as(ctypes.c_void_p)


def dequantize(name, blocks, n):
    out = np.empty(n, np.float32)
    getattr(lib, f"dequantize_row_{name}")(pointer(blocks), pointer(out), ctypes.c_int64(n))
    return out


def random_blocks(rng, block, size, scales):
    blocks = rng.integers(0, 256, (ELEMENTS // block, size), np.uint8)
    for at in scales:
        d = rng.normal(0, 0.05, len(blocks)).astype(np.float16)
        blocks[:, at:at + 2] = d.view(np.uint8).reshape(-1, 2)
    return blocks


def error(name, number, x, importance):
    blocks = np.zeros(x.size * 4, np.uint8)
    weight = None if importance is None else pointer(importance)
    used = lib.ggml_quantize_chunk(number, pointer(x), pointer(blocks), 0, ROWS, COLS, weight)
    y = dequantize(name, blocks[:used].copy(), x.size).reshape(x.shape)
    square = (y.astype(np.float64) - x) ** 2
    return float((square * (1 if importance is None else importance)).sum())


def main():
    rng = np.random.default_rng(7)
    x = rng.standard_t(5, (ROWS, COLS)).astype(np.float32) * 0.04
    x[1] = rng.uniform(-1, 1, COLS)
    x[2, 3] = 1.5       # an outlier
    x[3] = 0            # nothing
    x[4] = abs(x[4])    # one sign only
    x[5] = 0.25         # a constant
    importance = rng.chisquare(1, COLS).astype(np.float32)
    out = {"x": x, "importance": importance}
    for name, number, block, size, scales, writable in FORMATS:
        blocks = random_blocks(rng, block, size, scales)
        if name == "iq1_m":  # the scale's bits: top nibbles of the last four words, kept finite
            blocks[:, 55] = blocks[:, 55] & 0x0f | 0x20
        if name == "mxfp4":
            blocks[:, 0] = rng.integers(0, 250, len(blocks))
            blocks[:3, 0] = [0, 1, 250]
        values = dequantize(name, blocks, ELEMENTS)
        assert np.isfinite(values).all(), name
        known = GGMLQuantizationType.__members__.get(name.upper())
        if known in quants._type_traits:
            theirs = quants.dequantize(blocks.reshape(1, -1), known).reshape(-1)
            assert (theirs.view(np.uint32) == values.view(np.uint32)).all() or (theirs == values).all(), name
        out[f"{name.lower()}.blocks"] = blocks.reshape(-1)
        out[f"{name.lower()}.values"] = values
        if writable:
            errors = [error(name, number, x, None), error(name, number, x, importance)]
            out[f"{name.lower()}.error"] = np.array(errors, np.float64)
    save_file(out, pathlib.Path(__file__).resolve().parent.parent / "data" / "format" / "quant.safetensors")


main()
