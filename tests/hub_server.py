"""A small Hugging Face style hub on the loopback, for tests/test_pull.sh, with everything that goes wrong.

    hub_server.py FOLDER PORT_FILE LOG

Writes its port, then serves made-up repositories until its standard input ends, ten minutes at most. Every request
is a line of LOG: path, range or -, token or -. What a repository does wrong is its row in TROUBLE.
"""
import hashlib
import http.server
import json
import os
import pathlib
import random
import sys
import threading
import time

folder, port_file, log_file = sys.argv[1:]
SECONDS = 600
PAGE = 4  # rows of a tree per page
random.seed(1)
BIG = random.randbytes(300_000)
model = {p.name: p.read_bytes() for p in pathlib.Path(folder).iterdir() if p.is_file()}
folder_files = {**model, "tokenizer_config.json": b"{}", "generation_config.json": b"{}", "README.md": b"# a model", "pytorch_model.bin": BIG,
                "flax_model.msgpack": BIG, "onnx/model.onnx": BIG, "original/model.safetensors": BIG, "added_tokens.json": b""}
gguf_files = {"README.md": b"x", "m-Q4_K_S.gguf": b"GGUF small", "m-Q4_K_M.gguf": b"GGUF medium", "m.Q8_0.gguf": BIG,
              "mmproj-m-Q4_K_M.gguf": b"eyes", "Q6_K/m-Q6_K-00001-of-00002.gguf": b"GGUF 1", "Q6_K/m-Q6_K-00002-of-00002.gguf": b"GGUF 2",
              "m-Q2_K-00001-of-00002.gguf": b"half"}
one_file = {"config.json": b"{}", "model.safetensors": BIG}
REPOS = {"org/folder": folder_files, "org/m-GGUF": gguf_files, "org/bin": {"config.json": b"{}", "pytorch_model.bin": BIG}}

# What happens to requests for model.safetensors: one entry per request, the last one stays.
OK = {}
TROUBLE = {
    "org/breaks": [{"stop": 70_000}, {"stop": 100_000}, {"stop": 10}, OK],
    "org/busy": [{"status": 429}, {"status": 503}, OK],
    "org/down": [{"status": 500}],
    "org/noranges": [{"stop": 70_000}, {"ignore_range": True}],
    "org/badrange": [{"stop": 70_000}, {"wrong_range": True}],
    "org/unsatisfied": [{"stop": 70_000}, {"status": 416}, OK],
    "org/flipped": [{"flip": True}, OK],
    "org/wrong": [{"flip": True}],
    "org/longer": [{"longer": True}],
    "org/moved": [{"redirect": True}],
    "org/circle": [{"circle": True}],
    "org/slow": [{"slow": True}],
    "org/private": [{}],
    "org/gated": [{}],
    "org/changing": [{"stop": 70_000}, {"status": 404}],
    "org/huge": [{}],
    "org/full": [OK],
}
for name in TROUBLE:
    REPOS[name] = dict(one_file)
count = {}
LISTING_TROUBLE = {
    "org/dotdot": {"path": "../../../evil.safetensors"},
    "org/rooted": {"path": "/tmp/evil.safetensors"},
    "org/backslash": {"path": "a\\..\\b.safetensors"},
    "org/badsum": {"oid": "../../x"},
    "org/negative": {"size": -1},
    "org/notlist": None,
}
for name in LISTING_TROUBLE:
    REPOS[name] = {"model.safetensors": b"x"}


def is_large(path):
    return path.endswith((".safetensors", ".gguf", ".bin"))


def commit_of(repo):
    return hashlib.sha1(repo.encode() + str(sorted(REPOS[repo].items())).encode()).hexdigest()


def git_sha(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def tree(repo):
    rows = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "onnx"}]
    for path, data in REPOS[repo].items():
        row = {"type": "file", "oid": git_sha(data), "size": len(data), "path": path}
        if is_large(path):
            size = 1 << 60 if repo == "org/huge" else len(data)
            row["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": size, "pointerSize": 135}
        rows.append(row)
    wrong = LISTING_TROUBLE.get(repo, {})
    if wrong is None:
        return {"error": "surprise"}
    rows[-1].update(wrong)
    if "oid" in wrong or "size" in wrong:
        del rows[-1]["lfs"]
    return rows


