#!/usr/bin/env python3
"""Tokenizer speed beside Hugging Face tokenizers, tiktoken and SentencePiece: one thread, one run.

    python3 tests/peers/token_speed.py encode BENCH_TOKEN TOK_DIR DOCUMENTS...
    python3 tests/peers/token_speed.py kinds BENCH_TOKEN TOK_DIR DOCUMENTS MODEL...
    python3 tests/peers/token_speed.py train BENCH_TOKEN DOCUMENTS [SIZE]
DOCUMENTS is a JSONL file (field text; its first 20 MB) or a folder of C files (10 MB). Encoding is with the GPT-2
vocabulary, document by document, three interleaved rounds; the median of each is printed. `kinds` does the same with the
other kinds of vocabulary: tokenizer_json/{llama2,mistral,t5,bert} and the SentencePiece models named, on 4 MB.
"""
import os
os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1")
import json, pathlib, random, re, statistics, struct, subprocess, sys, tempfile, time


def documents(path):
    path, docs, n = pathlib.Path(path), [], 0
    if path.is_dir():
        files = sorted(path.rglob("*.c"))
        random.Random(1).shuffle(files)
        texts, limit = (f.read_text("utf-8", errors="ignore") for f in files), 10e6
    else:
        texts, limit = (json.loads(line)["text"] for line in path.open(encoding="utf-8")), 20e6
    for t in texts:
        docs.append(t)
        n += len(t.encode())
        if n > limit:
            break
    return docs, n


def pack(docs, path):
    with open(path, "wb") as f:
        for d in docs:
            b = d.encode()
            f.write(struct.pack("<I", len(b)) + b)


def seconds(work, clock=time.process_time):
    """Of the processor where one thread works, as bench_token: on a busy machine the wall clock measures the others."""
    start = clock()
    result = work()
    return clock() - start, result


def encode(program, tok, paths):
    import tiktoken, tokenizers
    from tiktoken.load import data_gym_to_mergeable_bpe_ranks
    tok = pathlib.Path(tok) / "tiktoken"
    files = str(tok / "encoder.json"), str(tok / "vocab.bpe")
    hf = tokenizers.ByteLevelBPETokenizer(*files)
    tk = tiktoken.Encoding("gpt2", pat_str=r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",
                           mergeable_ranks=data_gym_to_mergeable_bpe_ranks(files[1], files[0]), special_tokens={})
    for path in paths:
        docs, n = documents(path)
        took = {"HF tokenizers": [], "tiktoken": [], "fledge": []}
        with tempfile.NamedTemporaryFile() as f:
            pack(docs, f.name)
            for _ in range(3):
                s, ids = seconds(lambda: sum(len(hf.encode(d).ids) for d in docs))
                took["HF tokenizers"].append(s)
                s, ids_tk = seconds(lambda: sum(len(tk.encode_ordinary(d)) for d in docs))
                took["tiktoken"].append(s)
                said = subprocess.run([program, "encode", files[0], f.name], check=True, capture_output=True, text=True).stdout
                took["fledge"].append(n / 1e6 / float(re.search(r"([\d.]+) MB/s", said)[1]))
                assert f"\t{ids} tokens" in said and ids == ids_tk, "the counts differ"
        rate = {k: n / 1e6 / statistics.median(v) for k, v in took.items()}
        for k, v in rate.items():
            print(f"encode\t{pathlib.Path(path).name}\t{n} bytes\t{k}\t{v:.1f} MB/s\tfledge is {rate['fledge'] / v:.1f}x", flush=True)


def kinds(program, tok, path, models):
    import sentencepiece, tokenizers
    docs, _ = documents(path)
    docs = [d[:1 << 18] for d in docs[:16]]
    n = sum(len(d.encode()) for d in docs)
    peers = {}
    for name in ("llama2", "mistral", "t5", "bert"):
        folder = pathlib.Path(tok) / "tokenizer_json" / name
        t = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        peers[f"HF {name}"] = folder, lambda d, t=t: len(t.encode(d, add_special_tokens=False).ids)
    for model in models:
        sp = sentencepiece.SentencePieceProcessor(model_file=model)
        peers[f"SentencePiece {pathlib.Path(model).name}"] = model, lambda d, sp=sp: len(sp.encode(d))
    with tempfile.NamedTemporaryFile() as f:
        pack(docs, f.name)
        for name, (vocabulary, encode_one) in peers.items():
            theirs, ours = [], []
            for _ in range(3):
                s, ids = seconds(lambda: sum(map(encode_one, docs)))
                theirs.append(n / 1e6 / s)
                said = subprocess.run([program, "encode", str(vocabulary), f.name], check=True, capture_output=True, text=True).stdout
                ours.append(float(re.search(r"([\d.]+) MB/s", said)[1]))
                assert f"\t{ids} tokens" in said, "the counts differ"
            a, b = statistics.median(theirs), statistics.median(ours)
            print(f"encode\t{n} bytes\t{name}\t{a:.1f} MB/s\tfledge\t{b:.1f} MB/s\t{b / a:.1f}x", flush=True)


def train(program, path, size):
    import sentencepiece, tokenizers
    from tokenizers import models, pre_tokenizers, trainers
    docs, n = documents(path)
    took = {}
    with tempfile.TemporaryDirectory() as d:
        pack(docs, f"{d}/docs")
        said = subprocess.run([program, "train", f"{d}/docs", str(size), "gpt2", f"{d}/out"], check=True, capture_output=True, text=True).stdout
        took["fledge"] = float(re.search(r"([\d.]+) s\t", said)[1])
        t = tokenizers.Tokenizer(models.BPE())
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
        took["HF tokenizers"], _ = seconds(lambda: t.train_from_iterator(docs, trainer), time.perf_counter)
        lines = pathlib.Path(d, "lines.txt")
        lines.write_text("\n".join(docs))
        took["SentencePiece"], _ = seconds(lambda: sentencepiece.SentencePieceTrainer.train(
            input=str(lines), model_prefix=f"{d}/sp", vocab_size=size, model_type="bpe", num_threads=1, minloglevel=2,
            character_coverage=1.0, input_sentence_size=0, max_sentence_length=1 << 20), time.perf_counter)
    for k, v in took.items():
        print(f"train {size}\t{n} bytes\t{k}\t{v:.2f} s\tfledge is {v / took['fledge']:.1f}x", flush=True)


if sys.argv[1] == "encode":
    encode(sys.argv[2], sys.argv[3], sys.argv[4:])
elif sys.argv[1] == "kinds":
    kinds(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:])
else:
    train(sys.argv[2], sys.argv[3], int(sys.argv[4]) if len(sys.argv) > 4 else 32000)
