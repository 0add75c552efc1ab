"""Drawn trainings: a solver, a net and its data by number, all values by formula."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffezoo.engines.seeding import hashed_uniform
from caffezoo.formats.caffemodel import write_caffemodel
from caffezoo.formats.datum import write_datum
from caffezoo.formats.phases import filter_net
from caffezoo.formats.prototxt import parse_prototxt
from caffezoo.net.graph import Network
from caffezoo.training.fillers import filled_weights

ITERATIONS = 100
RECORDED = 15  # of real Caffe, in tests/golden/training
SAMPLES, CLASSES, BATCH = 24, 3, 8
IMAGE = (2, 6, 6)
SOLVERS = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
POLICIES = {
    "fixed": "",
    "step": "gamma: 0.7 stepsize: 30",
    "exp": "gamma: 0.99",
    "inv": "gamma: 0.01 power: 0.75",
    "multistep": "gamma: 0.5 stepvalue: 20 stepvalue: 55 stepvalue: 90",
    "poly": "power: 1.5",
    "sigmoid": "gamma: 0.05 stepsize: 50",
}
RATES = {"SGD": 0.02, "Nesterov": 0.02, "AdaGrad": 0.01, "RMSProp": 0.001, "AdaDelta": 1.0, "Adam": 0.002}
L1 = 'weight_decay: 0.0003 regularization_type: "L1"'
SOURCES = ("hdf5", "lmdb", "dummy", "image")
NETS = ("linear", "conv", "norm", "shared", "regression")


@dataclass(frozen=True)
class SolverCase:
    """One training, ready to be written into a folder and run there."""

    name: str
    solver: str
    net: str
    source: str

    @property
    def snapshot(self) -> str:
        """The weights at the end."""
        end = ".h5" if "snapshot_format: HDF5" in self.solver else ""
        return f"{self.name}_iter_{ITERATIONS}.caffemodel{end}"

    def write(self) -> str:
        """Write data, net, weights and solver into the current folder; return the solver's path."""
        write_data()
        Path(f"{self.name}_net.prototxt").write_text(self.net)
        text = parse_prototxt(self.net)
        kept = filter_net(text, 0)
        tops = [top for layer in kept.net.layer if not layer.bottom for top in layer.top]
        shapes = {"data": (BATCH, *IMAGE), "label": (BATCH,), "target": (BATCH, 2), "grey": (BATCH, 1, *IMAGE[1:])}
        network = Network(kept, {top: shapes[top] for top in tops})
        weights = filled_weights(network, 7)
        if "bn" in weights:
            mean, variance, factor = weights["bn"]
            weights["bn"] = (mean + np.float32(0.5), variance + np.float32(3), factor + np.float32(2))
        write_caffemodel(f"{self.name}_init.caffemodel", kept.net, weights)
        path = f"{self.name}.prototxt"
        Path(path).write_text(self.solver)
        return path


def draw(number: int) -> SolverCase:
    """Return training ``number``; every solver, policy, source and net is among any 35 that follow each other."""
    rng = random.Random(number)
    kind = SOLVERS[number % 6]
    policy = list(POLICIES)[number % 7]
    source, net = SOURCES[number % 4], NETS[number % 5]
    if net == "regression" or (source == "dummy" and net in ("norm", "shared")):  # the others learn too little of it
        source = "hdf5"
    name = f"case{number}"
    lines = [
        f'net: "{name}_net.prototxt" weights: "{name}_init.caffemodel" snapshot_prefix: "{name}"',
        f'type: "{kind}" base_lr: {RATES[kind]} lr_policy: "{policy}" {POLICIES[policy]}',
        f"max_iter: {ITERATIONS} display: {rng.choice([1, 5])} average_loss: {rng.choice([1, 1, 4])} solver_mode: CPU",
        # A large L1 makes weights cross 0, and which iteration they cross it in hangs on the last bit.
        rng.choice(["", "weight_decay: 0.0005", "weight_decay: 0.01", L1, L1]),
        f"iter_size: {rng.choice([1, 1, 1, 2])} random_seed: 1",
    ]
    if kind in ("SGD", "Nesterov", "Adam"):
        lines.append(f"momentum: {rng.choice([0, 0.5, 0.9])}")
    if kind == "AdaDelta":
        lines.append(f"momentum: {rng.choice([0.9, 0.95])} delta: 1e-6")
    elif kind != "SGD":
        lines.append(f"delta: {rng.choice([1e-8, 1e-4])}")
    if kind == "RMSProp":
        lines.append(f"rms_decay: {rng.choice([0.9, 0.98])}")
    if kind == "Adam":
        lines.append(f"momentum2: {rng.choice([0.99, 0.999])}")
    if rng.random() < 0.3:
        lines.append(f"clip_gradients: {rng.choice([0.3, 2.0])}")
    if rng.random() < 0.6:
        lines.append(f"test_iter: {rng.choice([1, 3])} test_interval: 40 test_compute_loss: true")
        lines.append(f"test_initialization: {rng.choice(['true', 'false'])}")
    if rng.random() < 0.25:
        lines.append("snapshot_format: HDF5")
    return SolverCase(name, "\n".join(lines) + "\n", _net(net, source, rng), source)