class Hub(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet

    def log_message(self, *args):
        pass

    def note(self):
        with open(log_file, "a") as f:
            print(self.path, self.headers.get("Range", "-"), self.headers.get("Authorization", "-"), file=f)

    def send(self, status, body=b"", **headers):
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code):
        self.send(status, json.dumps({"error": code}).encode(), X_Error_Message=code)

    def do_GET(self):
        self.note()
        path, _, query = self.path.partition("?")
        parts = path.strip("/").split("/")
        if parts[0] == "change":  # the repository gets a new version of its weights
            REPOS["org/changing"]["model.safetensors"] = BIG[::-1]
            TROUBLE["org/changing"][:] = [OK]
            return self.send(200)
        if parts[0] == "api":
            return self.do_api(parts, query)
        if parts[0] == "store":
            return self.send_file("/".join(parts[1:3]), "/".join(parts[3:]), OK)
        if len(parts) > 4 and parts[2] == "resolve":
            return self.do_resolve("/".join(parts[:2]), "/".join(parts[4:]))
        self.refuse(404, "Not found")

    do_HEAD = do_GET  # huggingface_hub asks so, in tests/peers/hub_cache.py

    def allowed(self, repo):
        token = self.headers.get("Authorization")
        if repo not in REPOS:
            self.refuse(404 if token else 401, "Repository not found")
        elif repo == "org/private" and token != "Bearer hf_secret":
            self.refuse(401, "Invalid username or password.")
        elif repo == "org/gated":
            self.refuse(403, "Access to model org/gated is restricted")
        else:
            return True
        return False

    def do_api(self, parts, query):
        repo = "/".join(parts[2:4])
        if not self.allowed(repo):
            return
        commit = commit_of(repo)
        if parts[5] not in ("main", "v1", "feature%2Fx", commit):
            return self.refuse(404, "Invalid rev id: " + parts[5])
        if parts[4] == "revision":
            return self.send(200, json.dumps({"id": repo, "sha": commit}).encode(), Content_Type="application/json")
        rows = tree(repo)
        if isinstance(rows, dict):
            return self.send(200, json.dumps(rows).encode())
        at = int(query.partition("cursor=")[2] or 0)
        more = {}
        if at + PAGE < len(rows):  # the address of the original hub, as mirrors pass it on
            host = "https://hub.invalid" if repo == "org/m-GGUF" else "http://" + self.headers["Host"]
            more["Link"] = f'<{host}/api/models/{repo}/tree/{commit}?recursive=1&cursor={at + PAGE}>; rel="next"'
        self.send(200, json.dumps(rows[at:at + PAGE]).encode(), **more)

    def do_resolve(self, repo, path):
        if not self.allowed(repo):
            return
        trouble = OK
        if repo in TROUBLE and path == "model.safetensors":
            n = count.get(repo, 0)
            count[repo] = n + 1
            trouble = TROUBLE[repo][min(n, len(TROUBLE[repo]) - 1)]
        if trouble.get("status"):
            return self.send(trouble["status"], b"trouble", Retry_After="0")
        if trouble.get("redirect"):  # the store is another host, so the token must not go there
            data = REPOS[repo][path]
            return self.send(302, Location=f"http://localhost:{self.server.server_port}/store/{repo}/{path}", X_Repo_Commit=commit_of(repo),
                             X_Linked_Etag=f'"{hashlib.sha256(data).hexdigest()}"', X_Linked_Size=str(len(data)))
        if trouble.get("circle"):
            return self.send(302, Location=self.path)
        self.send_file(repo, path, trouble)

    def send_file(self, repo, path, trouble):
        data = REPOS[repo].get(path)
        if data is None:
            return self.refuse(404, "Entry not found")
        if trouble.get("flip"):
            data = data[:1000] + bytes([data[1000] ^ 1]) + data[1001:]
        if trouble.get("longer"):
            data += b"more"
        start, asked = 0, self.headers.get("Range")
        if asked and not trouble.get("ignore_range"):
            start = int(asked.split("=")[1].rstrip("-")) + (5 if trouble.get("wrong_range") else 0)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("X-Repo-Commit", commit_of(repo))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest() if is_large(path) else git_sha(data)}"')
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if self.command == "HEAD":
            return
        body = data[start:start + trouble["stop"]] if "stop" in trouble else data[start:]
        try:
            for i in range(0, len(body), 8192):
                self.wfile.write(body[i:i + 8192])
                if trouble.get("slow"):
                    self.wfile.flush()
                    time.sleep(0.04)
        except OSError:
            pass
        if "stop" in trouble:
            self.wfile.flush()
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # a client that went away


server = Server(("127.0.0.1", 0), Hub)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
threading.Timer(SECONDS, lambda: os._exit(3)).start()
with open(port_file + ".new", "w") as f:
    f.write(str(server.server_port))
os.rename(port_file + ".new", port_file)
sys.stdin.read()
os._exit(0)
