"""Makes tests/data/chat, a model whose answers are known: each token has one successor, whatever came before.

    tests/peers/chat_model.py FOLDER

Tokens are the 256 bytes and three special ones. Embeddings are vectors of +-1 far from each other, attention and
feed-forward are zero, and a token's row of the head is the embedding of its predecessor. Answers begin with the last
character of the question, so that says what comes: "A" is followed by the rest of the alphabet and the end, "0" by
digits for ever, "!" by an e with an accent, "?" by a byte that is not UTF-8, "#" by an escape sequence of terminals,
"$" by either "%" or "&", and anything else by the end.
"""
import json
import pathlib
import random
import struct
import sys

WIDTH, FF, HEADS, KV, POSITIONS = 32, 16, 2, 1, 512
TEXT_END, START, END = 256, 257, 258
N = 259
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = ("{% for m in messages %}<|im_start|>{{ m['role'] + '\n' + m['content'] }}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{{ messages[-1]['content'][-1] }}{% endif %}")


def successors():
    """token -> tokens that may follow"""
    after = {t: [END] for t in range(N)}
    for text in ("\nABCDEFGHIJKLMNOPQRSTUVWXYZ", "01234567890"):
        for a, b in zip(text, text[1:]):
            after[ord(a)] = [ord(b)]
    for chain in ([ord("!"), 0xC3, 0xA9], [ord("?"), 0xFF], [ord("#"), 0x1B, ord("["), ord("2")]):
        for a, b in zip(chain, chain[1:]):
            if a != ord("["):
                after[a] = [b]
    after[ord("$")] = [ord("%"), ord("&")]
    return after


def codes():
    """N vectors of +-1 that begin with 1, of which no two agree in more than three quarters of the places."""
    random.seed(7)
    found = []
    while len(found) < N:
        c = random.getrandbits(WIDTH) | 1
        if all(8 <= bin(c ^ d).count("1") <= WIDTH for d in found):
            found.append(c)
    return [[1 if c >> i & 1 else -1 for i in range(WIDTH)] for c in found]


def bf16(values):
    return b"".join(struct.pack("<f", v)[2:] for v in values)


def tensors():
    e, head = codes(), [[0] * WIDTH for _ in range(N)]
    for before, after in successors().items():
        for t in after:
            if t != END:
                head[t] = [2 * x for x in e[before]]
    # Logits are 64 for the successor and at most 32 for what is not meant; the end stands between.
    head[END][0] = 48
    layer, zero = "model.layers.0.", lambda *shape: (shape, [0] * (shape[0] * shape[1]))
    d = WIDTH // HEADS
    return {
        "model.embed_tokens.weight": ((N, WIDTH), [x for row in e for x in row]),
        "lm_head.weight": ((N, WIDTH), [x for row in head for x in row]),
        "model.norm.weight": ((WIDTH,), [1] * WIDTH),
        layer + "input_layernorm.weight": ((WIDTH,), [1] * WIDTH),
        layer + "post_attention_layernorm.weight": ((WIDTH,), [1] * WIDTH),
        layer + "self_attn.q_proj.weight": zero(HEADS * d, WIDTH),
        layer + "self_attn.k_proj.weight": zero(KV * d, WIDTH),
        layer + "self_attn.v_proj.weight": zero(KV * d, WIDTH),
        layer + "self_attn.o_proj.weight": zero(WIDTH, HEADS * d),
        layer + "mlp.gate_proj.weight": zero(FF, WIDTH),
        layer + "mlp.up_proj.weight": zero(FF, WIDTH),
        layer + "mlp.down_proj.weight": zero(WIDTH, FF),
    }


def write_safetensors(path):
    header, data = {}, b""
    for name, (shape, values) in tensors().items():
        raw = bf16(values)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def alphabet():
    """GPT-2's printable stand-ins of the bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": N, "hidden_size": WIDTH,
              "intermediate_size": FF, "num_hidden_layers": 1, "num_attention_heads": HEADS, "num_key_value_heads": KV,
              "max_position_embeddings": POSITIONS, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu",
              "tie_word_embeddings": False, "bos_token_id": None, "eos_token_id": TEXT_END, "torch_dtype": "bfloat16"}
    vocab = {**{alphabet()[b]: b for b in range(256)}}
    added = [{"id": 256 + i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
             for i, s in enumerate(SPECIAL)]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
                 "pre_tokenizer": level, "post_processor": None, "decoder": level,
                 "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                           "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": []}}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": SPECIAL[0], "chat_template": TEMPLATE}
    for name, value in (("config", config), ("tokenizer", tokenizer), ("tokenizer_config", settings),
                        ("generation_config", {"eos_token_id": TEXT_END})):
        (folder / (name + ".json")).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    write_safetensors(folder / "model.safetensors")


main()
