"""``caffe.io``: images, what a network makes of them, and messages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.datum_pb2 import Datum

ANTI_ALIASING = True
"""Whether :func:`resize_image` smooths before it makes an image smaller, as the resize of today's scikit-image does,
which real pycaffe calls. Those of Caffe's own time did not: set it to False for their answers."""


def load_image(filename: Any, color: bool = True) -> np.ndarray:
    """Read an image as float32 in 0..1, (height, width, 3) in the order red, green, blue, or (height, width, 1).

    Raises
    ------
    FileNotFoundError, ValueError
    """
    from pathlib import Path

    import cv2

    content = np.frombuffer(Path(filename).read_bytes(), np.uint8)
    pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    if pixels is None:
        raise ValueError(f"{filename} is no image")
    scale = np.float32(np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 1)
    image = pixels.astype(np.float32) / scale
    if image.ndim == 3:
        image = image[:, :, :3][:, :, ::-1]
        if not color:
            image = image @ np.array([0.2125, 0.7154, 0.0721], np.float32)  # scikit-image's weights of luminance
    if image.ndim == 2:
        image = image[:, :, np.newaxis]
        if color:
            image = np.tile(image, (1, 1, 3))
    return np.ascontiguousarray(image, np.float32)


def resize_image(im: np.ndarray, new_dims: Sequence[int], interp_order: int = 1) -> np.ndarray:
    """Resize an image.

    Parameters
    ----------
    im : array (height, width, channels)
        Of any range of values.
    new_dims : (height, width)
    interp_order : int
        1 is linear, 0 the nearest pixel.

    Returns
    -------
    float32 array
        Of pixel centres, with nothing (the smallest value) beyond the border: scikit-image's ``resize`` in mode
        ``constant``.
    """
    if interp_order not in (0, 1):
        raise NotImplementedError(f"caffezoo.pycaffe: resize_image of order {interp_order}; 0 and 1 are here")
    im = np.asarray(im, np.float64)
    height, width = int(new_dims[0]), int(new_dims[1])
    low, high = float(im.min()), float(im.max())
    if high <= low:
        return np.full((height, width, im.shape[-1]), low, np.float32)
    values = (im - low) / (high - low)
    for axis, size in ((0, height), (1, width)):
        values = _along(values, axis, size, interp_order)
    return (np.clip(values, 0, 1) * (high - low) + low).astype(np.float32)


def _along(values: np.ndarray, axis: int, size: int, order: int) -> np.ndarray:
    """Resize one axis of values within 0..1; beyond the border is 0."""
    own = values.shape[axis]
    if own == size:
        return values
    factor = own / size
    lines = np.moveaxis(values, axis, 0)
    if ANTI_ALIASING and order and factor > 1:
        sigma = (factor - 1) / 2
        radius = int(4 * sigma + 0.5)
        kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2) if radius else np.ones(1)
        kernel /= kernel.sum()
        padded = np.zeros((own + 2 * radius, *lines.shape[1:]))
        padded[radius : radius + own] = lines
        lines = sum(weight * padded[i : i + own] for i, weight in enumerate(kernel))
    places = (np.arange(size) + 0.5) * factor - 0.5
    if not order:
        nearest = np.clip(np.rint(places).astype(int), 0, own - 1)
        return np.moveaxis(lines[nearest], 0, axis)
    left = np.floor(places).astype(int)
    share = (places - left).reshape(-1, *[1] * (lines.ndim - 1))
    framed = np.zeros((own + 2, *lines.shape[1:]))
    framed[1:-1] = lines
    found = framed[np.clip(left + 1, 0, own + 1)] * (1 - share) + framed[np.clip(left + 2, 0, own + 1)] * share
    return np.moveaxis(found, 0, axis)


def oversample(images: Sequence[np.ndarray], crop_dims: Sequence[int]) -> np.ndarray:
    """Return ten crops of each image: the corners and the centre, then the same mirrored.

    Parameters
    ----------
    images : sequence of array (height, width, channels)
        All of one size.
    crop_dims : (height, width)
    """
    shape = np.array(images[0].shape)
    size = np.array([int(d) for d in crop_dims])
    corners = [(y, x) for y in (0, shape[0] - size[0]) for x in (0, shape[1] - size[1])]
    centre = shape[:2] / 2.0
    middle = tuple(int(c) for c in centre - size / 2.0)
    crops = np.empty((10 * len(images), *size, shape[-1]), np.float32)
    at = 0
    for image in images:
        for y, x in (*corners, middle):
            crops[at] = image[y : y + size[0], x : x + size[1]]
            crops[at + 5] = crops[at][:, ::-1]
            at += 1
        at += 5
    return crops


