"""The small files that the examples of the Python interface are about."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from caffezoo.engines.seeding import seeded_weights
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.net.graph import Network

DEPLOY = """
name: "ten"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 8 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 10 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


def write_example(folder: Path) -> Path:
    """Write ``deploy.prototxt``, ``net.caffemodel``, ``photo.jpg``, ``labels.txt`` and what that lists."""
    (folder / "deploy.prototxt").write_text(DEPLOY)
    network = Network.load(folder / "deploy.prototxt")
    write_caffemodel(folder / "net.caffemodel", network.prototxt.net, seeded_weights(network)[0])
    rng = np.random.default_rng(0)
    for name in ("photo.jpg", "0.png", "1.png", "2.png"):
        cv2.imwrite(str(folder / name), cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (80, 60)))
    (folder / "labels.txt").write_text("0.png 3\n1.png 1\n2.png 4\n")
    return folder
