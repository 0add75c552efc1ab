"""Time and memory of reading weights and prototxts, against protobuf's own parser and against real Caffe.

Each reading runs in a process of its own, so that its peak memory is its own; the contenders take turns, and medians
are printed. Run: ``python benchmarks/formats.py [--megabytes 250] [--repeats 5]``. Real Caffe joins where it is found
(``CAFFE_PYTHON`` or ``.oracle/bin/python``).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from caffezoo.formats.caffemodel import write_caffemodel
from caffezoo.formats.prototxt import parse_prototxt

ROOT = Path(__file__).resolve().parent.parent
CONV_CHANNELS = 512

# What each process runs: print seconds and peak memory in bytes. Imports are not timed.
READERS = {
    "caffezoo": """
from caffezoo.formats.caffemodel import read_weights
read = lambda: read_weights(path)""",
    "protobuf, floats to numpy": """
import numpy as np
from caffezoo.formats import caffe_pb2 as pb
def read():
    net = pb.NetParameter()
    with open(path, "rb") as file:
        net.ParseFromString(file.read())
    return [np.array(b.data, np.float32) for layer in net.layer for b in layer.blobs]""",
}
CAFFE_READER = """
import caffe
caffe.set_mode_cpu()
net = caffe.Net(path + ".prototxt", caffe.TEST)
read = lambda: net.copy_from(path)"""
FRAME = """
import os, resource, sys, time
os.environ["GLOG_minloglevel"] = "2"
path = sys.argv[1]
{}
start = time.perf_counter()
result = read()
seconds = time.perf_counter() - start
print("RESULT", seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
PROTOTXT_READERS = {
    "caffezoo, upgraded, with lines": """
from caffezoo.formats.prototxt import read_prototxt
read = lambda: read_prototxt(path + ".long.prototxt")""",
    "protobuf text_format": """
from google.protobuf import text_format
from caffezoo.formats import caffe_pb2 as pb
def read():
    with open(path + ".long.prototxt") as file:
        return text_format.Parse(file.read(), pb.NetParameter())""",
}


def write_files(path: Path, megabytes: int) -> None:
    """Write a chain of 3x3 convolutions of about `megabytes` MB, its prototxt, and a long prototxt."""
    count = round(megabytes * 1e6 / (4 * CONV_CHANNELS * CONV_CHANNELS * 9))
    parts = [
        f'layer {{ name: "data" type: "Input" top: "c0" input_param {{ shape {{ dim: 1 dim: {CONV_CHANNELS} '
        "dim: 3 dim: 3 } } }\n"
    ]
    parts += [
        f'layer {{\n  name: "conv{i + 1}"\n  type: "Convolution"\n  bottom: "c{i}"\n  top: "c{i + 1}"\n'
        f"  convolution_param {{\n    num_output: {CONV_CHANNELS}\n    kernel_size: 3\n    pad: 1\n  }}\n}}\n"
        for i in range(count)
    ]
    Path(f"{path}.prototxt").write_text("".join(parts))
    Path(f"{path}.long.prototxt").write_text(parts[0] + "".join(parts[1:] * (1000 // count + 1)))
    random = np.random.default_rng(0)
    kernel = random.standard_normal((CONV_CHANNELS, CONV_CHANNELS, 3, 3), np.float32)
    bias = np.zeros(CONV_CHANNELS, np.float32)
    weights = {f"conv{i + 1}": (kernel, bias) for i in range(count)}
    write_caffemodel(path, parse_prototxt("".join(parts)).net, weights)


def run_reader(python: str, code: str, path: Path) -> tuple[float, float]:
    """Return seconds and peak memory in bytes of one reading in a new process."""
    done = subprocess.run([python, "-c", FRAME.format(code), str(path)], capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    _, seconds, peak = line.split()
    return float(seconds), float(peak)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=250)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    caffe_python = os.environ.get("CAFFE_PYTHON", str(ROOT / ".oracle/bin/python"))
    contenders = {name: (sys.executable, code) for name, code in READERS.items()}
    if Path(caffe_python).exists():
        contenders["pycaffe copy_from"] = (caffe_python, CAFFE_READER)
    else:
        print("pycaffe not measured: no CAFFE_PYTHON and no .oracle/bin/python")
    text_contenders = {name: (sys.executable, code) for name, code in PROTOTXT_READERS.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.caffemodel"
        write_files(path, arguments.megabytes)
        size = path.stat().st_size
        lines = Path(f"{path}.long.prototxt").read_text().count("\n")
        print(f"caffemodel of {size / 1e6:.1f} MB, prototxt of {lines} lines; medians of {arguments.repeats}")
        all_contenders = contenders | text_contenders
        results: dict[str, list[tuple[float, float]]] = {name: [] for name in all_contenders}
        for _ in range(arguments.repeats):
            for name, (python, code) in all_contenders.items():
                results[name].append(run_reader(python, code, path))
    for name, runs in results.items():
        seconds = statistics.median(s for s, _ in runs)
        peak = statistics.median(p for _, p in runs)
        memory = f", peak {peak / 1e6:.0f} MB = {peak / size:.2f}x the file" if name in contenders else ""
        print(f"{name:32} {seconds:7.3f} s{memory}")


if __name__ == "__main__":
    main()
