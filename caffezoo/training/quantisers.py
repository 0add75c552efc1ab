"""Quantised weights and activations, with the gradients that let them be trained.

Every function is its own rounding forward and lets the gradient through where its rule says (straight-through).
Sources: BinaryNet (Courbariaux et al., arXiv 1602.02830), XNOR-Net (Rastegari et al., arXiv 1603.05279), DoReFa-Net
(Zhou et al., arXiv 1606.06160), QNN's fixed-point layers (Hubara et al., arXiv 1609.07061).

Importing this module imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from caffezoo.net.torch_module import NetworkModule

SMALLEST = torch.finfo(torch.float32).tiny
"""0 counts as positive, and Caffe's Threshold asks for more than its threshold: that is minus this number."""

Function = Callable[[Any], Any]


class _Sign(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return (x > -SMALLEST).to(x.dtype) * 2 - 1

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() <= 1)


class _RoundClip(torch.autograd.Function):  # type: ignore[misc]
    """``clip(round(x steps), low, high) / steps``; the gradient passes where the rounded value is within the limits."""

    @staticmethod
    def forward(ctx: Any, x: Any, steps: float, low: float, high: float) -> Any:
        rounded = (x * steps).round()
        ctx.save_for_backward((rounded >= low) & (rounded <= high))
        return rounded.clamp(low, high) / steps

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None, None


class _Round(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.round()

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return gradient


class _ScaledFixedPoint(torch.autograd.Function):  # type: ignore[misc]
    """In place where it can be: the weights of inner products are large."""

    @staticmethod
    def forward(ctx: Any, w: Any, bits: int) -> Any:
        low, high = torch.aminmax(w)
        largest = max(-float(low), float(high), 2.0**-60)
        scale, m = 2.0 ** math.ceil(math.log2(largest)), 2.0 ** (bits - 1)
        return w.mul(m / scale).round_().clamp_(-m, m - 1).mul_(scale / m)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return gradient, None


class _FilterSign(torch.autograd.Function):  # type: ignore[misc]
    """``a sign(w)`` with each filter's mean magnitude ``a``, in few passes over the weights."""

    @staticmethod
    def forward(ctx: Any, w: Any) -> Any:
        scale = w.abs().flatten(1).mean(1).reshape(-1, *(1 for _ in w.shape[1:]))
        ctx.save_for_backward(w, scale)
        return torch.where(w > -SMALLEST, scale, -scale)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        w, scale = ctx.saved_tensors
        positive = w > -SMALLEST
        signed = torch.where(positive, gradient, -gradient)
        mean = signed.flatten(1).mean(1).reshape(scale.shape)
        return (gradient * scale).mul_(w.abs() <= 1).add_(torch.where(positive, mean, -mean))


def sign(x: Any) -> Any:
    """Return +1 where x >= 0, else -1; the gradient is 1 where ``|x| <= 1``, else 0."""
    return _Sign.apply(x)


def binary_weights(w: Any, scaling: str = "filter") -> Any:
    """Return ``a sign(w)``; ``a`` is the mean magnitude of each filter, of the layer, or 1.

    With a scale the gradient of a weight is that of XNOR-Net, ``g a 1(|w| <= 1) + sign(w) mean(g sign)``.

    Parameters
    ----------
    w : Tensor
        Outputs on axis 0.
    scaling : {"filter", "layer", "none"}
    """
    if scaling == "none":
        return sign(w)
    if scaling == "layer":
        return sign(w) * w.abs().mean()
    return _FilterSign.apply(w)


def fixed_point(x: Any, bits: int = 8) -> Any:
    """Return ``clip(round(x m), -m, m - 1) / m`` with ``m = 2^(bits - 1)``: for 8 bits 256 levels in [-1, 127/128].

    Halves are rounded to even.
    """
    m = 2 ** (bits - 1)
    return _RoundClip.apply(x, m, -m, m - 1)


def scaled_fixed_point(w: Any, bits: int = 8) -> Any:
    """Return :func:`fixed_point` at the smallest power of two that holds every weight, as its scale.

    The scale is that of pytorch-playground's and QNN's ranges, ``2^ceil(log2(max |w|))``; no gradient goes through it,
    and that of a weight is 1, since the scale holds every weight.
    """
    return _ScaledFixedPoint.apply(w, bits)


def stepped_relu(x: Any, steps: int, top: int) -> Any:
    """Return ``clip(round(x steps), 0, top) / steps``.

    QNN's quantised ReLU of 8 bits has steps 128 and top 127; DoReFa's of k bits has ``2^k - 1`` for both.
    """
    return _RoundClip.apply(x, steps, 0, top)


def dorefa_weights(w: Any, bits: int) -> Any:
    """Return DoReFa's weights: ``2 q(t / (2 max|t|) + 1/2) - 1`` with ``t = tanh(w)``; for 1 bit ``sign(w) mean|w|``.

    ``q`` rounds to ``2^bits - 1`` steps, straight through. At 1 bit the gradient is that of ``w`` itself.
    """
    if bits == 1:
        scale = w.abs().mean().detach()
        return w + ((w > -SMALLEST).to(w.dtype) * 2 - 1).mul(scale).sub(w).detach()
    t = torch.tanh(w)
    n = 2**bits - 1
    return 2 * (_Round.apply((t / (2 * t.abs().max()) + 0.5) * n) / n) - 1


class _Quantised:
    """A layer's module with another first blob."""

    def __init__(self, own: Any, blob0: Any) -> None:
        self._own = own
        self.blob0 = blob0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


def attach(module: NetworkModule, weights: Mapping[str, Function], activations: Mapping[str, Function | None]) -> None:
    """Let layers compute with quantised weights, and layers that quantise blobs pass gradients.

    Parameters
    ----------
    module : NetworkModule
    weights : mapping of str to function
        By layer: from the weights that are trained to those that it computes with.
    activations : mapping of str to function or None
        By layer: what it computes instead; None for a layer whose work another does already.
    """
    for layer in module.layers:
        if layer.layer_name in weights:
            layer.compute = _with_weights(layer.compute, weights[layer.layer_name])
        elif layer.layer_name in activations:
            layer.compute = _instead(activations[layer.layer_name])


def _with_weights(compute: Any, quantise: Function) -> Any:
    return lambda own, *bottoms: compute(_Quantised(own, quantise(own.blob0)), *bottoms)


def _instead(function: Function | None) -> Any:
    if function is None:
        return lambda own, x: [x]
    return lambda own, x: [function(x)]


def clip_weights(module: NetworkModule, layers: Mapping[str, Function]) -> None:
    """Keep the trained weights of quantised layers within [-1, 1], where their gradients live."""
    with torch.no_grad():
        for layer in module.layers:
            if layer.layer_name in layers:
                layer.blob(0).clamp_(-1, 1)
