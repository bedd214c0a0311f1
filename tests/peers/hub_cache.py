"""Holds the cache of fledge pull to huggingface_hub's, both ways, against tests/hub_server.py.

    tests/peers/hub_cache.py FLEDGE SOURCES     (needs huggingface_hub)
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

fledge, sources = sys.argv[1], pathlib.Path(sys.argv[2])
work = pathlib.Path(tempfile.mkdtemp())
server = subprocess.Popen([sys.executable, sources / "tests/hub_server.py", sources / "tests/data/golden/qwen3", work / "port", work / "log"],
                          stdin=subprocess.PIPE)
while not (work / "port").exists():
    time.sleep(0.1)
os.environ.update(HF_ENDPOINT="http://127.0.0.1:" + (work / "port").read_text(), HF_HUB_DISABLE_XET="1")
from huggingface_hub import hf_hub_download, scan_cache_dir, snapshot_download  # noqa: E402 - reads the variables above


def pull(cache, *args):
    return subprocess.run([fledge, "pull", *args, "--cache", cache], check=True, capture_output=True, text=True).stdout.strip()


def links(cache):
    """Every link and every blob of a cache."""
    return {str(p.relative_to(cache)): os.readlink(p) if p.is_symlink() else p.read_bytes()
            for p in pathlib.Path(cache).rglob("*") if (p.is_symlink() or p.is_file()) and ".locks" not in p.parts and p.name != "CACHEDIR.TAG"}


def main():
    ours, theirs = work / "ours", work / "theirs"
    path = pull(ours, "org/folder")
    names = sorted(os.listdir(path))
    # What we pulled, they find without asking.
    assert snapshot_download("org/folder", cache_dir=ours, local_files_only=True) == path
    for name in names:
        assert hf_hub_download("org/folder", name, cache_dir=ours, local_files_only=True) == os.path.join(path, name)
    repo, = scan_cache_dir(ours).repos
    revision, = repo.revisions
    assert repo.repo_id == "org/folder" and len(revision.files) == len(names), repo
    # The same files pulled by them give the same cache.
    snapshot_download("org/folder", cache_dir=theirs, allow_patterns=names)
    a, b = links(ours), links(theirs)
    b = {k: v for k, v in b.items() if "/trees/" not in k and "/.no_exist/" not in k}
    assert a == b, (sorted(a), sorted(b))
    # What they pulled, we find without asking.
    hf_hub_download("org/m-GGUF", "m.Q8_0.gguf", cache_dir=theirs)
    os.environ["HF_HUB_OFFLINE"] = "1"
    assert pull(theirs, "org/m-GGUF:Q8_0").endswith("m.Q8_0.gguf")
    assert pull(theirs, "org/folder").endswith(os.path.basename(path))
    print(f"{len(a)} links and blobs are the same, each finds what the other pulled")


try:
    main()
finally:
    server.stdin.close()
