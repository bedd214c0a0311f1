#!/usr/bin/env python3
"""What Fledge writes, opened by others: transformers, the gguf package and llama.cpp.

    LLAMA_CPP=.../llama.cpp python tests/peers/model_export.py build/release/fledge [NAME..]

Tiny models with a real byte-level tokenizer are made by transformers, converted by `fledge convert` to a folder and to
GGUF, and must give the same logits (1e-3) and the same greedy tokens; llama.cpp also the same tokens for a text.
LLAMA_CPP is its source with libraries in build/bin; tests/peers/llama_peer.c is compiled against it. Without it that
part is skipped, and says so. The last lines are a table of what llama.cpp said.
"""
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (AutoModelForCausalLM, AutoTokenizer, DeepseekV2Config, DeepseekV2ForCausalLM,
                          DeepseekV3Config, DeepseekV3ForCausalLM, Gemma2Config, Gemma2ForCausalLM, Gemma3ForCausalLM,
                          Gemma3TextConfig, GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM,
                          GptOssConfig, GptOssForCausalLM, LlamaConfig, LlamaForCausalLM, MistralConfig,
                          MistralForCausalLM, MixtralConfig, MixtralForCausalLM, Olmo2Config, Olmo2ForCausalLM,
                          Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM,
                          Qwen2MoeConfig, Qwen2MoeForCausalLM, Qwen3Config, Qwen3ForCausalLM, Qwen3MoeConfig,
                          Qwen3MoeForCausalLM, StableLmConfig, StableLmForCausalLM)
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

FLEDGE = sys.argv[1]
HERE = pathlib.Path(__file__).resolve().parent
torch.set_num_threads(1)
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
         r"\s+(?!\S)|\s+")
TEXT = "Once upon a time there was a small fox, who lived in 1234 woods. \"Hello!\" it said; it's \u00e9t\u00e9.\n\n  The end"
PROMPT, MORE = "Once upon a time", 24
failed = 0
table = {}  # what llama.cpp said


def check(ok, what):
    global failed
    failed += not ok
    print(("ok   " if ok else "FAIL ") + what)


def make_tokenizer():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator([TEXT * 20, pathlib.Path(__file__).read_text()], trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=t, eos_token="<|endoftext|>")


def make_llama_peer():
    """The program through which llama.cpp is asked, or None."""
    home = os.environ.get("LLAMA_CPP")
    if not home:
        print("SKIP llama.cpp: LLAMA_CPP is not set")
        return None
    libraries, program = f"{home}/build/bin", pathlib.Path(tempfile.mkdtemp()) / "llama_peer"
    subprocess.run(["cc", f"-I{home}/include", f"-I{home}/ggml/include", HERE / "llama_peer.c", "-o", program,
                    f"-L{libraries}", f"-Wl,-rpath,{libraries}", "-lllama", "-lggml", "-lggml-base"], check=True)
    return program


ENDS = dict(vocab_size=328, bos_token_id=None, eos_token_id=0)  # eight rows more than the tokenizer has tokens
LLAMA = dict(ENDS, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=128)
LATENT = dict(LLAMA, num_key_value_heads=4, n_routed_experts=8, num_experts_per_tok=3, moe_intermediate_size=32,
              n_shared_experts=2, kv_lora_rank=32, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32,
              routed_scaling_factor=1.5)
MSCALE = dict(rope_type="yarn", rope_theta=1000.0, factor=4.0, mscale=0.707, mscale_all_dim=0.707,
              original_max_position_embeddings=32)
