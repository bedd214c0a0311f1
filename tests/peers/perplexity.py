"""Golden perplexities for check_perplexity, as in transformers' "perplexity of fixed-length models".

Usage: perplexity.py GOLDEN_DIR OUT.json. For tiny models of GOLDEN_DIR: tokens, window, stride, sum of -ln p."""
import json, pathlib, sys
import torch
from transformers import AutoModelForCausalLM

torch.manual_seed(11)
out = []
for name in ("gpt2", "llama", "qwen3", "mistral_window"):
    model = AutoModelForCausalLM.from_pretrained(pathlib.Path(sys.argv[1]) / name, dtype=torch.float32,
                                                 attn_implementation="eager").eval()
    limit = model.config.max_position_embeddings
    ids = torch.randint(0, model.config.vocab_size, (1, 3 * limit // 2))
    for window, stride in ((16, 5), (16, 15), (limit, limit // 2), (7, 1)):
        nll, count, before = 0.0, 0, 0
        for begin in range(0, ids.shape[1], stride):
            end = min(begin + window, ids.shape[1])
            piece = ids[:, begin:end]
            target = piece.clone()
            target[:, :-(end - before)] = -100
            with torch.no_grad():
                z = model(piece).logits.double()
            valid = int((target[:, 1:] != -100).sum())
            nll += float(torch.nn.functional.cross_entropy(z[0, :-1], target[0, 1:], reduction="sum"))
            count += valid
            before = end
            if end == ids.shape[1]:
                break
        out.append(dict(model=name, ids=ids[0].tolist(), window=window, stride=stride, nll=nll, count=count))
json.dump(out, open(sys.argv[2], "w"))
