"""Shapes that the caller gives: the flags for them, and sources of data that are not known here as inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.prototxt import Prototxt

if TYPE_CHECKING:
    from caffezoo.net.layer import Shape


def with_given_inputs(
    prototxt: Prototxt, shapes: Mapping[str, Shape], known: Callable[[pb.LayerParameter], bool]
) -> Prototxt:
    """Return a prototxt with Input layers for the unknown layers that read nothing and whose tops are given.

    Parameters
    ----------
    prototxt : Prototxt
    shapes : mapping of str to shape
        By blob; those of other layers' tops do not matter here.
    known : callable
        Whether a layer's type has a class, which makes as many tops.
    """

    def given(layer: pb.LayerParameter) -> bool:
        source = bool(layer.top) and not layer.bottom and not known(layer)
        return source and all(top in shapes for top in layer.top)

    if not any(map(given, prototxt.net.layer)):
        return prototxt
    net = pb.NetParameter()
    net.CopyFrom(prototxt.net)
    for layer in net.layer:
        if given(layer):
            param = pb.InputParameter(shape=[pb.BlobShape(dim=shapes[top]) for top in layer.top])
            layer.CopyFrom(pb.LayerParameter(name=layer.name, type="Input", top=layer.top, input_param=param))
    return replace(prototxt, net=net)


def shape_flags(blobs: Sequence[str]) -> str:
    """Return the flags that give the tops of a source of images a shape: what a message advises."""
    shapes = ("1,3,224,224", *["1"] * len(blobs))
    return " ".join(f"--shape {blob}={shape}" for blob, shape in zip(blobs, shapes, strict=False))
