"""What a data layer says of preprocessing: the ``transform_param`` of a train_val file, as Caffe applies it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.image_size import Size

TRANSFORMING = ("Data", "ImageData", "WindowData", "MemoryData", "AnnotatedData", "VideoData")
"""Types whose images go through Caffe's DataTransformer."""


@dataclass(frozen=True)
class DataLayer:
    """The transformation of a data layer.

    Attributes
    ----------
    name : str
    line : int
        In the prototxt; 0 where not known.
    mean : tuple of float
        ``mean_value``: none, one for all channels, or one each.
    mean_file : str
        Path as it stands in the prototxt; empty where there is none.
    scale : float
        Multiplies after the mean.
    base_size : Size or None
        ImageData's ``new_height`` x ``new_width``, which do not keep the aspect.
    """

    name: str
    line: int
    mean: tuple[float, ...]
    mean_file: str
    scale: float
    base_size: Size | None


def data_layer(net: pb.NetParameter, lines: Iterable[int] = ()) -> DataLayer | None:
    """Return what the first data layer of a net says, or None where it has no such layer.

    Parameters
    ----------
    net : NetParameter
        Of one phase, upgraded.
    lines : iterable of int, optional
        Of each layer.
    """
    at = [*lines, *[0] * len(net.layer)]
    for layer, line in zip(net.layer, at, strict=False):
        if layer.type not in TRANSFORMING:
            continue
        param, image = layer.transform_param, layer.image_data_param
        base = None
        if layer.type == "ImageData" and image.new_height and image.new_width:
            base = Size(int(image.new_height), int(image.new_width))
        means = tuple(float(v) for v in param.mean_value)
        return DataLayer(layer.name, line, means, param.mean_file, float(param.scale), base)
    return None
