"""Weights by formula, for any network: the same numbers on every platform, and activations of order one.

Random weights prove nothing about two runtimes if activations die or the softmax saturates. Here every value comes
from an integer hash of (seed, layer name, blob, position), so it is the same everywhere; and every layer that
multiplies by weights gets one power of two, measured in a single run, that brings its output to a standard deviation
near one. The exponents are small integers: a recorded test keeps them and need not measure again.
"""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from caffezoo.errors import NetworkError
from caffezoo.net.batch import at_batch, possible_batch
from caffezoo.net.cutting import cut
from caffezoo.net.graph import Network, Node
from caffezoo.net.layer import Layer, Shape
from caffezoo.net.node import shared_blobs
from caffezoo.net.scores import classifier_head

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope

EXPONENT_LIMIT = 30
RECURRENT = frozenset({"LSTM", "RNN", "Lstm", "ConvLSTM"})
"""Types whose state goes on from step to step. Their tops are bounded already; to scale their weights until those are
of order one would make the recurrence chaotic: the last bit of the first step then decides the last step."""


def hashed_uniform(key: str, shape: Sequence[int], period: int | None = None) -> np.ndarray:
    """Return numbers in [-1, 1) that depend on ``key`` and position alone: multiples of 2**-23, exact in float32.

    With a ``period`` they repeat after so many, which takes a tenth of the time.

    The hash is MurmurHash3's 32-bit finaliser (https://github.com/aappleby/smhasher, MurmurHash3.cpp, fmix32), over
    position and key.
    """
    if period is not None and math.prod(shape) > period:
        return np.resize(hashed_uniform(key, (period,)), tuple(shape))
    with np.errstate(over="ignore"):
        h = np.arange(math.prod(shape), dtype=np.uint32)
        for mix in (np.uint32(zlib.crc32(key.encode())), np.uint32(zlib.crc32(key[::-1].encode()))):
            h ^= mix
            h ^= h >> np.uint32(16)
            h *= np.uint32(0x85EBCA6B)
            h ^= h >> np.uint32(13)
            h *= np.uint32(0xC2B2AE35)
            h ^= h >> np.uint32(16)
    return ((h >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)).reshape(tuple(shape))


