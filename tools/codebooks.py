#!/usr/bin/env python3
"""Prints src/tensor/quant/codebooks.h: the codebooks of ggml's IQ formats, as the `gguf` package publishes them.

    pip install gguf; tools/codebooks.py > src/tensor/quant/codebooks.h
"""
from gguf import quants

# name, class that holds it, bits of one element
BOOKS = [("iq2_xxs", quants.IQ2_XXS, 2), ("iq2_xs", quants.IQ2_XS, 2), ("iq2_s", quants.IQ2_S, 2),
         ("iq3_xxs", quants.IQ3_XXS, 3), ("iq3_s", quants.IQ3_S, 3), ("iq1", quants.IQ1_S, 2)]

print("/* codebooks.h - the entries of the IQ formats' codebooks, part of their definition in ggml.")
print(" *")
print(" * An entry packs the levels of its elements, two bits each (IQ3: three), the first lowest.")
print(" * Printed by tools/codebooks.py. */")
print("#include <stdint.h>\n")
for name, quant, bits in BOOKS:
    quant.init_grid()
    level = {v: i for i, v in enumerate(quant.grid_map)}
    entries = [sum(level[float(v)] << bits * i for i, v in enumerate(row))
               for row in quant.grid.reshape(quant.grid_shape).tolist()]
    print(f"static const uint16_t fli_codebook_{name}[{len(entries)}] = {{")
    for i in range(0, len(entries), 12):
        print("    " + " ".join(f"{v:#06x}," for v in entries[i:i + 12]))
    print("};")
