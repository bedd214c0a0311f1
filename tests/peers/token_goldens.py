#!/usr/bin/env python3
"""Make tests/data/token: vocabularies trained by Hugging Face's trainer and ids by its encoder and by tiktoken.

    python3 tests/peers/token_goldens.py CLASSICS.jsonl tests/data/token
corpus.txt      what the vocabularies are trained on: documents separated by a NUL
cases.txt       texts to encode, separated by a record separator (0x1e)
PATTERN.json    tokenizer.json, 700 tokens, trained on the documents
PATTERN.ids     a line of ids per case
small.tiktoken  600 ranks; small.ids: tiktoken's ids of the cases with the cl100k pattern
"""
import base64, json, pathlib, random, sys
import tiktoken
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SEED, SIZE = 7, 700
QUOTE = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+|"
PATTERNS = {
    "gpt2": None,
    "llama3": QUOTE + "|" + WORD + r"\p{N}{1,3}|" + REST,
    "qwen2": QUOTE + "|" + WORD + r"\p{N}|" + REST,
    "nanochat": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    "o200k": r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + QUOTE + "?|"
             + r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + QUOTE + "?|"
             + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    # An unknown pattern in two stages, for the general path: digits apart, then camelCase and the rest.
    "general": [r"\p{N}{1,4}", r"\p{Lu}?\p{Ll}+|\s?\p{L}|[^\s\p{L}]+(?=\s)|\s+"],
}
CL100K = (r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]"""
          r"""|\s+(?!\S)|\s""")
SPECIAL = ["<|endoftext|>", "<|end|>", "<|endless|>"]


def documents(classics):
    texts = [json.loads(line)["text"] for line in open(classics, encoding="utf-8")]
    docs = [t[len(t) // 2:][:7000] for t in texts[:90:15]]
    docs.append("for (int i = 0; i < n_rows; i++) {\n    size_t k = i * 4096 + 17;\n\tout[i] = a[k] != b[k];\n}\n" * 20)
    docs.append("Здравствуй, мир. こんにちは、世界。你好，世界。 안녕하세요 세계. नमस्ते दुनिया। שלום עולם. "
                "Καλημέρα κόσμε. مرحبا بالعالم. Xin chào thế giới. Žluťoučký kůň. 🎉🎊👩‍👩‍👧‍👦\n" * 12)
    return docs


def cases():
    rng = random.Random(SEED)
    out = ["Hello, world!", " leading and trailing  ", "a\n  ", "a\n \n b\r\n\r\n\tc", "I'm we'LL they'Re it'ſ 'tis ''s '",
           "1234567890 12 ٠١٢٣٤ ½ Ⅻ", "x = y/*comment*/ // http://a.b/c?d=e&f\n", "HTMLParser ǅungla ʰA é Å Ｆｕｌｌ ß ẞ ŁÓDŹ'S",
           "你好，世界。こんにちは 안녕", "नमस्ते दुनिया क्षत्रिय", "👩‍👩‍👧‍👦🇩🇪 emoji ❤️ ok", "\u00a0\u2003\u3000 wide\u2028spaces\u0085",
           "<|endoftext|>", "a<|end|>b<|endless|><|endoftext|>", "<|end", "< |end|> <|END|>", "ab" * 300, " " * 200 + "x",
           "\n" * 150, "=" * 120, "aaaaaaaaab" * 40, "the the the theThe THE", "\u0301\u0301abc\u0301DEF\u0301gH", "\x00\x01\x7f\x1b[0m"]
    pool = list(" \t\r\n'\u2019aAzZsStTlLdDvVeErRmM019.,/-_<|>\u00a0\u0301\u017f\u3000\u01c5\u02b0\u0660\u20e3éßж你ก😀")
    out += ["".join(rng.choice(pool) for _ in range(rng.randrange(2, 60))) for _ in range(150)]
    return out


def train(name, pattern, docs):
    t = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    stages = [] if pattern is None else pattern if isinstance(pattern, list) else [pattern]
    t.pre_tokenizer = level if not stages else pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(p), "isolated") for p in stages] + [level])
    t.decoder = decoders.ByteLevel()
    if name == "qwen2":
        t.normalizer = normalizers.NFC()
    t.train_from_iterator(docs, trainers.BpeTrainer(
        vocab_size=SIZE - len(SPECIAL), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    t.add_tokens([AddedToken(s, special=s != "<|endless|>", normalized=False) for s in SPECIAL])
    if name == "llama3":
        t.post_processor = processors.TemplateProcessing(
            single="<|end|> $A <|endoftext|>", pair="<|end|> $A <|endoftext|> $B:1",
            special_tokens=[("<|end|>", t.token_to_id("<|end|>")), ("<|endoftext|>", t.token_to_id("<|endoftext|>"))])
    return t


def main():
    docs, texts, out = documents(sys.argv[1]), cases(), pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    (out / "corpus.txt").write_bytes("\0".join(docs).encode())
    (out / "cases.txt").write_bytes("\x1e".join(texts).encode())
    for name, pattern in PATTERNS.items():
        t = train(name, pattern, docs)
        (out / f"{name}.json").write_text(t.to_str(pretty=False), encoding="utf-8")
        (out / f"{name}.ids").write_text("".join(" ".join(map(str, t.encode(x).ids)) + "\n" for x in texts))
    merges = [(t.id_to_token(i)) for i in range(600)]
    back = {c: b for b, c in byte_chars().items()}
    ranks = {bytes(back[c] for c in m): i for i, m in enumerate(merges)}
    (out / "small.tiktoken").write_text("".join(f"{base64.b64encode(b).decode()} {i}\n" for b, i in ranks.items()))
    e = tiktoken.Encoding("small", pat_str=CL100K, mergeable_ranks=ranks, special_tokens={})
    (out / "small.ids").write_text("".join(" ".join(map(str, e.encode(x))) + "\n" for x in texts))


def byte_chars():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(hidden)}


main()
