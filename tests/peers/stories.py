#!/usr/bin/env python3
"""Karpathy's stories260K as one GGUF file, from the two files that llama2.c reads.

    python tests/peers/stories.py stories260K.bin tok512.bin OUT.gguf    # made tests/data/stories260K.gguf

The .bin is seven numbers and then float32: the embedding, each kind of weight over all layers, the last norm, tables of
rotations that nobody reads any more. It rotates neighbours, as GGUF does, so Q and K stay as they are. The tokenizer is
SentencePiece's BPE with its scores; its pieces have spaces where SentencePiece writes U+2581.
"""
import struct
import sys

import gguf
import numpy as np

EPSILON, THETA = 1e-5, 10000.0  # constants of llama2.c


def read_model(path):
    data = open(path, "rb").read()
    width, hidden, layers, heads, kv_heads, vocab, context = struct.unpack("<7i", data[:28])
    assert vocab > 0, "the head is a matrix of its own: not this model"
    numbers, at = np.frombuffer(data, "<f4", offset=28), 0
    kv = width // heads * kv_heads
    tensors = {}

    def take(name, *shape):
        nonlocal at
        rows = numbers[at:at + int(np.prod(shape))].reshape(shape)
        at += rows.size
        for i, row in enumerate(rows if "%d" in name else [rows]):
            tensors[name % i if "%d" in name else name] = row

    take("token_embd.weight", vocab, width)
    take("blk.%d.attn_norm.weight", layers, width)
    take("blk.%d.attn_q.weight", layers, width, width)
    take("blk.%d.attn_k.weight", layers, kv, width)
    take("blk.%d.attn_v.weight", layers, kv, width)
    take("blk.%d.attn_output.weight", layers, width, width)
    take("blk.%d.ffn_norm.weight", layers, width)
    take("blk.%d.ffn_gate.weight", layers, hidden, width)
    take("blk.%d.ffn_down.weight", layers, width, hidden)
    take("blk.%d.ffn_up.weight", layers, hidden, width)
    take("output_norm.weight", width)
    assert numbers.size - at == context * width // heads, "the file has another length than its numbers say"
    return (width, hidden, layers, heads, kv_heads, context), tensors


def read_tokens(path, vocab):
    data, at, out = open(path, "rb").read(), 4, []
    for _ in range(vocab):
        score, n = struct.unpack_from("<fi", data, at)
        out.append((data[at + 8:at + 8 + n], score))
        at += 8 + n
    return out


def main(model, tokenizer, path):
    (width, hidden, layers, heads, kv_heads, context), tensors = read_model(model)
    pieces = read_tokens(tokenizer, len(tensors["token_embd.weight"]))
    T = gguf.TokenType
    w = gguf.GGUFWriter(path, "llama")
    w.add_name("stories260K")
    w.add_license("mit")
    w.add_context_length(context)
    w.add_embedding_length(width)
    w.add_block_count(layers)
    w.add_feed_forward_length(hidden)
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_layer_norm_rms_eps(EPSILON)
    w.add_rope_dimension_count(width // heads)
    w.add_rope_freq_base(THETA)
    w.add_tokenizer_model("llama")
    w.add_token_list([b"<unk>", b"<s>", b"</s>"] + [b"<0x%02X>" % i for i in range(256)] +
                     [piece.replace(b" ", "\u2581".encode()) for piece, _ in pieces[259:]])
    w.add_token_scores([score for _, score in pieces])
    w.add_token_types([T.UNKNOWN, T.CONTROL, T.CONTROL] + [T.BYTE] * 256 + [T.NORMAL] * (len(pieces) - 259))
    w.add_unk_token_id(0)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_add_bos_token(True)
    w.add_add_eos_token(False)
    w.add_add_space_prefix(True)
    for name, data in tensors.items():
        w.add_tensor(name, data)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


main(*sys.argv[1:])
