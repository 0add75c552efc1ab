"""Sources of data that are no layer type here: inputs, where the caller gives all their tops a shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.prototxt import Prototxt
from caffezoo.net.layer import Shape, layer_class


def with_given_inputs(prototxt: Prototxt, shapes: Mapping[str, Shape]) -> Prototxt:
    """Return a prototxt with Input layers for the layers of unknown types that read nothing and whose tops are given.

    Parameters
    ----------
    prototxt : Prototxt
    shapes : mapping of str to shape
        By blob; those of other layers' tops do not matter here.
    """

    def given(layer: pb.LayerParameter) -> bool:
        source = bool(layer.top) and not layer.bottom and layer_class(layer.type) is None
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