def _net(kind: str, source: str, rng: random.Random) -> str:
    mults = ["", "param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }", "param { lr_mult: 0 }"]
    filler = 'weight_filler { type: "xavier" } bias_filler { type: "constant" value: 0.1 }'
    product = f"inner_product_param {{ num_output: {CLASSES} {filler} }}"
    conv = f"convolution_param {{ num_output: 4 kernel_size: 3 {filler} }}"
    layers = [_data(source, kind)]
    x = "data"
    if kind in ("conv", "norm"):
        x = "conv"
        layers.append(
            f'layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" {rng.choice(mults)} {conv} }}'
        )
        if kind == "norm":
            # The only real Caffe that can be installed ignores use_global_stats: false (tests/training/test_net.py
            # holds the statistics against Caffe's formulas).
            eps = rng.choice([1e-5, 1e-3])
            layers += [
                'layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" '
                f"batch_norm_param {{ use_global_stats: true eps: {eps} }} }}",
                'layer { name: "scale" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true } }',
            ]
            x = "bn"
        pool = rng.choice(["MAX", "AVE"])
        layers += [
            f'layer {{ name: "relu" type: "{rng.choice(["TanH", "Sigmoid", "ELU"])}" bottom: "{x}" top: "act" }}',
            f'layer {{ name: "pool" type: "Pooling" bottom: "act" top: "pool" '
            f"pooling_param {{ pool: {pool} kernel_size: 2 stride: 2 }} }}",
        ]
        x = "pool"
    if kind == "shared":
        square = f'inner_product_param {{ num_output: {int(np.prod(IMAGE))} {filler} }} param {{ name: "w" }}'
        square += ' param { name: "b" lr_mult: 2 }'
        layers += [
            f'layer {{ name: "one" type: "InnerProduct" bottom: "data" top: "one" {square} }}',
            'layer { name: "tanh" type: "TanH" bottom: "one" top: "one" }',
            f'layer {{ name: "two" type: "InnerProduct" bottom: "one" top: "two" {square} }}',
        ]
        x = "two"
    if kind == "regression":
        outs = f"inner_product_param {{ num_output: 2 {filler} }}"
        layers += [
            f'layer {{ name: "out" type: "InnerProduct" bottom: "data" top: "out" {outs} }}',
            'layer { name: "loss" type: "EuclideanLoss" bottom: "out" bottom: "target" top: "loss" loss_weight: 0.5 }',
        ]
        return "\n".join(layers) + "\n"
    layers += [
        f'layer {{ name: "ip" type: "InnerProduct" bottom: "{x}" top: "ip" {rng.choice(mults[:2])} {product} }}',
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }',
        'layer { name: "top1" type: "Accuracy" bottom: "ip" bottom: "label" top: "top1" include { phase: TEST } }',
    ]
    return "\n".join(layers) + "\n"


def _data(source: str, kind: str) -> str:
    if kind == "regression":
        tops = 'top: "data" top: "target"'
        return f'layer {{ name: "data" type: "HDF5Data" {tops} hdf5_data_param {{ source: "h5.txt" batch_size: 8 }} }}'
    tops = 'top: "data" top: "label"'
    if source == "hdf5":
        return f'layer {{ name: "data" type: "HDF5Data" {tops} hdf5_data_param {{ source: "h5.txt" batch_size: 8 }} }}'
    if source == "lmdb":
        return (
            f'layer {{ name: "data" type: "Data" {tops} data_param {{ source: "lmdb" backend: LMDB batch_size: 8 }} '
            "transform_param { scale: 0.0078125 mean_value: 120 mean_value: 130 } }"
        )
    if source == "image":
        # A list of grey images cannot have two channels: the same image stands for both through a Concat.
        return (
            'layer { name: "data" type: "ImageData" top: "grey" top: "label" image_data_param { source: "list.txt" '
            "batch_size: 8 is_color: false } transform_param { scale: 0.00390625 crop_size: 6 mean_value: 100 } "
            "include { phase: TEST } }\n"
            'layer { name: "train" type: "ImageData" top: "grey" top: "label" image_data_param { source: "list.txt" '
            "batch_size: 8 is_color: false new_height: 6 new_width: 6 } transform_param { scale: 0.00390625 } "
            "include { phase: TRAIN } }\n"
            'layer { name: "twice" type: "Concat" bottom: "grey" bottom: "grey" top: "data" }'
        )
    shape = " ".join(f"dim: {d}" for d in (BATCH, *IMAGE))
    return (
        f'layer {{ name: "data" type: "DummyData" {tops} dummy_data_param {{ shape {{ {shape} }} shape {{ dim: 8 }} '
        'data_filler { type: "constant" value: 0.3 } data_filler { type: "constant" value: 1 } } }'
    )


def write_data() -> None:
    """Write every source into the current folder, once."""
    if Path("h5.txt").exists():
        return
    import cv2
    import h5py
    import lmdb

    data = hashed_uniform("training data", (SAMPLES, *IMAGE)).astype(np.float32)
    flat = data.reshape(SAMPLES, -1)
    teacher = hashed_uniform("teacher", (flat.shape[1], CLASSES))
    labels = (flat @ teacher).argmax(1)
    for part, rows in enumerate((slice(0, 10), slice(10, SAMPLES))):
        with h5py.File(f"part{part}.h5", "w") as file:
            file["data"], file["label"] = data[rows], labels[rows].astype(np.float32)
            file["target"] = (flat @ teacher)[rows, :2].astype(np.float32)
    pixels = (data * 60 + 128).round().astype(np.uint8)
    with lmdb.open("lmdb", map_size=1 << 22) as environment, environment.begin(write=True) as write:
        for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
            write.put(f"{i:08}".encode(), write_datum(image.tobytes(), int(label), shape=IMAGE))
    lines = []
    for i, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        cv2.imwrite(f"{i}.png", np.tile(image[0], (2, 2))[:8, :9])
        lines.append(f"{i}.png {label}\n")
    Path("list.txt").write_text("".join(lines))
    Path("h5.txt").write_text("part0.h5\npart1.h5\n")
