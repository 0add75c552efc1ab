"""Memory of loading weights into engines and of exporting them, as a multiple of the weights file.

The network is VGG-16's shape (16 layers with weights, 553 MB), or ResNet-152's, whose batch norm is folded into new
weights, as it is (241 MB) or of twice the width (0.95 GB), with random weights. Each contender runs in a process of its
own; its peak, as Linux tells it, is that of the process less what it holds after its imports.
Run: ``python benchmarks/memory.py [--network vgg16|resnet152|resnet152-wide] [--what openvino,export-onnx ...]``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from caffezoo.formats.caffemodel import write_caffemodel
from caffezoo.formats.prototxt import parse_prototxt, write_prototxt
from caffezoo.net.graph import Network
from caffezoo.zoo.index import load_index

CHILD = """
import sys
from pathlib import Path
import onnx, openvino
from caffezoo.engines.registry import create_engine
from caffezoo.evaluation.export_formats import FORMATS
from caffezoo.evaluation.export_options import ExportOptions
from caffezoo.evaluation.exporting import export_verified
from caffezoo.net.graph import Network
prototxt, weights, what, folder = sys.argv[1:]
def peak():  # of this program alone: getrusage also counts what the parent held when it forked
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
before = peak()
network = Network.load(prototxt, weights)
if what.startswith("export-"):
    name = what.removeprefix("export-")
    target = Path(folder) / ("net" + FORMATS[name].suffixes[0])
    export_verified(network, name, target, ExportOptions(network.outputs), force=True)
elif what != "load":
    create_engine(what, network, batch_size=1)
print("RESULT", peak() - before)
"""


def vgg16() -> str:
    """Return VGG-16 as text (Simonyan and Zisserman, configuration D)."""
    text = [
        'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 224 dim: 224 } } }'
    ]
    bottom = "data"
    for block, (count, channels) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], 1):
        for i in range(1, count + 1):
            top = f"conv{block}_{i}"
            param = f"convolution_param {{ num_output: {channels} kernel_size: 3 pad: 1 }}"
            text.append(f'layer {{ name: "{top}" type: "Convolution" bottom: "{bottom}" top: "{top}" {param} }}')
            text.append(f'layer {{ name: "relu{block}_{i}" type: "ReLU" bottom: "{top}" top: "{top}" }}')
            bottom = top
        param = "pooling_param { kernel_size: 2 stride: 2 }"
        text.append(f'layer {{ name: "pool{block}" type: "Pooling" bottom: "{bottom}" top: "pool{block}" {param} }}')
        bottom = f"pool{block}"
    for i, count in enumerate((4096, 4096, 1000), 6):
        param = f"inner_product_param {{ num_output: {count} }}"
        text.append(f'layer {{ name: "fc{i}" type: "InnerProduct" bottom: "{bottom}" top: "fc{i}" {param} }}')
        bottom = f"fc{i}"
        if i < 8:
            text.append(f'layer {{ name: "relu{i}" type: "ReLU" bottom: "{bottom}" top: "{bottom}" }}')
    text.append(f'layer {{ name: "prob" type: "Softmax" bottom: "{bottom}" top: "prob" }}')
    return "\n".join(text) + "\n"


def widened(text: str) -> str:
    """Return a network of convolutions with twice the outputs, and so four times the weights."""
    net = parse_prototxt(text).net
    for layer in net.layer:
        if layer.type == "Convolution":
            layer.convolution_param.num_output *= 2
    return write_prototxt(net)


def random_blobs(network: Network) -> dict[str, list[np.ndarray]]:
    """Return positive blobs that keep activations of order one; variances and factors among them are positive."""
    rng = np.random.default_rng(0)
    blobs = {}
    for node in network.nodes:
        if node.blob_shapes:
            sizes = [(s, np.float32(1 / max(np.prod(s[1:]), 1))) for s in node.blob_shapes]
            blobs[node.key] = [np.float32(2) * rng.random(s, np.float32) * scale for s, scale in sizes]
    return blobs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=["vgg16", "resnet152", "resnet152-wide"], default="vgg16")
    parser.add_argument("--what", default="load,openvino,onnxruntime,export-onnx")
    arguments = parser.parse_args()
    text = vgg16() if arguments.network == "vgg16" else load_index().network("resnet152").prototxt_path.read_text()
    text = widened(text) if arguments.network == "resnet152-wide" else text
    with tempfile.TemporaryDirectory() as folder:
        prototxt, weights = Path(folder) / "net.prototxt", Path(folder) / "net.caffemodel"
        prototxt.write_text(text)
        network = Network.load(prototxt)
        write_caffemodel(weights, network.prototxt.net, random_blobs(network))
        size = weights.stat().st_size
        print(f"{arguments.network}, {size / 1e6:.0f} MB of weights")
        for what in arguments.what.split(","):
            command = [sys.executable, "-c", CHILD, str(prototxt), str(weights), what, folder]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr)
            peak = int(next(line.split()[1] for line in done.stdout.splitlines() if line.startswith("RESULT")))
            print(f"{what:<18} {peak / 1e6:6.0f} MB, {peak / size:.2f} times the file", flush=True)


if __name__ == "__main__":
    main()
