"""Shapes and counts of a generated net, by Caffe's rules and without the package's own shape inference.

Only what the generators write is known here; a layer type that is missing raises KeyError.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Shape = tuple[int, ...]


class Misaligned(ValueError):
    """A Concat or an Eltwise meets maps of two sizes, or a layer finds its map too small."""


@dataclass
class Survey:
    """What one pass over a net finds: shapes of blobs, of weights (in order), multiply-adds at batch 1."""

    shapes: dict[str, Shape] = field(default_factory=dict)
    weights: list[tuple[str, str, list[Shape]]] = field(default_factory=list)
    macs: int = 0

    @property
    def parameters(self) -> int:
        return sum(math.prod(shape) for _, _, blobs in self.weights for shape in blobs)

    def weight_lines(self) -> str:
        """``layer,type,blob shapes`` a line, as the reference tables list weights."""
        return "".join(f"{n},{t},{' '.join('x'.join(map(str, s)) for s in blobs)}\n" for n, t, blobs in self.weights)

    def weight_digest(self) -> str:
        return digest(self.weight_lines())


def digest(text: str) -> str:
    """First 64 bits of the SHA-256, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def pair(param: Any, word: str, default: int) -> tuple[int, int]:
    """(height, width) of a kernel, pad or stride, from the pair of fields or the repeated or single one."""
    single = getattr(param, "kernel_size" if word == "kernel" else word)
    values = list(single) if isinstance(single, Sequence) or hasattr(single, "append") else [single] if single else []
    low, high = (values[0], values[-1]) if values else (default, default)
    h, w = f"{word}_h", f"{word}_w"
    return (getattr(param, h) if param.HasField(h) else low, getattr(param, w) if param.HasField(w) else high)


def pooled(size: int, kernel: int, pad: int, stride: int, *, floor: bool) -> int:
    """One side of a pooled map: rounded up by default, and the last window must begin inside the padded map."""
    rounded = (size + 2 * pad - kernel) / stride
    out = (math.floor(rounded) if floor else math.ceil(rounded)) + 1
    return out - 1 if pad and (out - 1) * stride >= size + pad else out


