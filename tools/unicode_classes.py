#!/usr/bin/env python3
"""Write src/token/unicode_runs.h: the character classes of the pre-tokenizers' regular expressions.

The classes are asked of the engine Hugging Face tokenizers uses (Oniguruma), one code point at a time, so that
our table agrees with it whatever Unicode version it carries. tiktoken's engine gives the same sets. With `bert`,
src/token/unicode_bert_runs.h: what its BertNormalizer and Punctuation make of each character.
    python3 tools/unicode_classes.py > src/token/unicode_runs.h
    python3 tools/unicode_classes.py bert > src/token/unicode_bert_runs.h
"""
import sys
import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

# In the order of the bits in unicode.h.
CLASSES = [r"\s", r"\p{N}", r"[\p{Lu}\p{Lt}]", r"\p{Ll}", r"[\p{Lm}\p{Lo}]", r"\p{M}"]
BLOCK = 4096


def members(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    for first in range(0, 0x110000, BLOCK):
        text = "".join(chr(c) for c in range(first, first + BLOCK) if not 0xD800 <= c < 0xE000)
        for piece, _ in split.pre_tokenize_str(text) if text else ():
            yield from map(ord, piece)


def classes():
    bits = bytearray(0x110000)
    for bit, pattern in enumerate(CLASSES):
        for c in members(pattern):
            bits[c] |= 1 << bit
    return bits


def bert_classes():
    """In the order of unicode.h: dropped by clean_text, punctuation, accent."""
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    clean = normalizers.BertNormalizer(**{**off, "clean_text": True})
    strip = normalizers.BertNormalizer(**{**off, "strip_accents": True})
    punctuation = pre_tokenizers.Punctuation()
    bits = bytearray(0x110000)
    for c in range(0x110000):
        if 0xD800 <= c < 0xE000:
            continue
        text = "a" + chr(c) + "b"
        bits[c] = ((clean.normalize_str(text) == "ab") | (len(punctuation.pre_tokenize_str(text)) > 1) << 1
                   | (strip.normalize_str(text) == "ab") << 2)
    return bits


bert = sys.argv[1:] == ["bert"]
bits = bert_classes() if bert else classes()
runs = [c << 8 | bits[c] for c in range(0x110000) if c == 0 or bits[c] != bits[c - 1]]

print(f"/* unicode_{'bert_' if bert else ''}runs.h - made by tools/unicode_classes.py from tokenizers "
      f"{tokenizers.__version__}; do not edit.")
print(" * Each entry starts a run: code point << 8 | class bits, in force up to the next entry. */")
for i in range(0, len(runs), 8):
    print("    " + " ".join(f"0x{r:x}," for r in runs[i:i + 8]))
