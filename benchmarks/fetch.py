"""Fetch against curl: the same 200 MB from a server on this machine, with hashing and verification on.

Both write into the same folder; runs alternate, so that a busy moment of the machine meets both. The fetch is the whole
of what the command does: request, part, two hashes, structure of the caffemodel, rename. Prints a JSON object; exit
status 1 if the ratio of the medians is below 0.8.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.formats.prototxt import parse_prototxt
from caffezoo.weights.cache import Cache
from caffezoo.weights.fetch import fetch_weights
from caffezoo.zoo.schema import Weights
from caffezoo.zoo.tensor_map import AS_THEY_ARE, Conventions

LEAST_RATIO = 0.8
PROTOTXT = """
name: "benchmark"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: %d } }
"""


@dataclass(frozen=True)
class Entry:
    name: str
    prototxt_path: Path
    weights: tuple[Weights, ...]
    conventions: Conventions = AS_THEY_ARE


def serve(file: Path) -> str:
    """Serve one file by sendfile, so that the server costs as little as it can; return its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with file.open("rb") as content:
                self.send_response(200)
                self.send_header("Content-Length", str(os.fstat(content.fileno()).st_size))
                self.end_headers()
                self.wfile.flush()
                self.connection.sendfile(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/weights.caffemodel"


def make_entry(folder: Path, megabytes: int) -> tuple[Entry, Path]:
    """A network of one layer whose caffemodel has so many megabytes."""
    rows = megabytes * 10**6 // (3 * 32 * 32 * 4 + 4)
    prototxt, file = folder / "deploy.prototxt", folder / "weights.caffemodel"
    prototxt.write_text(PROTOTXT % rows)
    rng = np.random.default_rng(0)
    blobs = [rng.standard_normal((rows, 3 * 32 * 32), np.float32), np.zeros(rows, np.float32)]
    write_caffemodel(file, parse_prototxt(PROTOTXT % rows).net, {"fc": blobs})
    with file.open("rb") as handle:
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    facts = {"scheme": "https", "url": serve_in_child(file), "sha256": sha256, "bytes": file.stat().st_size}
    source = {"format": "caffemodel", "state": "available", "source": "benchmark"}
    return Entry("benchmark", prototxt, (Weights.model_validate({**facts, **source}),)), file


def serve_in_child(file: Path) -> str:
    """Serve from a process of its own: a server is not the client's business."""
    command = [sys.executable, __file__, "--serve", str(file)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return child.stdout.readline().strip()


def timed_fetch(entry: Entry, folder: Path) -> float:
    """Seconds of one fetch into an empty cache."""
    root = folder / "cache"
    begun = time.perf_counter()
    result = fetch_weights(entry, cache=Cache(root))
    seconds = time.perf_counter() - begun
    assert (result.state, result.file.check) == ("fetched", "published")
    shutil.rmtree(root)
    return seconds


def timed_curl(entry: Entry, folder: Path) -> float:
    """Seconds of one curl, its start (a few milliseconds) included; it hashes nothing."""
    target = folder / "curl.out"
    begun = time.perf_counter()
    subprocess.run(["curl", "-sS", "-o", str(target), str(entry.weights[0].url)], check=True)
    seconds = time.perf_counter() - begun
    target.unlink()
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        print(serve(options.serve), flush=True)
        sys.stdin.read()
        return 0
    if shutil.which("curl") is None:
        print("curl is not installed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        entry, file = make_entry(folder, options.megabytes)
        timed_fetch(entry, folder)  # imports
        times: dict[str, list[float]] = {"fetch": [], "curl": []}
        for _ in range(options.runs):
            times["curl"].append(timed_curl(entry, folder))
            times["fetch"].append(timed_fetch(entry, folder))
        size = file.stat().st_size
    medians = {who: statistics.median(found) for who, found in times.items()}
    ratio = medians["curl"] / medians["fetch"]
    report = {
        "bytes": size,
        "runs": options.runs,
        "median_mb_per_s": {who: round(size / median / 1e6) for who, median in medians.items()},
        "seconds": {who: [round(t, 3) for t in found] for who, found in times.items()},
        "ratio": round(ratio, 3),
        "machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
    }
    print(json.dumps(report, indent=1))
    return 0 if ratio >= LEAST_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
