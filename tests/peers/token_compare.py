#!/usr/bin/env python3
"""Compare token ids with Hugging Face tokenizers, tiktoken and SentencePiece, vocabulary by vocabulary, on mixed text.

    python3 tests/peers/token_compare.py BENCH_TOKEN TOK_DIR [--text FILE.jsonl ...] [--files DIR ...] [--mb 20]
BENCH_TOKEN is the program of bench/; TOK_DIR holds tiktoken/, tokenizer_json/, sentencepiece/, llama.cpp/ and blns/. Text comes
from JSONL files (field text), from the C sources and headers and the message catalogues under --files, from the
naughty strings, and from made-up strings over all of Unicode. Prints a line per vocabulary; exit status 1 on
any difference.
"""
import argparse, gettext, json, pathlib, random, re, struct, subprocess, sys, tempfile, unicodedata
import sentencepiece, tiktoken, tokenizers
from tiktoken.load import data_gym_to_mergeable_bpe_ranks, load_tiktoken_bpe
from tiktoken_ext import openai_public

SEED = 20261123
BATCH = 64  # documents whose offsets and texts Hugging Face holds at once


def novels(path, limit):
    taken = 0
    for line in open(path, encoding="utf-8"):
        text = json.loads(line)["text"]
        yield text
        taken += len(text)
        if taken > limit:
            return


def sources(roots, limit):
    taken = 0
    paths = sorted(p for r in roots for s in ("*.c", "*.h", "*.py") for p in pathlib.Path(r).rglob(s))
    random.Random(SEED).shuffle(paths)
    for p in paths:
        try:
            text = p.read_bytes().decode("utf-8")
        except (UnicodeDecodeError, OSError):
            continue
        yield text
        taken += len(text)
        if taken > limit:
            return


def catalogues(roots, limit):
    """Messages in a hundred languages, the scripts mixed."""
    taken = 0
    paths = sorted(p for r in roots for p in pathlib.Path(r).rglob("*.mo"))
    random.Random(SEED).shuffle(paths)
    for p in paths:
        try:
            with p.open("rb") as f:
                catalogue = gettext.GNUTranslations(f)._catalog
        except (UnicodeDecodeError, OSError, ValueError, AttributeError):
            continue
        text = "\n".join(v for v in catalogue.values() if isinstance(v, str))
        yield text
        taken += len(text.encode("utf-8"))
        if taken > limit:
            return


def every_character():
    """Each code point beside others, so that every class meets every class."""
    points = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    for first in range(0, len(points), 997):
        yield "".join(map(chr, points[first:first + 997]))
    rng = random.Random(SEED)
    assigned = [c for c in points if c < 0x20000 or 0xE0000 <= c < 0xE0200]
    small = [ord(c) for c in " \t\r\n'\u2019aAzZsStTlLdD019.,/-_\u00a0\u0301\u017f\u3000\u1e9e\u01c5\u02b0\u0660\u20e3\U0001f600"]
    for _ in range(6000):
        pool = small if rng.random() < .6 else small + rng.sample(assigned, 20)
        yield "".join(chr(rng.choice(pool)) for _ in range(rng.randrange(1, 120)))


def emoji():
    rng = random.Random(SEED)
    faces = [chr(c) for c in range(0x1F300, 0x1FAFF)] + ["\u200d", "\ufe0f", "\U0001F3FD", " ", "\U0001F1E9\U0001F1EA"]
    for _ in range(200):
        yield "".join(rng.choice(faces) for _ in range(60))


def corpus(args):
    tok = pathlib.Path(args.tok)
    share = args.mb * 1_000_000
    parts = {
        "novels": [d for p in args.text for d in novels(p, share * .45 / len(args.text))],
        "code": list(sources(args.files, share * .3)),
        "catalogues": list(catalogues(args.files, share * .3)),
        "characters": list(every_character()),
        "emoji": list(emoji()),
        "naughty": json.load(open(tok / "blns/blns.json", encoding="utf-8")) + [(tok / "blns/blns.txt").read_text("utf-8")],
    }
    for name, docs in parts.items():
        print(f"corpus\t{name}\t{len(docs)} documents\t{sum(len(d.encode()) for d in docs)} bytes")
    return [d for docs in parts.values() for d in docs if d]


def pack(docs, path):
    with open(path, "wb") as f:
        for d in docs:
            f.write(struct.pack("<I", len(d)) + d)


def ours(program, vocabulary, packed, scratch):
    out = scratch / "ids"
    subprocess.run([program, "encode", str(vocabulary), str(packed), str(out)], check=True, stdout=subprocess.DEVNULL)
    data, at, lists = out.read_bytes(), 0, []
    while at < len(data):
        n = struct.unpack_from("<I", data, at)[0]
        lists.append(list(struct.unpack_from(f"<{n}i", data, at + 4)))
        at += 4 + 4 * n
    return lists


def published(name, tok):
    """tiktoken's own Encoding, from the files at hand instead of its download."""
    openai_public.load_tiktoken_bpe = lambda url, **_: load_tiktoken_bpe(str(tok / "tiktoken" / url.split("/")[-1]))
    openai_public.data_gym_to_mergeable_bpe_ranks = lambda **_: data_gym_to_mergeable_bpe_ranks(
        str(tok / "tiktoken/vocab.bpe"), str(tok / "tiktoken/encoder.json"))
    return tiktoken.Encoding(**getattr(openai_public, name)())


