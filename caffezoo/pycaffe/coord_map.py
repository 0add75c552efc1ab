"""How coordinates of one blob map to another's, so that a crop aligns them.

A map is (axis, scale, offset), along the axes from ``axis`` on. Of a convolution or pooling with stride s, dilated
kernel k and pad p it is (1 / s, (p - (k - 1) / 2) / s), of a deconvolution the inverse; a crop shifts by its offsets;
layers that keep shapes are the identity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from caffezoo.pycaffe.net_spec import Top
from caffezoo.pycaffe.net_spec import layers as L

Map = tuple[Any, Any, Any]

PASS_THROUGH_LAYERS = [
    "AbsVal", "BatchNorm", "Bias", "BNLL", "Dropout", "Eltwise", "ELU", "Log", "LRN", "Exp", "MVN", "Power", "PReLU",
    "ReLU", "Scale", "Sigmoid", "Split", "TanH", "Threshold",
]  # fmt: skip


class UndefinedMapException(Exception):
    """A layer whose coordinates do not map."""


class AxisMismatchException(Exception):
    """Maps along other axes."""


def conv_params(fn: Any) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """Return axis, stride, dilated kernel size and pad of a convolution or pooling."""
    own = fn.params.get("convolution_param", fn.params)
    axis = own.get("axis", 1)
    kernel = np.array(own["kernel_size"], ndmin=1)
    dilation = np.array(own.get("dilation", 1), ndmin=1)
    unknown = {"pad_h", "pad_w", "kernel_h", "kernel_w", "stride_h", "stride_w"} & set(fn.params)
    assert not unknown, "height and width apart are not supported here; give kernel_size, stride and pad as lists"
    return (
        axis,
        np.array(own.get("stride", 1), ndmin=1),
        (kernel - 1) * dilation + 1,
        np.array(own.get("pad", 0), ndmin=1),
    )


def crop_params(fn: Any) -> tuple[int, np.ndarray]:
    """Return axis and offsets of a crop."""
    own = fn.params.get("crop_param", fn.params)
    return own.get("axis", 2), np.array(own.get("offset", 0), ndmin=1)


def coord_map(fn: Any) -> Map:
    """Return the map of one layer.

    Raises
    ------
    UndefinedMapException
        The layer has none.
    """
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, kernel, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (kernel - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, kernel, pad = conv_params(fn)
        return axis, stride, (kernel - 1) / 2 - pad
    if fn.type_name in PASS_THROUGH_LAYERS:
        return None, 1, 0
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    raise UndefinedMapException(fn.type_name)


def compose(base: Map, following: Map) -> Map:
    """Return the map of one map after another."""
    axis_1, a_1, b_1 = base
    axis_2, a_2, b_2 = following
    if axis_1 is None:
        axis = axis_2
    elif axis_2 is None or axis_1 == axis_2:
        axis = axis_1
    else:
        raise AxisMismatchException(f"axis {axis_1} and axis {axis_2}")
    return axis, a_1 * a_2, a_1 * b_2 + b_1


def inverse(map_: Map) -> Map:
    """Return the map back."""
    axis, a, b = map_
    return axis, 1 / a, -b / a


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """Return the map between two tops that have a common ancestor.

    Raises
    ------
    RuntimeError
        They have none.
    """

    def behind(top: Top) -> list[Top]:
        inputs = top.fn.inputs
        return list(inputs[:1] if top.fn.type_name == "Crop" else inputs)

    there: dict[Any, Map] = {top_from: (None, 1, 0)}
    frontier = {top_from}
    while frontier:
        top = frontier.pop()
        try:
            for bottom in behind(top):
                there[bottom] = compose(there[top], coord_map(top.fn))
                frontier.add(bottom)
        except UndefinedMapException:
            pass
    back: dict[Any, Map] = {top_to: (None, 1, 0)}
    frontier = {top_to}
    while frontier:
        top = frontier.pop()
        if top in there:
            return compose(back[top], inverse(there[top]))
        try:
            for bottom in behind(top):
                back[bottom] = compose(back[top], coord_map(top.fn))
                frontier.add(bottom)
        except UndefinedMapException:
            continue
    raise RuntimeError("the two tops have no layer in common from which both coordinates map")


def crop(top_from: Top, top_to: Top) -> Top:
    """Return a Crop layer that aligns one top with another.

    Raises
    ------
    AssertionError
        Their scales differ, or the offset is negative or no whole number.
    """
    axis, a, b = coord_map_from_to(top_from, top_to)
    assert (a == 1).all() if isinstance(a, np.ndarray) else a == 1, f"scale mismatch on crop (a = {a})"
    shift = np.array(b, ndmin=1)
    assert (shift <= 0).all(), f"cannot crop negative offset (b = {b})"
    assert (np.round(shift) == shift).all(), f"cannot crop noninteger offset (b = {b})"
    function: Callable[..., Any] = L.Crop
    found: Top = function(top_from, top_to, crop_param={"axis": axis + 1, "offset": [int(-x) for x in np.round(shift)]})
    return found