def seeded_inputs(
    network: Network, seed: int = 0, *, batch: int | None = None, low: float = -2.0, high: float = 2.0
) -> dict[str, np.ndarray]:
    """Return float32 input blobs within [low, high): for images, noise on coarse blocks, which differ among samples.

    If no batch size is given it is 2, or the one that the network is tied to.
    """
    batch = possible_batch(network, 2) if batch is None else batch
    scale, centre = np.float32((high - low) / 2), np.float32((high + low) / 2)
    inputs = {}
    for name, shape in network.inputs.items():
        count = batch if name in network.batch_inputs else shape[0] if shape else 1
        x = hashed_uniform(f"{seed}:input:{name}", (count, *shape[1:]) if shape else ())
        if len(shape) == 4:
            rows, columns = (np.arange(d) * 4 // d for d in shape[2:])
            blocks = hashed_uniform(f"{seed}:blocks:{name}", (count, shape[1], 4, 4))
            x = np.float32(0.25) * x + np.float32(0.75) * blocks[:, :, rows][:, :, :, columns]
        inputs[name] = x * scale + centre
    return inputs


def seeded_weights(
    network: Network,
    seed: int = 0,
    exponents: Mapping[str, int] | None = None,
    *,
    low: float = -2.0,
    high: float = 2.0,
    period: int | None = None,
) -> tuple[dict[str, list[np.ndarray]], dict[str, int]]:
    """Return blobs for every layer of a network, and the exponents that they were scaled by.

    Parameters
    ----------
    network : Network
        With or without weights.
    seed : int
    exponents : mapping of str to int, optional
        By layer name, as an earlier call returned them; measured if not given.
    low, high : float
        Range of the inputs that the exponents are measured with.
    period : int, optional
        Let values repeat after so many, where they need not differ (timing).

    Returns
    -------
    weights : dict of str to list of ndarray
        With them every product's output has a standard deviation within [0.7, 1.5] on such inputs, the last one's (the
        logits) within [1, 2]; those of recurrences are bounded by themselves.
    exponents : dict of str to int
    """
    weights = {node.key: _blobs(node, seed, period) for node in network.nodes if node.blob_shapes}
    if exponents is None:
        exponents = _measure(network.with_weights(weights), seed, low, high)
    for name, exponent in exponents.items():
        weights[name] = [np.ldexp(blob, -exponent).astype(np.float32) for blob in weights[name]]
    for (key, i), (owner, k) in shared_blobs(network.nodes).items():
        weights[key][i] = weights[owner][k].reshape(weights[key][i].shape)
    return weights, dict(exponents)


def _blobs(node: Node, seed: int, period: int | None = None) -> list[np.ndarray]:
    """Return one layer's blobs before scaling."""
    draws = [hashed_uniform(f"{seed}:{node.name}:{i}", shape, period) for i, shape in enumerate(node.blob_shapes)]
    if node.layer.type == "DenseBlock":
        return _dense_block(node, draws)
    if node.layer.type in RECURRENT:
        half = np.float32(0.5)
        return [d * (half * _fan_in_gain(d.shape) if d.ndim > 1 else np.float32(0.125)) for d in draws]
    if node.macs:
        return [draws[0] * _fan_in_gain(node.blob_shapes[0]), *(np.float32(0.125) * d for d in draws[1:])]
    kind = node.layer.type
    if kind == "BatchNorm":
        factor = np.float32((1.0, 0.5, 1000.0)[zlib.crc32(node.name.encode()) % 3])
        mean, variance = draws[0] * np.float32(0.25), draws[1] * np.float32(0.5) + np.float32(1)
        rest = [1 + draws[3] * np.float32(0.25), draws[4] * np.float32(0.25)] if len(draws) == 5 else []
        return [mean * factor, variance * factor, np.full(node.blob_shapes[2], factor, np.float32), *rest]
    if kind == "BN" and len(draws) == 4:
        slope, bias, mean, variance = (d * np.float32(0.25) for d in draws)
        return [slope + np.float32(1), bias, mean, variance + np.float32(1)]
    if kind == "Bias":
        return [d * np.float32(0.25) for d in draws]
    centre = np.float32(0.25 if kind == "PReLU" else 1)
    return [centre + draws[0] * np.float32(0.25), *(d * np.float32(0.25) for d in draws[1:])]


def _dense_block(node: Node, draws: list[np.ndarray]) -> list[np.ndarray]:
    count = node.layer.param.numTransition
    centres = [1, 0, 0, 1]  # of scales, shifts, means and variances, which stand behind each kind of filters
    found = [
        np.float32(centres[i // count % 5 - 1]) + d * np.float32(0.25) if i // count % 5 else d * _fan_in_gain(d.shape)
        for i, d in enumerate(draws[:-1])
    ]
    return [*found, np.ones_like(draws[-1])]


def _fan_in_gain(shape: Shape) -> np.float32:
    return np.float32(2.0 ** round(math.log2(math.sqrt(3 / max(math.prod(shape[1:]), 1)))))


def _measure(network: Network, seed: int, low: float, high: float) -> dict[str, int]:
    """Run the network once with every product's output scaled to order one in the graph; return the exponents."""
    import openvino
    from onnx import TensorProto, helper

    from caffezoo.net.onnx_graph import to_onnx

    network = at_batch(cut(network, network.outputs), possible_batch(network, 2))
    products = [node for node in network.nodes if _is_product(node)]
    try:
        last = classifier_head(network).layer
    except NetworkError:  # no classifier: the last product is as good as any
        last = None
    if last not in {node.name for node in products}:
        last = products[-1].name if products else None
    tensors: dict[str, str] = {}
    measured = copy.copy(network)
    measured.nodes = tuple(
        replace(node, layer=cast(Layer, _Normalised(node, tensors, node.name == last))) if _is_product(node) else node
        for node in network.nodes
    )
    model = to_onnx(measured)
    for i, tensor in enumerate(tensors.values()):
        model.graph.node.append(helper.make_node("Identity", [tensor], [f"exponent:{i}"]))
        model.graph.output.append(helper.make_tensor_value_info(f"exponent:{i}", TensorProto.FLOAT, None))
    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    found: Any = compiled(seeded_inputs(network, seed, low=low, high=high))
    return {name: int(found[compiled.output(f"exponent:{i}")].item()) for i, name in enumerate(tensors)}


def _is_product(node: Node) -> bool:
    return node.macs > 0 and bool(node.blob_shapes) and node.layer.type not in RECURRENT


class _Normalised:
    """A layer whose ONNX form ends in a division by the power of two nearest to its output's standard deviation.

    The output is brought below 2 by another power of two first, so that no square overflows.
    """

    def __init__(self, node: Node, tensors: dict[str, str], last: bool) -> None:
        self._layer = node.layer
        self._key = node.key
        self._tensors = tensors
        self._round = "Floor" if last else "Round"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def onnx(self, scope: LayerScope) -> list[str]:
        top, *others = self._layer.onnx(scope)
        largest = scope.op("ReduceMax", scope.op("Abs", top), keepdims=0)
        within = scope.op("Min", scope.op("Max", largest, scope.const(2.0**-EXPONENT_LIMIT)), scope.const(2.0**126))
        first = scope.op("Floor", scope.op("Mul", scope.op("Log", within), scope.const(1 / math.log(2))))
        y = scope.op("Div", top, scope.op("Pow", scope.const(2.0), first))
        y = scope.op(
            "Clip", scope.op("Where", scope.op("IsNaN", y), scope.const(0.0), y), *map(scope.const, (-4.0, 4.0))
        )
        difference = scope.op("Sub", y, scope.op("ReduceMean", y, keepdims=0))
        variance = scope.op("ReduceMean", scope.op("Mul", difference, difference), keepdims=0)
        floor = scope.const(4.0**-EXPONENT_LIMIT)
        log2 = scope.op("Mul", scope.op("Log", scope.op("Max", variance, floor)), scope.const(0.5 / math.log(2)))
        second = scope.op(self._round, log2)
        self._tensors[self._key] = scope.op("Max", scope.op("Add", first, second), scope.const(-float(EXPONENT_LIMIT)))
        return [scope.op("Div", y, scope.op("Pow", scope.const(2.0), second)), *others]
