#!/usr/bin/env python3
"""The same greedy text from Fledge and llama.cpp, or why not.

    LLAMA_CPP=.../llama.cpp python tests/peers/same_text.py build/release MODEL.gguf [N]

Twenty prompts, half of them chats, must give both programs the same tokens, and then the same N (64) tokens of text.
Where the texts part, both programs' two candidates are printed with the logits by which each prefers its own, computed as
they were when they chose, and what the exact model says: llama.cpp on the same weights widened to f32, so that nothing
is rounded to eight bits, or to f16, on the way.

Products of quantized weights round their inputs, each program in its own way, so logits are off by some noise. A parting
is explained when it is a near tie: when each program's margin between the two candidates is off the exact one by no
more than four standard deviations of that noise, which is measured on the same position over the whole vocabulary.
With f16 weights llama.cpp rounds inputs to f16; Fledge takes them in f32.
Fledge is asked twice: as it computes by default, in bf16 on some processors, and in f32, as llama.cpp does here. Over all
positions of llama.cpp's texts Fledge's logits in f32 must be no farther from the exact ones than llama.cpp's.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

BUILD, MODEL, MORE = sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 64
HERE, LLAMA = pathlib.Path(__file__).resolve().parent, os.environ["LLAMA_CPP"]
PLAIN = ["The capital of France is", "Once upon a time", "The three laws of motion are", "def fibonacci(n):",
         "In 1969, Neil Armstrong", "Water boils at", "To make bread, you need", "\"Where are you going?\" asked",
         "1, 1, 2, 3, 5, 8,", "Les enfants jouent dans"]
ASKED = ["What is the capital of France?", "Write a haiku about the sea.", "Explain why the sky is blue.",
         "List three healthy breakfasts.", "What is 17 + 25?", "Who wrote Hamlet?", "Give me a synonym of 'happy'.",
         "How do I boil an egg?", "Translate 'good morning' to Spanish.", "Tell me a joke about cats."]
PROMPTS = PLAIN + [f"<|im_start|>user\n{q}<|im_end|>\n<|im_start|>assistant\n" for q in ASKED]
failed = 0


def check(ok, what):
    global failed
    failed += not ok
    print(("ok   " if ok else "FAIL ") + what, flush=True)


def build(work, source, *words):
    program = f"{work}/{source}"
    subprocess.run(["cc", HERE / f"{source}.c", "-o", program, *words], check=True)
    return program


class Peer:
    def __init__(self, program, model, **environment):
        self.program, self.model, self.environment = program, model, {**os.environ, **environment}

    def ask(self, dtype, *words):
        out = subprocess.run([self.program, self.model, *map(str, words)], check=True, stdout=subprocess.PIPE,
                             env=self.environment).stdout
        return np.frombuffer(out, dtype)

    def tokens(self, text):
        return self.ask(np.int32, "tokens", text).tolist()

    def greedy(self, ids):
        return self.ask(np.int32, "greedy", MORE, *ids).tolist()

    def rows(self, n, *words):
        z = self.ask(np.float32, *words).reshape(n, -1).astype(np.float64)
        return z - z.mean(1, keepdims=True)

    def logits(self, ids):
        return self.rows(len(ids), "logits", *ids)

    def last(self, ids, more):
        return self.rows(1, "last", len(ids), *ids, *more)[0]


def divergence(exact, z):
    """Of the distributions, in nats, for each row: KL(exact || z)."""
    p, q = (x - np.log(np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True)) - x.max(1, keepdims=True)
            for x in (exact, z))
    return (np.exp(p) * (p - q)).sum(1)


def distance(exact, z):
    """Mean square of the logits' differences, divergence, share of tokens whose best is the exact one's."""
    return ((z - exact) ** 2).mean(), divergence(exact, z).mean(), (z.argmax(1) == exact.argmax(1)).mean()


def explain(what, ids, a, b, exact, ours, theirs):
    """Texts a (ours) and b part somewhere: are both choices within the noise of the exact one? By how much of it."""
    at = next(i for i in range(MORE) if a[i] != b[i])
    z, f, l = (peer.last(ids, b[:at]) for peer in (exact, ours, theirs))
    margin, here, there = (x[a[at]] - x[b[at]] for x in (z, f, l))
    noise = np.sqrt(2 * (np.array([f - z, l - z]) ** 2).mean(1))
    worst = (np.abs(np.array([here, there]) - margin) / noise).max()
    check(here >= 0 >= there and worst <= 4,
          f"{what}: parts from llama.cpp's at token {at}; {a[at]} over {b[at]} by: exact {margin:+.4f}, "
          f"fledge {here:+.4f}, llama.cpp {there:+.4f}; noise {noise[0]:.4f}, {noise[1]:.4f}; {worst:.1f} of it")
    return worst


def report(same, off, partings):
    print(f"{len(partings)} partings, margins off by at most {max(partings, default=0):.1f} of the noise")
    print(f"{len(PROMPTS)} texts of {MORE} tokens; over all positions of llama.cpp's, from exact:")
    for name, (square, nats, best) in off.items():
        text = "" if name == "llama.cpp" else f"  same texts {same[name]}"
        print(f"  {name:13}  logits {square ** 0.5:.4f}  KL {nats:.2e} nats  same best token {best:.2%}{text}")
    ours, theirs = off["fledge in f32"], off["llama.cpp"]
    check(ours[0] <= 1.05 * theirs[0] and ours[1] <= 1.05 * theirs[1], "fledge in f32 is no farther than llama.cpp")


def main():
    libraries = f"{LLAMA}/build/bin"
    with tempfile.TemporaryDirectory() as work:
        llama = build(work, "llama_peer", f"-I{LLAMA}/include", f"-I{LLAMA}/ggml/include", f"-L{libraries}",
                      f"-Wl,-rpath,{libraries}", "-lllama", "-lggml", "-lggml-base")
        fledge = build(work, "fledge_peer", f"-I{HERE.parent.parent / 'src'}", f"-L{BUILD}", f"-Wl,-rpath,{os.path.abspath(BUILD)}",
                       "-lfledge")
        subprocess.run([f"{libraries}/llama-quantize", "--allow-requantize", MODEL, f"{work}/exact.gguf", "F32"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        exact, theirs = Peer(llama, f"{work}/exact.gguf"), Peer(llama, MODEL)
        ours = {"fledge": Peer(fledge, MODEL), "fledge in f32": Peer(fledge, MODEL, COMPUTE="f32")}
        judged = {**ours, "llama.cpp": theirs}
        same, off, partings = dict.fromkeys(judged, 0), [], []
        for number, prompt in enumerate(PROMPTS):
            ids = theirs.tokens(prompt)
            check(ours["fledge"].tokens(prompt) == ids, f"prompt {number}: {len(ids)} tokens")
            b = theirs.greedy(ids)
            for name, peer in ours.items():
                a = peer.greedy(ids)
                same[name] += a == b
                if a != b:
                    partings.append(explain(f"prompt {number}, {name}", ids, a, b, exact, peer, theirs))
            z = exact.logits(ids + b)
            off.append([distance(z, peer.logits(ids + b)) for peer in judged.values()])
        report(same, dict(zip(judged, np.array(off).mean(0))), partings)
    print(f"{failed} failed")
    sys.exit(failed != 0)


main()
