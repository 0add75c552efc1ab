"""A network at 8 bits or 1: its layers in plain BVLC Caffe, and what each computes while it is trained.

The sign is Threshold and Power; rounding is two Powers that add and take away 1.5 * 2^23, where float32 has steps of 1,
with a ReLU between them that keeps runtimes from joining the two. So the files run in real Caffe as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from caffezoo.errors import TrainingError, UsageError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.training.rewriting import Layers, one_blob_a_layer, readers, redirect, weighted

if TYPE_CHECKING:
    from caffezoo.training.quantisers import Function

Kind = Literal["full", "8bit", "binary"]
ROUNDING = 12582912.0
"""1.5 * 2^23: float32 numbers near it lie 1 apart, and adding it rounds halves to even."""

LARGEST_ACTIVATION = 8
"""8-bit activations reach nearly so far: batch-normed and He-filled layers give values around 1."""

PASSES = ("Pooling", "Dropout", "Concat", "Flatten", "LRN")
"""Layers behind which a ReLU before a binary layer is still one that the sign makes useless."""


@dataclass(frozen=True)
class PrecisionChoice:
    """Which precision, and its details.

    Attributes
    ----------
    kind : {"full", "8bit", "binary"}
    weight_bits, activation_bits : int or None
        DoReFa's k-bit numbers in place of the fixed-point ones, with kind ``8bit``.
    scaling : {"filter", "layer", "none"}
        Of binary weights.
    ranges : {"scaled", "fixed"}
        Of 8-bit numbers. ``scaled``: weights in steps of a power of two that holds the layer's largest, activations in
        128 steps from 0 to 8. ``fixed``: QNN's, weights within [-1, 1) and activations within [0, 1), with a batch norm
        behind every quantised layer; k-bit numbers are always so.
    first_real, last_real : bool
        Whether the first and the last layer keep real weights.
    """

    kind: Kind = "full"
    weight_bits: int | None = None
    activation_bits: int | None = None
    scaling: str = "filter"
    ranges: str = "scaled"
    first_real: bool = True
    last_real: bool = True

    def __post_init__(self) -> None:
        if self.kind not in ("full", "8bit", "binary"):
            raise UsageError(f"--precision takes full, 8bit or binary, not '{self.kind}'")
        if self.scaling not in ("filter", "layer", "none"):
            raise UsageError(f"--scaling takes filter, layer or none, not '{self.scaling}'")
        if self.ranges not in ("scaled", "fixed"):
            raise UsageError(f"--ranges takes scaled or fixed, not '{self.ranges}'")
        for bits in (self.weight_bits, self.activation_bits):
            if bits is not None and self.kind != "8bit":
                raise UsageError("--weight-bits and --activation-bits go with --precision 8bit")
            if bits is not None and not 1 <= bits <= 8:
                raise UsageError(f"1 to 8 bits, not {bits}")

    @property
    def normed(self) -> bool:
        """Whether quantised layers need a batch norm, and trained weights that stay within [-1, 1]."""
        dorefa = self.weight_bits is not None or self.activation_bits is not None
        return self.kind == "binary" or (self.kind == "8bit" and (self.ranges == "fixed" or dorefa))


@dataclass
class Form:
    """A network's layers at a precision.

    Attributes
    ----------
    layers : list of LayerParameter
    weights : dict of str to function
        By layer: from trained weights to those of the Caffe files.
    activations : dict of str to function or None
        By layer of those that quantise blobs: see :func:`caffezoo.training.quantisers.attach`.
    weight_bits : dict of str to int
        Of every quantised layer.
    input_bits : dict of str to int
        Of what every quantised layer reads, where that is quantised.
    """

    layers: Layers
    weights: dict[str, Function] = field(default_factory=dict)
    activations: dict[str, Function | None] = field(default_factory=dict)
    weight_bits: dict[str, int] = field(default_factory=dict)
    input_bits: dict[str, int] = field(default_factory=dict)


def make_form(layers: Sequence[pb.LayerParameter], head: str, choice: PrecisionChoice) -> Form:
    """Return a network's layers at a precision.

    Parameters
    ----------
    layers : sequence of LayerParameter
        Of a deploy file.
    head : str
        The classifier: the last layer.
    choice : PrecisionChoice

    Raises
    ------
    TrainingError
        No layer is left to be quantised.
    """
    if choice.kind == "full":
        return Form(one_blob_a_layer(layers))
    form = Form(one_blob_a_layer(layers))
    names = [layer.name for layer, _ in weighted(form.layers)]
    real = {name for name, kept in ((names[0], choice.first_real), (head, choice.last_real)) if kept}
    quantised = [name for name in names if name not in real]
    if not quantised:
        raise TrainingError("no layer is left to be quantised", hint="see --first-real and --last-real")
    if choice.kind == "binary":
        _binary(form, quantised, choice)
    else:
        _fixed_point(form, quantised, choice)
    return form


def _binary(form: Form, quantised: Sequence[str], choice: PrecisionChoice) -> None:
    """Put batch norm and sign before every binary layer; the ReLUs and Dropouts between binary layers go."""
    from caffezoo.training.quantisers import binary_weights, sign

    _remove_between(form, ("ReLU", "Dropout"), quantised)
    signed: dict[str, str] = {}
    rewritten: Layers = []
    for layer in form.layers:
        if layer.name in quantised:
            blob = layer.bottom[0]
            if blob not in signed:
                rewritten += _normed(f"{blob}/bn", blob)
                threshold = _layer("Threshold", f"{blob}/sign", f"{blob}/bn/scale")
                threshold.threshold_param.threshold = -float(np.finfo(np.float32).tiny)
                rewritten += [threshold, _power(f"{blob}/pm1", threshold.top[0], 2.0, -1.0)]
                form.activations |= {threshold.name: sign, f"{blob}/pm1": None}
                signed[blob] = f"{blob}/pm1"
            layer.bottom[0] = signed[blob]
            _without_bias(layer)
            form.weights[layer.name] = partial(binary_weights, scaling=choice.scaling)
            form.weight_bits[layer.name] = form.input_bits[layer.name] = 1
        rewritten.append(layer)
    form.layers[:] = rewritten
    for layer in [x for x in form.layers if x.type == "ReLU" and _made_by(form.layers, x.bottom[0], quantised)]:
        norm = _normed(f"{layer.bottom[0]}/bn", layer.bottom[0])
        at = form.layers.index(layer)
        form.layers[at:at] = norm
        layer.bottom[0] = norm[-1].top[0]


def _remove_between(form: Form, types: Sequence[str], quantised: Sequence[str]) -> None:
    """Take out layers of these types that feed nothing but quantised layers."""
    for layer in [x for x in form.layers if x.type in types]:
        if _only_feeds(form.layers, layer.top[0], quantised):
            redirect(form.layers, layer.top[0], layer.bottom[0])
            form.layers.remove(layer)


def _fixed_point(form: Form, quantised: Sequence[str], choice: PrecisionChoice) -> None:
    """Put steps in place of the ReLUs behind quantised layers; for fixed ranges batch norm behind each such layer."""
    from caffezoo.training.quantisers import dorefa_weights, fixed_point, scaled_fixed_point, stepped_relu

    bits = choice.weight_bits or 8
    steps, top = (128, 127) if choice.activation_bits is None else (2**choice.activation_bits - 1,) * 2
    if not choice.normed:
        steps //= LARGEST_ACTIVATION
    stepped = partial(stepped_relu, steps=steps, top=top)
    plain_weights = fixed_point if choice.normed else scaled_fixed_point
    # Dropout changes the variance between training and test, which the batch norm behind would take for the data's.
    if choice.normed:
        _remove_between(form, ("Dropout",), quantised)
    for layer in [x for x in form.layers if x.name in quantised]:
        form.weights[layer.name] = (
            partial(plain_weights, bits=8) if choice.weight_bits is None else partial(dorefa_weights, bits=bits)
        )
        form.weight_bits[layer.name] = bits
        if not choice.normed:
            continue
        _without_bias(layer)
        made = layer.top[0]
        if not any(x.type == "BatchNorm" for x in readers(form.layers, made)):
            norm = _normed(f"{made}/bn", made)
            redirect(form.layers, made, norm[-1].top[0])
            norm[0].bottom[0] = made
            at = form.layers.index(layer) + 1
            form.layers[at:at] = norm
    counted = choice.activation_bits or 8
    for layer in [x for x in form.layers if x.type == "ReLU" and _made_by(form.layers, x.bottom[0], quantised)]:
        chain = plain_steps(layer.name, layer.bottom[0], steps, top)
        redirect(form.layers, layer.top[0], chain[-1].top[0])
        at = form.layers.index(layer)
        form.layers[at : at + 1] = chain
        form.activations |= {x.name: None for x in chain}
        form.activations[chain[0].name] = stepped
    for layer in form.layers:
        if layer.name in quantised and _readsplain_steps(form, layer.bottom[0]):
            form.input_bits[layer.name] = counted


def plain_steps(name: str, bottom: str, steps: int, top: int) -> Layers:
    """``clip(round(x steps), 0, top) / steps`` in plain layers."""
    chain: Layers = []

    def add(suffix: str, scale: float | None = None, shift: float = 0.0) -> None:
        below = chain[-1].top[0] if chain else bottom
        full = f"{name}/{suffix}"
        chain.append(_layer("ReLU", full, below) if scale is None else _power(full, below, scale, shift))

    add("up", steps, ROUNDING)
    add("hold")
    add("down", 1.0, -ROUNDING)
    add("low")
    add("flip", -1.0, top)
    add("high")
    add("back", -1.0 / steps, top / steps)
    return chain


def _normed(name: str, bottom: str) -> Layers:
    norm = _layer("BatchNorm", name, bottom)
    norm.batch_norm_param.eps = 1e-4
    norm.batch_norm_param.moving_average_fraction = 0.9
    scale = _layer("Scale", f"{name}/scale", name)
    scale.scale_param.bias_term = True
    return [norm, scale]


def _layer(kind: str, name: str, bottom: str) -> pb.LayerParameter:
    return pb.LayerParameter(name=name, type=kind, bottom=[bottom], top=[name])


def _power(name: str, bottom: str, scale: float, shift: float) -> pb.LayerParameter:
    layer = _layer("Power", name, bottom)
    layer.power_param.scale = scale
    layer.power_param.shift = shift
    return layer


def _without_bias(layer: pb.LayerParameter) -> None:
    param = layer.convolution_param if layer.type == "Convolution" else layer.inner_product_param
    param.bias_term = False
    param.ClearField("bias_filler")
    del layer.param[1:]


def _only_feeds(layers: Layers, blob: str, quantised: Sequence[str]) -> bool:
    """Whether a blob goes into binary layers alone, through layers that only move values."""
    found = readers(layers, blob)
    return bool(found) and all(
        layer.name in quantised or (layer.type in PASSES and _only_feeds(layers, layer.top[0], quantised))
        for layer in found
    )


def _made_by(layers: Layers, blob: str, quantised: Sequence[str]) -> bool:
    """Whether a blob is a quantised layer's, behind its batch norm perhaps."""
    for layer in layers:
        if blob in layer.top:
            return layer.name in quantised or (
                layer.type in ("BatchNorm", "Scale", "Pooling") and _made_by(layers, layer.bottom[0], quantised)
            )
    return False


def _readsplain_steps(form: Form, blob: str) -> bool:
    for layer in form.layers:
        if blob in layer.top:
            if layer.name in form.activations:
                return True
            return layer.type in PASSES and all(_readsplain_steps(form, b) for b in layer.bottom)
    return False
