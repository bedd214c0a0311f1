#!/usr/bin/env python3
"""Make tests/data/token/kinds: small vocabularies of the kinds other than byte-level BPE, and what SentencePiece and
Hugging Face tokenizers make of cases.txt with them.

    python3 tests/peers/token_kind_goldens.py tests/data/token
NAME.model or NAME.json is the vocabulary, NAME.ids a line of ids per case, NAME.txt what the peer decodes them to
(cases apart by U+001E, special tokens left out). Trained on corpus.txt; seedless.
"""
import base64, io, json, pathlib, sys
import sentencepiece as spm
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

# Some rules of a charsmap: a ligature, and one that begins as another does, full width letters, spaces, a composition of two characters, one that vanishes.
RULES = {"\ufb01": "fi", "\ufb01\u0301": "fí", "\u00a0": " ", "\u3000": " ", "\t": " ", "\n": " ", "\u00e9": "e", "e\u0301": "e", "\u200d": "",
         "\u2026": "...", **{chr(0xFF21 + i): chr(65 + i) for i in range(26)}, **{chr(0xFF41 + i): chr(97 + i) for i in range(26)}}
MORE = [" <sep> a<sep>b <mask>x  <mask>  y<word> sword <word>!", "▁ a▁b ▁▁c", "  two  spaces  ", "\n\n", "ﬁne ＡＢＣ e\u0301té…\t\u3000x",
        "unaffable, isn't it? I 've do not n't", "[CLS] [MASK] Ünïcödé 你好 世界", "a\u200db", "ﬁ\u0301x ﬁx", "\ufffd\u0000 \x07bell", "x" * 120, "ab" * 50, "Day day DAY"]


def train_spm(corpus, model_type, **more):
    out = io.BytesIO()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=out, model_type=model_type, vocab_size=500,
                                   character_coverage=.995, user_defined_symbols=["<sep>", "▁▁"], hard_vocab_limit=False,
                                   max_sentence_length=1 << 20, minloglevel=2, num_threads=1, **more)
    return out.getvalue()


def hf_spm_bpe(sp):
    """As Llama 2's tokenizer.json says it: the merges of a SentencePiece BPE by score."""
    vocab = {sp.id_to_piece(i): i for i in range(sp.get_piece_size())}
    merges = [(a, b, w) for w, i in vocab.items() for k in range(1, len(w)) for a, b in [(w[:k], w[k:])] if a in vocab and b in vocab]
    merges.sort(key=lambda m: (-sp.get_score(vocab[m[2]]), vocab[m[0]], vocab[m[1]]))
    t = Tokenizer(models.BPE(vocab, [m[:2] for m in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_special_tokens([AddedToken("<s>", normalized=True), AddedToken("</s>", normalized=False)])
    t.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", vocab["<s>"])])
    return t


def hf_metaspace(sp):
    """As Mistral's: a prefix for the first words only, and added tokens of every kind."""
    t = hf_spm_bpe(sp)
    t.normalizer = None
    t.pre_tokenizer = pre_tokenizers.Metaspace("▁", "first", split=False)
    t.add_tokens([AddedToken("<mask>", lstrip=True, rstrip=True), AddedToken("word", single_word=True, normalized=False)])
    return t


def hf_unigram(corpus, charsmap):
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " ")])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    t.decoder = decoders.Metaspace()
    t.train_from_iterator(corpus, trainers.UnigramTrainer(vocab_size=500, special_tokens=["<unk>", "</s>", "<mask>"],
                                                          unk_token="<unk>", show_progress=False))
    t.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B </s>", [("</s>", 1)])
    return t


def hf_wordpiece(corpus):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer = normalizers.BertNormalizer()
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(corpus, trainers.WordPieceTrainer(vocab_size=500, limit_alphabet=120, show_progress=False,
                                                            special_tokens=["[UNK]", "[CLS]", "[SEP]", "[MASK]"]))
    t.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    t.add_tokens([AddedToken("day", normalized=True)])
    return t


def hf_parts(corpus):
    """Byte-level BPE behind every other part: what is lower, stripped, replaced, cut and dropped."""
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Sequence([
        normalizers.Nmt(), normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(),
        normalizers.Replace("the", "THE"), normalizers.Replace(Regex("[0-9]{2}"), "#"), normalizers.Strip(),
        normalizers.NFKC(), normalizers.NFD()])
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex("x+"), "removed"), pre_tokenizers.Split("a", "merged_with_next"),
        pre_tokenizers.Split("e", "merged_with_previous"), pre_tokenizers.Split(Regex("[oi]"), "contiguous", invert=True),
        pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Whitespace(),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                                      show_progress=False))
    return t


def write(out, name, vocabulary, encode, decode, cases):
    (out / name).write_bytes(vocabulary)
    ids = [encode(c) for c in cases]
    (out / (name.split(".")[0] + ".ids")).write_text("".join(" ".join(map(str, i)) + "\n" for i in ids))
    (out / (name.split(".")[0] + ".txt")).write_bytes("\x1e".join(decode(i) for i in ids).encode())


def main():
    data = pathlib.Path(sys.argv[1])
    out = data / "kinds"
    out.mkdir(exist_ok=True)
    corpus = [line for doc in (data / "corpus.txt").read_text().split("\0") for line in doc.split("\n") if line.strip()]
    cases = (data / "cases.txt").read_bytes().decode().split("\x1e") + MORE
    (out / "cases.txt").write_bytes("\x1e".join(cases).encode())
    rules = out / "rules.tsv"
    rules.write_text("".join(" ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) + "\n" for a, b in RULES.items()))
    bpe = train_spm(corpus, "bpe", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False)
    unigram = train_spm(corpus, "unigram", normalization_rule_tsv=str(rules))
    rules.unlink()
    for name, model in (("spm_bpe", bpe), ("spm_unigram", unigram)):
        sp = spm.SentencePieceProcessor(model_proto=model)
        write(out, name + ".model", model, sp.encode, sp.decode, cases)
    sp = spm.SentencePieceProcessor(model_proto=bpe)
    from sentencepiece import sentencepiece_model_pb2
    proto = sentencepiece_model_pb2.ModelProto.FromString(unigram)
    charsmap = proto.normalizer_spec.precompiled_charsmap
    for name, t in (("hf_llama", hf_spm_bpe(sp)), ("hf_metaspace", hf_metaspace(sp)), ("hf_unigram", hf_unigram(corpus, charsmap)),
                    ("hf_wordpiece", hf_wordpiece(corpus)), ("hf_parts", hf_parts(corpus))):
        t = Tokenizer.from_str(t.to_str())
        special = {i for i, a in t.get_added_tokens_decoder().items() if a.special}
        write(out, name + ".json", t.to_str().encode(), lambda c, t=t: t.encode(c).ids,
              lambda ids, t=t, special=special: t.decode([i for i in ids if i not in special]), cases)


main()
