"""Which layer quantising hurts: the noise that 8 bits add to every layer by themselves.

Every product is computed twice from the same float32 bottoms: as it is, and with weights and bottoms rounded to their
8-bit steps. So a layer's figure does not hold the noise of the layers before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.errors import EngineUnavailableError, PrecisionError
from caffezoo.precision.layer_noise import decibel
from caffezoo.precision.quantisation import QUANTISED_OPERATORS, quantisable

if TYPE_CHECKING:
    import onnx

SHADOW = "8 bit: "
"""What stands before the names of added operators; no prototxt's names begin so by accident."""


@dataclass(frozen=True)
class LayerNoise:
    """A quantised layer and its signal to noise, in dB: 10 log10 of its output's mean square over the noise's."""

    layer: str
    decibel: float


def quantisation_noise(
    model: onnx.ModelProto, quantised: onnx.ModelProto, batches: Iterable[Mapping[str, np.ndarray]]
) -> list[LayerNoise]:
    """Return every quantised layer with its own noise, the noisiest first.

    Parameters
    ----------
    model, quantised : onnx.ModelProto
        In float32, and what was made of it.
    batches : iterable of mapping of str to ndarray

    Raises
    ------
    EngineUnavailableError
        ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise EngineUnavailableError(
            "the noise of layers needs ONNX Runtime", hint="pip install 'caffezoo[int8]'"
        ) from None
    both, operators = _shadowed(model, quantised)
    if not operators:
        return []
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(both.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except RuntimeError as error:
        raise PrecisionError(str(error).splitlines()[0][:300], where="ONNX Runtime") from None
    names = [name for operator in operators for name in (_sum(operator, "signal"), _sum(operator, "noise"))]
    sums = np.zeros(len(names))
    for batch in batches:
        sums += [float(x) for x in session.run(names, dict(batch))]
    layers = {operator: layer for layer, own in quantisable(model).items() for operator in own}
    signal: dict[str, float] = {}
    noise: dict[str, float] = {}
    for operator, (s, n) in zip(operators, sums.reshape(-1, 2), strict=True):
        layer = layers.get(operator, operator)
        signal[layer] = signal.get(layer, 0.0) + s
        noise[layer] = noise.get(layer, 0.0) + n
    return sorted(
        (LayerNoise(layer, decibel(signal[layer], noise[layer])) for layer in signal), key=lambda x: x.decibel
    )


def _sum(operator: str, what: str) -> str:
    return f"{SHADOW}{what} of {operator}"


def _shadowed(model: onnx.ModelProto, quantised: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """Return the float32 model with a rounded twin beside every quantised product, and these products' names."""
    import onnx
    from onnx import helper

    made = {top: node for node in quantised.graph.node for top in node.output}
    constants = {tensor.name: tensor for tensor in quantised.graph.initializer}
    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    have = {tensor.name for tensor in graph.initializer}
    rounded: dict[str, str] = {}
    operators: list[str] = []
    plain = {node.name: node for node in model.graph.node}

    def borrow(name: str) -> str:
        if name in constants and SHADOW + name not in have:
            tensor = graph.initializer.add()
            tensor.CopyFrom(constants[name])
            tensor.name = SHADOW + name
            have.add(tensor.name)
        return SHADOW + name

    def rounded_input(name: str, source: str) -> str:
        """``name``: in the quantised model; ``source``: the same in the float32 model."""
        back = made.get(name)
        if back is None:  # a bias: its own, which the bias correction changed
            return borrow(name) if name in constants else source
        if back.op_type != "DequantizeLinear":
            return source
        if name not in rounded:
            scale, zero = (borrow(x) for x in back.input[1:3])
            forth = made.get(back.input[0])
            if forth is None:
                whole = borrow(back.input[0])
            else:
                whole = f"{SHADOW}{back.input[0]}"
                quantise = helper.make_node("QuantizeLinear", [source, scale, zero], [whole], name=SHADOW + forth.name)
                quantise.attribute.extend(forth.attribute)
                graph.node.append(quantise)
            rounded[name] = SHADOW + name
            dequantise = helper.make_node(
                "DequantizeLinear", [whole, scale, zero], [rounded[name]], name=SHADOW + back.name
            )
            dequantise.attribute.extend(back.attribute)
            graph.node.append(dequantise)
        return rounded[name]

    for node in quantised.graph.node:
        own = plain.get(node.name)
        if node.op_type not in QUANTISED_OPERATORS or own is None or own.op_type != node.op_type:
            continue
        if not any(x in made and made[x].op_type == "DequantizeLinear" for x in node.input):
            continue
        bottoms = [rounded_input(x, source) for x, source in zip(node.input, own.input, strict=True)]
        top = f"{SHADOW}{node.output[0]}"
        twin = helper.make_node(node.op_type, bottoms, [top], name=SHADOW + node.name)
        twin.attribute.extend(node.attribute)
        difference = f"{SHADOW}difference of {node.name}"
        graph.node.extend(
            [
                twin,
                helper.make_node("Sub", [top, own.output[0]], [difference], name=difference),
                helper.make_node("ReduceSumSquare", [own.output[0]], [_sum(node.name, "signal")], keepdims=0),
                helper.make_node("ReduceSumSquare", [difference], [_sum(node.name, "noise")], keepdims=0),
            ]
        )
        graph.output.extend(
            helper.make_tensor_value_info(_sum(node.name, what), onnx.TensorProto.FLOAT, [])
            for what in ("signal", "noise")
        )
        operators.append(node.name)
    return found, operators