class Transformer:
    """What becomes of an image before it is an input: resize, transpose, swap channels, scale, subtract, scale.

    Parameters
    ----------
    inputs : mapping of str to shape
        Shapes of the net's inputs, (batch, channels, height, width).
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = {name: tuple(shape) for name, shape in inputs.items()}
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, np.ndarray] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """Return the input of an image (height, width, channels)."""
        self._check(in_)
        image = np.asarray(data).astype(np.float32, copy=False)
        size = self.inputs[in_][2:]
        if image.shape[:2] != size:
            image = resize_image(image, size)
        if self.transpose.get(in_) is not None:
            image = image.transpose(self.transpose[in_])
        if self.channel_swap.get(in_) is not None:
            image = image[self.channel_swap[in_], :, :]
        if self.raw_scale.get(in_) is not None:
            image = image * np.float32(self.raw_scale[in_])
        if self.mean.get(in_) is not None:
            image = image - self.mean[in_]
        if self.input_scale.get(in_) is not None:
            image = image * np.float32(self.input_scale[in_])
        return image

    def deprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """Return the image of an input: everything undone but the resize."""
        self._check(in_)
        image = np.asarray(data).copy().squeeze()
        if self.input_scale.get(in_) is not None:
            image = image / self.input_scale[in_]
        if self.mean.get(in_) is not None:
            image = image + self.mean[in_]
        if self.raw_scale.get(in_) is not None:
            image = image / self.raw_scale[in_]
        if self.channel_swap.get(in_) is not None:
            image = image[np.argsort(self.channel_swap[in_]), :, :]
        if self.transpose.get(in_) is not None:
            image = image.transpose(np.argsort(self.transpose[in_]))
        return image

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of axes: (2, 0, 1) for images of height, width, channels."""
        self._check(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise ValueError("the order of axes has to be of as many as the input, without the batch")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of channels: (2, 1, 0) from red, green, blue to blue, green, red."""
        self._check(in_)
        if len(order) != self.inputs[in_][1]:
            raise ValueError("the order of channels has to be of as many as the input has")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Set what is multiplied by before the mean: 255 for images in 0..1."""
        self._check(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: np.ndarray) -> None:
        """Set the mean: one value a channel, or one a pixel; of another size it is resized."""
        self._check(in_)
        mean = np.asarray(mean)
        own = self.inputs[in_][1:]
        if mean.ndim == 1:
            if len(mean) != own[0]:
                raise ValueError("the mean has not as many values as the input has channels")
            mean = mean[:, np.newaxis, np.newaxis]
        else:
            shape = mean.shape if mean.ndim == 3 else (1, *mean.shape)
            if len(shape) != 3:
                raise ValueError(f"a mean of shape {mean.shape} is neither one value a channel nor one a pixel")
            mean = mean.reshape(shape)
            if shape != own:
                mean = resize_image(mean.transpose(1, 2, 0), own[1:]).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Set what is multiplied by after the mean."""
        self._check(in_)
        self.input_scale[in_] = scale

    def _check(self, in_: str) -> None:
        if in_ not in self.inputs:
            raise ValueError(f"'{in_}' is no input of the transformer; inputs are {sorted(self.inputs)}")


def blobproto_to_array(blob: pb.BlobProto, return_diff: bool = False) -> np.ndarray:
    """Return the values of a message, or its gradients, in its shape."""
    values = blob.diff if return_diff else blob.data
    array = np.array(values, np.float64 if not len(values) else None)
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return array.reshape(blob.num, blob.channels, blob.height, blob.width)
    return array.reshape(tuple(blob.shape.dim))


def array_to_blobproto(arr: np.ndarray, diff: np.ndarray | None = None) -> pb.BlobProto:
    """Return a message of values, and of gradients where given."""
    blob = pb.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(np.asarray(arr).astype(float).flat)
    if diff is not None:
        blob.diff.extend(np.asarray(diff).astype(float).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist: Sequence[np.ndarray]) -> bytes:
    """Return a list of arrays as the bytes of one message."""
    vector = pb.BlobProtoVector()
    vector.blobs.extend(array_to_blobproto(array) for array in arraylist)
    return vector.SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[np.ndarray]:
    """Return the arrays of :func:`arraylist_to_blobprotovector_str`."""
    vector = pb.BlobProtoVector()
    vector.ParseFromString(str)
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: np.ndarray, label: int | None = None) -> Datum:
    """Return the record of an image (channels, height, width), uint8 or of floats."""
    arr = np.asarray(arr)
    if arr.ndim != 3:
        raise ValueError(f"a record holds an array of three axes, this has {arr.ndim}")
    datum = Datum(channels=arr.shape[0], height=arr.shape[1], width=arr.shape[2])
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).flat)
    if label is not None:
        datum.label = int(label)
    return datum


def datum_to_array(datum: Datum) -> np.ndarray:
    """Return the image of a record, (channels, height, width)."""
    shape = (datum.channels, datum.height, datum.width)
    if len(datum.data):
        if len(datum.data) != math.prod(shape):
            raise ValueError(f"the record holds {len(datum.data)} bytes, its shape is {shape}")
        return np.frombuffer(datum.data, np.uint8).reshape(shape)
    return np.array(datum.float_data, np.float64).reshape(shape)
