"""Two small byte-level BPE tokenizers for tests: tests/data/tokenizer/{eos,both}.

Usage: small_tokenizers.py TEXT OUT. `eos`: GPT-2's pattern, 512 tokens, <|endoftext|> only. `both`: the same text
normalised to NFC, 384 tokens, <s> and </s>, a template that puts <s> first."""
import json, pathlib, sys
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

text, out = sys.argv[1], pathlib.Path(sys.argv[2])


def make(name, size, specials, config, nfc):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    t.decoder = decoders.ByteLevel()
    if nfc:
        t.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=specials, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    t.train([text], trainer)
    if "bos_token" in config:
        t.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", t.token_to_id("<s>"))])
    (out / name).mkdir(parents=True, exist_ok=True)
    t.save(str(out / name / "tokenizer.json"))
    (out / name / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


make("eos", 512, ["<|endoftext|>"], {"eos_token": "<|endoftext|>",
                                     "tokenizer_class": "PreTrainedTokenizerFast"}, False)
make("both", 384, ["<s>", "</s>"], {"bos_token": "<s>", "eos_token": "</s>",
                                    "tokenizer_class": "PreTrainedTokenizerFast"}, True)