MODELS = {
    "gpt2": GPT2LMHeadModel(GPT2Config(**ENDS, n_embd=64, n_layer=2, n_head=4, n_positions=128)),
    "llama": LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=False)),
    "mistral": MistralForCausalLM(MistralConfig(**LLAMA, head_dim=32, sliding_window=None)),
    "llama3rope": LlamaForCausalLM(LlamaConfig(
        **LLAMA, tie_word_embeddings=True, rope_parameters=dict(
            rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
            original_max_position_embeddings=32))),
    "linearrope": LlamaForCausalLM(LlamaConfig(
        **LLAMA, tie_word_embeddings=True, rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=2.0))),
    "qwen3": Qwen3ForCausalLM(Qwen3Config(**LLAMA, head_dim=32, tie_word_embeddings=True)),
    "llama_biased": LlamaForCausalLM(LlamaConfig(**LLAMA, attention_bias=True, mlp_bias=True)),
    "qwen2": Qwen2ForCausalLM(Qwen2Config(**LLAMA)),
    "yarn": Qwen2ForCausalLM(Qwen2Config(**LLAMA, tie_word_embeddings=True, rope_parameters=dict(
        rope_type="yarn", rope_theta=1000.0, factor=4.0, original_max_position_embeddings=32, attention_factor=1.3))),
    "gemma2": Gemma2ForCausalLM(Gemma2Config(**LLAMA, head_dim=32, query_pre_attn_scalar=32, sliding_window=6,
                                             attn_logit_softcapping=2.0, final_logit_softcapping=3.0)),
    "gemma3": Gemma3ForCausalLM(Gemma3TextConfig(
        **LLAMA, head_dim=32, query_pre_attn_scalar=32, sliding_window=6,
        layer_types=["sliding_attention", "full_attention"], rope_parameters=dict(
            full_attention=dict(rope_type="linear", rope_theta=1000.0, factor=8.0),
            sliding_attention=dict(rope_type="default", rope_theta=500.0)))),
    "phi3": Phi3ForCausalLM(Phi3Config(**LLAMA, original_max_position_embeddings=128, pad_token_id=None)),
    # llama.cpp chooses the long factors by its context, transformers by the text: both are longer than 4
    "longrope": Phi3ForCausalLM(Phi3Config(
        **LLAMA, original_max_position_embeddings=4, pad_token_id=None, rope_parameters=dict(
            rope_type="longrope", rope_theta=500.0, original_max_position_embeddings=4, partial_rotary_factor=0.75,
            short_factor=[1.0, 1.1, 1.3, 1.4, 1.5, 1.6], long_factor=[1.5, 2.0, 4.0, 5.0, 6.0, 7.0]))),
    "olmo2": Olmo2ForCausalLM(Olmo2Config(**LLAMA, pad_token_id=None)),
    "stablelm": StableLmForCausalLM(StableLmConfig(**LLAMA, use_qkv_bias=True, partial_rotary_factor=0.5)),
    "stablelm_parallel": StableLmForCausalLM(StableLmConfig(**LLAMA, use_parallel_residual=True)),
    "gpt_neox": GPTNeoXForCausalLM(GPTNeoXConfig(**{k: v for k, v in LLAMA.items() if k != "num_key_value_heads"})),
    "mixtral": MixtralForCausalLM(MixtralConfig(**LLAMA, head_dim=16, num_local_experts=8, num_experts_per_tok=2)),
    "qwen2_moe": Qwen2MoeForCausalLM(Qwen2MoeConfig(
        **LLAMA, moe_intermediate_size=32, shared_expert_intermediate_size=64, num_experts=8, num_experts_per_tok=3)),
    "qwen3_moe": Qwen3MoeForCausalLM(Qwen3MoeConfig(
        **LLAMA, head_dim=32, moe_intermediate_size=32, num_experts=8, num_experts_per_tok=3, norm_topk_prob=True)),
    "deepseek_v2": DeepseekV2ForCausalLM(DeepseekV2Config(
        **LATENT, q_lora_rank=None, first_k_dense_replace=1, topk_method="greedy", n_group=1, topk_group=1,
        rope_parameters=MSCALE)),
    "deepseek_v2_q": DeepseekV2ForCausalLM(DeepseekV2Config(
        **LATENT, q_lora_rank=48, first_k_dense_replace=0, topk_method="greedy", n_group=1, topk_group=1)),
    "deepseek_v3": DeepseekV3ForCausalLM(DeepseekV3Config(
        **LATENT, q_lora_rank=48, first_k_dense_replace=1, n_group=4, topk_group=2, norm_topk_prob=True,
        rope_parameters=MSCALE)),
}
# llama.cpp rounds YaRN's ramp to whole dimensions; here it begins before the first and ends all but at the third
MODELS["gpt_oss"] = GptOssForCausalLM(GptOssConfig(
    **{**LLAMA, "intermediate_size": 64}, head_dim=32, num_local_experts=4, num_experts_per_tok=2, sliding_window=6,
    rope_parameters=dict(rope_type="yarn", rope_theta=math.exp(16 * math.log(32 / (2 * math.pi)) / 2.9999), factor=4.0,
                         original_max_position_embeddings=32, truncate=False)))
