"""A network of four layers with weights in both formats, and an index entry around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.formats.prototxt import parse_prototxt
from caffezoo.zoo.schema import Weights
from caffezoo.zoo.tensor_map import (
    AS_THEY_ARE,
    BlobSource,
    Conventions,
    TensorMap,
    batch_norm_and_scale,
    rgb_to_bgr,
    zero_extended,
)

from . import torch_writer

PROTOTXT = """
name: "tiny"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 bias_term: false } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 5 } }
"""


@dataclass(frozen=True)
class Entry:
    name: str
    prototxt_path: Path
    weights: Sequence[Weights]
    conventions: Conventions = AS_THEY_ARE


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {
        "stem.weight": (4, 3, 3, 3),
        "norm.weight": (4,),
        "norm.bias": (4,),
        "norm.running_mean": (4,),
        "norm.running_var": (4,),
        "head.weight": (5, 64),
        "head.bias": (5,),
    }
    arrays = {name: rng.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in shapes.items()}
    return {**arrays, "norm.num_batches_tracked": np.array(3, np.int64)}


def tensor_map() -> TensorMap:
    norm, scale = batch_norm_and_scale("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var")
    layers = {
        "conv": (BlobSource("stem.weight", (rgb_to_bgr, zero_extended)),),
        "bn": norm,
        "scale": scale,
        "fc": (BlobSource("head.weight"), BlobSource("head.bias")),
    }
    return TensorMap(layers, unused=("*.num_batches_tracked",))


def caffemodel(folder: Path, seed: int = 0) -> bytes:
    t = tensors(seed)
    weights = {
        "conv": [np.pad(t["stem.weight"], ((0, 0), (0, 0), (1, 0), (1, 0)))],
        "bn": [t["norm.running_mean"], t["norm.running_var"], np.ones(1, np.float32)],
        "scale": [t["norm.weight"], t["norm.bias"]],
        "fc": [t["head.weight"], t["head.bias"]],
    }
    write_caffemodel(folder / "made.caffemodel", parse_prototxt(PROTOTXT).net, weights)
    return (folder / "made.caffemodel").read_bytes()


def torch_file(seed: int = 0) -> bytes:
    return torch_writer.files_of(tensors(seed))["legacy"]


def entry(folder: Path, *weights: dict[str, object], name: str = "tiny") -> Entry:
    path = folder / "deploy_tiny.prototxt"
    path.write_text(PROTOTXT)
    defaults = {"format": "caffemodel", "state": "available", "source": "test"}
    return Entry(name, path, tuple(Weights.model_validate({**defaults, **w}) for w in weights))


LARGE = """
name: "large"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: %d } }
"""


def large_entry(folder: Path, *weights: dict[str, object], rows: int = 12_000) -> Entry:
    """A network of one layer of ``rows`` times 192 weights: 9.2 MB by default."""
    path = folder / "deploy_large.prototxt"
    path.write_text(LARGE % rows)
    defaults = {"format": "caffemodel", "state": "available", "source": "test"}
    return Entry("large", path, tuple(Weights.model_validate({**defaults, **w}) for w in weights))


def large_caffemodel(folder: Path, rows: int = 12_000) -> bytes:
    rng = np.random.default_rng(0)
    blobs = [rng.standard_normal((rows, 192), np.float32), rng.standard_normal(rows, np.float32)]
    write_caffemodel(folder / "large.caffemodel", parse_prototxt(LARGE % rows).net, {"fc": blobs})
    return (folder / "large.caffemodel").read_bytes()
