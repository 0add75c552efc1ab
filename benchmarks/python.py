"""What the Python interface costs beside the rest: `Model.predict` against `evaluate`, `forward`, memory, imports.

A network with weights by formula on JPEGs of 500 x 375 px that are made here. `predict` and `evaluate` take turns on
the same images with the same batches and threads; medians are printed, and the exit status is 1 where a threshold of
the project is missed.

Run: ``python benchmarks/python.py [--net resnet50] [--images 1000] [--rounds 3]``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from evaluation import write_images

import caffezoo
from caffezoo.engines.seeding import seeded_weights
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.net.graph import Network

PREDICT_RATIO = 0.9
IMPORT_MS = 30.0
GROWTH_BYTES = 8 * 2**20
FORWARDS = 1000
SIGHT = {"mean": (103.94, 116.78, 123.68), "base_size": 256, "crop_size": 224}


def import_ms(runs: int = 9) -> float:
    """Median time of ``import caffezoo`` beyond that of starting Python, ms."""

    def once(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    times = {code: [once(code) for _ in range(runs)] for code in ("pass", "import caffezoo")}
    return 1000 * (statistics.median(times["import caffezoo"]) - statistics.median(times["pass"]))


def resident_bytes() -> int:
    """Memory of this process."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Measure, print, and exit with 1 where a threshold is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="resnet50")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_images(folder, asked.images)
        listed = folder / "list.txt"
        listed.write_text("".join(f"{path.name} {i % 1000}\n" for i, path in enumerate(paths)))
        prototxt = caffezoo.network(asked.net).prototxt_path
        network = Network.load(prototxt)
        write_caffemodel(folder / "net.caffemodel", network.prototxt.net, seeded_weights(network)[0])
        model = caffezoo.load(prototxt, folder / "net.caffemodel", **SIGHT)
        predicted, evaluated = [], []
        model.predict(paths[:16])
        for _ in range(asked.rounds):
            start = time.perf_counter()
            model.predict(paths)
            predicted.append(asked.images / (time.perf_counter() - start))
            evaluated.append(caffezoo.evaluate(model, listed, label_order="listed").images_per_second)
        data = np.zeros((1, 3, 224, 224), np.float32)
        model.forward(data)
        feed = model._pool._for_arrays[next(iter(model._pool._for_arrays))]
        forward_ms, engine_ms = [], []
        before = resident_bytes()
        for _ in range(FORWARDS):
            start = time.perf_counter()
            model.forward(data)
            middle = time.perf_counter()
            feed.run(data)
            forward_ms.append(1000 * (middle - start))
            engine_ms.append(1000 * (time.perf_counter() - middle))
        growth = resident_bytes() - before
    found = {
        "network": asked.net,
        "images": asked.images,
        "predict_images_per_second": statistics.median(predicted),
        "evaluate_images_per_second": statistics.median(evaluated),
        "predict_ratio": statistics.median(predicted) / statistics.median(evaluated),
        "forward_ms": statistics.median(forward_ms),
        "engine_ms": statistics.median(engine_ms),
        "growth_bytes_of_1000_forwards": growth,
        "import_ms": import_ms(),
    }
    print(json.dumps(found, indent=1))
    good = found["predict_ratio"] >= PREDICT_RATIO and growth <= GROWTH_BYTES and found["import_ms"] <= IMPORT_MS
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