GGUF_NAMES = {"gemma3_text": "gemma3", "gpt_neox": "gptneox", "mistral": "llama", "mixtral": "llama",
              "qwen2_moe": "qwen2moe", "qwen3_moe": "qwen3moe", "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2",
              "gpt_oss": "gpt-oss"}


def greedy(model, ids):
    ids = torch.tensor([ids])
    with torch.no_grad():
        for _ in range(MORE):
            ids = torch.cat([ids, model(ids).logits[:, -1:].argmax(-1)], 1)
    return ids[0].tolist()


def convert(*words):
    subprocess.run([FLEDGE, "convert", *map(str, words), "--quiet"], check=True, stdout=subprocess.DEVNULL)


def quantize(source, mix, path):
    subprocess.run([FLEDGE, "quantize", source, "--to", mix, "--out", path, "--quiet"], check=True,
                   stdout=subprocess.DEVNULL)


def check_folder(name, model, tokenizer, source, work):
    convert(source, "--to", "hf", "--dtype", "f32", "--out", work / "hf")
    other = AutoModelForCausalLM.from_pretrained(work / "hf", dtype=torch.float32).eval()
    again = AutoTokenizer.from_pretrained(work / "hf")
    ids = tokenizer(TEXT).input_ids
    with torch.no_grad():
        a, b = model(torch.tensor([ids])).logits, other(torch.tensor([ids])).logits
    check((a - b).abs().max() < 1e-3, f"{name}: transformers, logits within {float((a - b).abs().max()):.1e}")
    check(greedy(model, ids[:5]) == greedy(other, ids[:5]), f"{name}: transformers, greedy tokens")
    check(again(TEXT).input_ids == ids and again.decode(ids) == TEXT, f"{name}: transformers, tokenizer")


def check_gguf_file(name, model, tokenizer, path):
    reader = gguf.GGUFReader(path)
    arch = reader.get_field("general.architecture").contents()
    check(arch == GGUF_NAMES.get(model.config.model_type, model.config.model_type), f"{name}: gguf, architecture {arch}")
    check(reader.get_field(f"{arch}.block_count").contents() == 2, f"{name}: gguf, block_count")
    tokens = reader.get_field("tokenizer.ggml.tokens").contents()
    check(len(tokens) == 328 and tokens[:320] == tokenizer.convert_ids_to_tokens(range(320)), f"{name}: gguf, tokens")
    check(all(t.tensor_type.name == "F32" for t in reader.tensors if len(t.shape) == 1), f"{name}: gguf, vectors are f32")
    names = {t.name: t for t in reader.tensors}
    embed = model.get_input_embeddings().weight.detach().numpy()
    check(np.array_equal(names["token_embd.weight"].data.astype(np.float32).reshape(embed.shape), embed),
          f"{name}: gguf, embedding")