def survey(net: Any, size: int | None = None) -> Survey:
    """Walk a NetParameter, at another square input size where ``size`` (px) is given."""
    found = Survey()
    for layer in net.layer:
        bottoms = [found.shapes[b] for b in layer.bottom]
        blobs: list[Shape] = []
        tops = [bottoms[0]] * len(layer.top) if bottoms else []
        if layer.type == "Input":
            dims = tuple(layer.input_param.shape[0].dim)
            tops = [dims if size is None else (*dims[:2], size, size)]
        elif layer.type in ("Convolution", "ConvolutionDepthwise"):
            p = layer.convolution_param
            (n, c, *hw), group = bottoms[0], p.group if p.HasField("group") else 1
            kernel, pad, stride = pair(p, "kernel", 0), pair(p, "pad", 0), pair(p, "stride", 1)
            out = tuple((x + 2 * q - k) // s + 1 for x, k, q, s in zip(hw, kernel, pad, stride, strict=True))
            if min(out) < 1:
                raise Misaligned(f"{layer.name}: a map of {hw}")
            blobs = [(p.num_output, c // group, *kernel)] + [(p.num_output,)] * p.bias_term
            found.macs += math.prod(blobs[0]) * math.prod(out)
            tops = [(n, p.num_output, *out)]
        elif layer.type == "Pooling":
            p = layer.pooling_param
            n, c, *hw = bottoms[0]
            out = (1, 1)
            if not p.global_pooling:
                floor = p.HasField("ceil_mode") and not p.ceil_mode
                out = tuple(pooled(x, p.kernel_size, p.pad, p.stride, floor=floor) for x in hw)
                if min(out) < 1:
                    raise Misaligned(f"{layer.name}: a map of {hw}")
            tops = [(n, c, *out)]
        elif layer.type == "BatchNorm":
            blobs = [(bottoms[0][1],)] * 2 + [(1,)]
        elif layer.type == "Scale" and len(bottoms) == 1:
            blobs = [(bottoms[0][1],)] * 2
        elif layer.type == "InnerProduct":
            p = layer.inner_product_param
            blobs = [(p.num_output, math.prod(bottoms[0][1:]))] + [(p.num_output,)] * p.bias_term
            found.macs += math.prod(blobs[0])
            tops = [(bottoms[0][0], p.num_output)]
        elif layer.type == "Concat":
            if len({b[2:] for b in bottoms}) > 1:
                raise Misaligned(f"{layer.name}: {bottoms}")
            tops = [(bottoms[0][0], sum(b[1] for b in bottoms), *bottoms[0][2:])]
        elif layer.type in ("Eltwise", "Axpy"):
            maps = bottoms[1:] if layer.type == "Axpy" else bottoms
            if len(set(maps)) > 1:
                raise Misaligned(f"{layer.name}: {bottoms}")
            tops = [maps[0]]
        elif layer.type == "Slice":
            edges = [0, *layer.slice_param.slice_point, bottoms[0][1]]
            tops = [(bottoms[0][0], high - low, *bottoms[0][2:]) for low, high in itertools.pairwise(edges)]
        elif layer.type in ("Flatten", "Reshape"):
            tops = [(bottoms[0][0], math.prod(bottoms[0][1:]))]
        elif layer.type not in ("Scale", "ReLU", "Sigmoid", "Dropout", "LRN", "Softmax"):
            raise KeyError(layer.type)
        if blobs:
            found.weights.append((layer.name, layer.type, blobs))
        found.shapes.update(zip(layer.top, tops, strict=True))
    return found


def aligned_sizes(net: Any, sizes: Sequence[int]) -> list[int]:
    """Those of ``sizes`` (px) at which the net's maps meet and its weights keep the shapes they have by default."""
    wanted = survey(net).weights
    good = []
    for size in sizes:
        try:
            if survey(net, size).weights == wanted:
                good.append(size)
        except Misaligned:
            pass
    return good


def settings(layer: Any) -> tuple[Any, ...]:
    """What a layer's parameters come to, defaults filled in; fillers, engines and training's fields left out."""
    kind = layer.type
    if kind in ("Convolution", "ConvolutionDepthwise"):
        p = layer.convolution_param
        sides = (pair(p, "kernel", 0), pair(p, "pad", 0), pair(p, "stride", 1))
        return (p.num_output, *sides, p.group, p.bias_term)
    if kind == "Pooling":
        p = layer.pooling_param
        floor = p.HasField("ceil_mode") and not p.ceil_mode
        return (p.pool, p.global_pooling) if p.global_pooling else (p.pool, p.kernel_size, p.pad, p.stride, floor)
    if kind == "Eltwise":
        return (layer.eltwise_param.operation, tuple(round(c, 6) for c in layer.eltwise_param.coeff))
    if kind == "Scale":
        return (layer.scale_param.axis, layer.scale_param.bias_term)
    if kind == "Slice":
        return (layer.slice_param.axis, tuple(layer.slice_param.slice_point))
    if kind == "LRN":
        p = layer.lrn_param
        return (p.local_size, round(p.alpha, 9), round(p.beta, 6), p.k, p.norm_region)
    if kind == "InnerProduct":
        return (layer.inner_product_param.num_output, layer.inner_product_param.bias_term)
    if kind == "Reshape":
        return tuple(layer.reshape_param.shape.dim)
    plain = {
        "BatchNorm": lambda: round(layer.batch_norm_param.eps, 9),
        "Concat": lambda: layer.concat_param.axis,
        "Dropout": lambda: round(layer.dropout_param.dropout_ratio, 6),
        "Flatten": lambda: layer.flatten_param.axis,
        "Softmax": lambda: layer.softmax_param.axis,
        "ReLU": lambda: layer.relu_param.negative_slope,
    }
    return (plain[kind](),) if kind in plain else ()


def graph_digest(net: Any) -> str:
    """Digest of every layer's name, type, blobs and settings; the order of a plain sum's bottoms does not count."""
    lines = []
    for layer in net.layer:
        if layer.type == "Input":
            continue
        bottoms = list(layer.bottom)
        if layer.type == "Eltwise" and not layer.eltwise_param.coeff:
            bottoms.sort()
        lines.append(repr((layer.name, layer.type, bottoms, list(layer.top), settings(layer))))
    return digest("\n".join(lines))