def peers(tok, sp_models):
    """(name, our path, function from a list of texts to a list of id lists)"""
    for name in ("gpt2", "r50k_base", "p50k_base", "cl100k_base", "o200k_base"):
        encoding = published(name, tok)
        path = tok / "tiktoken" / ("encoder.json" if name == "gpt2" else name + ".tiktoken")
        yield f"tiktoken {name}", path, lambda docs, e=encoding: [e.encode(d, allowed_special="all") for d in docs]
    gpt2 = tokenizers.ByteLevelBPETokenizer(str(tok / "tiktoken/encoder.json"), str(tok / "tiktoken/vocab.bpe"))
    gpt2.add_special_tokens(["<|endoftext|>"])
    yield "HF gpt2", tok / "tiktoken/encoder.json", lambda docs: [e.ids for e in gpt2.encode_batch(docs)]
    for name in ("llama3", "qwen", "deepseek", "llama2", "mistral", "t5", "bert"):
        t = tokenizers.Tokenizer.from_file(str(tok / "tokenizer_json" / name / "tokenizer.json"))
        yield f"HF {name}", tok / "tokenizer_json" / name, lambda docs, t=t: [
            e.ids for i in range(0, len(docs), BATCH) for e in t.encode_batch(docs[i:i + BATCH], add_special_tokens=False)]
    for path in sorted((tok / "sentencepiece").rglob("*.model")) + sp_models:
        sp = sentencepiece.SentencePieceProcessor(model_file=str(path))
        yield f"sentencepiece {path.name}", path, lambda docs, sp=sp: sp.encode(docs)


def newer(name, doc):
    """Whether a difference is that of Unicode versions: Hugging Face's NFC is of Unicode 13 and leaves marks added
    since unordered (utf8proc has 15); its \\p{..} are of Unicode 16, and PCRE2 10.42's, for patterns we have no
    scanner for (deepseek), of 14."""
    unassigned = any(unicodedata.category(c) == "Cn" for c in doc)  # in Python's Unicode, 14
    if name == "HF qwen":
        return unassigned or tokenizers.normalizers.NFC().normalize_str(doc) != unicodedata.normalize("NFC", doc)
    return name == "HF deepseek" and unassigned


def report(name, docs, want, got):
    differ = [i for i in range(len(docs)) if want[i] != got[i]]
    wrong = [i for i in differ if not newer(name, docs[i])]
    n_ids = sum(map(len, want))
    print(f"ids\t{name}\t{len(docs)} documents\t{n_ids} ids\t{len(wrong)} documents differ"
          + (f"\t{len(differ) - len(wrong)} differ by Unicode version" if differ else ""), flush=True)
    for i in wrong[:3]:
        k = next((k for k, (a, b) in enumerate(zip(want[i], got[i])) if a != b), min(len(want[i]), len(got[i])))
        print(f"    document {i} at id {k}: want {want[i][k:k + 6]}, got {got[i][k:k + 6]} in {docs[i][:80]!r}")
    return len(wrong)


def vectors(program, tok, scratch):
    """llama.cpp's own test vectors, for the vocabularies that are at hand in a form we read."""
    wrong = 0
    for stem, path in (("gpt-2", "tiktoken/encoder.json"), ("llama-bpe", "tokenizer_json/llama3"),
                       ("qwen2", "tokenizer_json/qwen")):
        base = tok / "llama.cpp" / f"ggml-vocab-{stem}.gguf"
        texts = (base.parent / (base.name + ".inp")).read_bytes().decode("utf-8").split("\n__ggml_vocab_test__\n")[:-1]
        want = [[int(x) for x in line.split()] for line in (base.parent / (base.name + ".out")).read_text().splitlines()]
        pack([t.encode() for t in texts], scratch / "vectors")
        wrong += report(f"llama.cpp vectors {stem}", texts, want, ours(program, tok / path, scratch / "vectors", scratch))
    return wrong


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("tok")
    p.add_argument("--text", nargs="+", default=[])
    p.add_argument("--files", nargs="+", default=["/usr/include", "/usr/lib/python3", "/usr/share/locale"])
    p.add_argument("--mb", type=float, default=20)
    p.add_argument("--only", default="", help="the peers whose names match this regular expression")
    p.add_argument("--sentencepiece", nargs="+", type=pathlib.Path, default=[], help="more .model files")
    args = p.parse_args()
    docs, wrong, tok = corpus(args), 0, pathlib.Path(args.tok)
    with tempfile.TemporaryDirectory() as d:
        scratch = pathlib.Path(d)
        pack([t.encode() for t in docs], scratch / "docs")
        for name, path, encode in peers(tok, args.sentencepiece):
            if re.search(args.only, name):
                wrong += report(name, docs, encode(docs), ours(args.program, path, scratch / "docs", scratch))
        wrong += vectors(args.program, tok, scratch)
    sys.exit(wrong != 0)


main()
