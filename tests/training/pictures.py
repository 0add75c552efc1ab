"""A folder of pictures to train on: two or three classes that differ in where they are bright, drawn by seed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

SIDE = 14


def draw_classes(root: Path, names: tuple[str, ...] = ("left", "right"), images: int = 20, seed: int = 0) -> Path:
    """Write so many images a class, and return the folder."""
    rng = np.random.default_rng(seed)
    for label, name in enumerate(names):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(images):
            image = rng.integers(0, 90, (SIDE, SIDE, 3))
            start = label * SIDE // len(names)
            image[:, start : start + SIDE // len(names)] += 120
            cv2.imwrite(str(root / name / f"{i:02}.png"), image.astype(np.uint8))
    return root


NET = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 12 dim: 12 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
        convolution_param { num_output: 8 kernel_size: 3 } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "conv2" type: "Convolution" bottom: "pool1" top: "conv2"
        convolution_param { num_output: 12 kernel_size: 3 pad: 1 } }
layer { name: "relu2" type: "ReLU" bottom: "conv2" top: "conv2" }
layer { name: "conv3" type: "Convolution" bottom: "conv2" top: "conv3"
        convolution_param { num_output: 12 kernel_size: 3 pad: 1 } }
layer { name: "relu3" type: "ReLU" bottom: "conv3" top: "conv3" }
layer { name: "drop" type: "Dropout" bottom: "conv3" top: "conv3" }
layer { name: "fc" type: "InnerProduct" bottom: "conv3" top: "fc" inner_product_param { num_output: 1000 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