def check_llama_cpp(name, model, tokenizer, path, exact, greedy_too):
    def ask(what, *words):
        out = subprocess.run([llama_peer, path, what, *map(str, words)], check=True, stdout=subprocess.PIPE).stdout
        return np.frombuffer(out, np.float32 if what == "logits" else np.int32)

    ids = tokenizer(TEXT).input_ids
    check(ask("tokens", TEXT).tolist() == ids, f"{name}: llama.cpp, tokens of a text")
    with torch.no_grad():
        want = model(torch.tensor([ids])).logits[0].numpy()
    by_token = np.abs(ask("logits", *ids).reshape(want.shape) - want).max(-1) / np.abs(want).max()
    # of 16 bits a rounding chooses another expert here and there: then most tokens count, not all
    off = np.median(by_token) if path.stem != "f32" and hasattr(model.config, "num_experts_per_tok") else by_token.max()
    check(off < exact, f"{name}: llama.cpp, logits within {off:.1e} of the largest")
    table.setdefault(name, {})[path.stem] = f"{off:.1e}"
    if not greedy_too:
        return
    prompt = tokenizer(PROMPT).input_ids
    same = ask("greedy", MORE, *prompt).tolist() == greedy(model, prompt)[len(prompt):]
    check(same, f"{name}: llama.cpp, greedy tokens")
    table[name]["greedy"] = f"{MORE} tokens" if same else "differ"


def print_table():
    columns = ("f32", "greedy", "f16", "bf16", "q8_0")
    print("llama.cpp, logits off relative to the largest; greedy text of the f32 file", "model\t" + "\t".join(columns),
          *("\t".join([name, *(row.get(c, "-") for c in columns)]) for name, row in table.items()), sep="\n")


def check_mxfp4(name, model, tokenizer, work):
    """Experts that a folder has in MXFP4 are so in GGUF; llama.cpp rounds their inputs to 8 bits, as Fledge does."""
    gen = torch.Generator().manual_seed(3)
    tensors = {}
    for key, p in model.state_dict().items():
        if key.endswith(("gate_up_proj", "down_proj")):
            E, K, N = p.shape
            blocks = torch.randint(0, 256, (E, N, K // 32, 16), generator=gen, dtype=torch.uint8)
            scales = torch.randint(120, 124, (E, N, K // 32), generator=gen, dtype=torch.uint8)
            p.copy_(convert_moe_packed_tensors(blocks, scales, dtype=torch.bfloat16))
            tensors[key + "_blocks"], tensors[key + "_scales"] = blocks, scales
        else:
            tensors[key] = p.contiguous()
    save_file(tensors, work / "source" / "model.safetensors")
    convert(work / "source", "--dtype", "f32", "--out", work / "mxfp4.gguf")
    kinds = {t.tensor_type.name for t in gguf.GGUFReader(work / "mxfp4.gguf").tensors if t.name.endswith("exps.weight")}
    check(kinds == {"MXFP4"}, f"{name}: gguf, experts are {kinds}")
    if llama_peer:
        check_llama_cpp(name + " in MXFP4", model, tokenizer, work / "mxfp4.gguf", 2e-2, False)


llama_peer = make_llama_peer()
tokenizer = make_tokenizer()
for name, model in MODELS.items():
    if sys.argv[2:] and name not in sys.argv[2:]:
        continue
    torch.manual_seed(len(name))
    for p in [*model.parameters(), *(b for n, b in model.named_buffers() if "correction_bias" in n)]:
        p.data.add_(torch.randn_like(p) * 0.08)
    model = model.float().eval()
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        model.save_pretrained(work / "source")
        tokenizer.save_pretrained(work / "source")
        check_folder(name, model, tokenizer, work / "source", work)
        for dtype, exact in (("f32", 1e-3), ("f16", 1e-2), ("bf16", 5e-2)):
            path = work / f"{dtype}.gguf"
            convert(work / "source", "--dtype", dtype, "--out", path)
            if dtype == "f32":
                check_gguf_file(name, model, tokenizer, path)
            if llama_peer:
                check_llama_cpp(name, model, tokenizer, path, exact, dtype == "f32")
        if llama_peer:
            quantize(work / "f32.gguf", "Q8_0", work / "q8_0.gguf")
            check_llama_cpp(name, model, tokenizer, work / "q8_0.gguf", 1e-1, False)
        if name == "gpt_oss":
            check_mxfp4(name, model, tokenizer, work)
if llama_peer:
    print_table()
print(f"{failed} failed")
sys.exit(failed != 0)
