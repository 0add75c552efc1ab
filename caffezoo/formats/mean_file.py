"""Mean files: what Caffe's compute_image_mean writes (``.binaryproto``), and the arrays that pycaffe's scripts load."""

from __future__ import annotations

import hashlib
import io
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from caffezoo.errors import FormatError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.signature import identify

MAX_BYTES = 1 << 28
"""Mean files above this many bytes are refused without being read."""

_RAW_DTYPES = {pb.BlobProto.DOUBLE: "<f8", pb.BlobProto.FLOAT: "<f4", pb.BlobProto.FLOAT16: "<f2"}


@dataclass(frozen=True)
class MeanImage:
    """A mean for each channel and pixel.

    Attributes
    ----------
    sha256 : str
        Of the values, by which two are equal.
    path : str
    shape : tuple of int
        (channels, height, width).
    data : bytes
        float32 values in the network's order of channels.
    """

    sha256: str
    path: str
    shape: tuple[int, int, int]
    data: bytes

    @classmethod
    def of(cls, values: NDArray[np.float32], path: str = "") -> MeanImage:
        """Hold an array (channels, height, width)."""
        data = np.ascontiguousarray(values, np.float32).tobytes()
        channels, height, width = values.shape
        digest = hashlib.sha256(f"{channels} {height} {width} ".encode() + data).hexdigest()
        return cls(digest, path, (channels, height, width), data)

    @property
    def values(self) -> NDArray[np.float32]:
        """The mean, float32 (channels, height, width), read-only."""
        return np.frombuffer(self.data, np.float32).reshape(self.shape)

    @property
    def channel_means(self) -> tuple[float, ...]:
        """The mean of each channel, over all pixels."""
        return tuple(float(v) for v in self.values.mean(axis=(1, 2), dtype=np.float64))


def read_mean(path: str | os.PathLike[str]) -> MeanImage | tuple[float, ...]:
    """Read a mean file.

    Parameters
    ----------
    path : path-like
        A ``binaryproto`` (a BlobProto of 1 x C x H x W), or a ``.npy`` array of shape (C,), (C, H, W), (1, C, H, W) or,
        for grey, (H, W). Never a pickle.

    Returns
    -------
    MeanImage or tuple of float
        The tuple where the file holds one value a channel.

    Raises
    ------
    FormatError
        Missing, no such file, damaged, or of another shape; values that are not finite.
    """
    where = os.fspath(path)
    try:
        if os.stat(path).st_size > MAX_BYTES:
            raise FormatError(f"is larger than {MAX_BYTES >> 20} MiB, no mean of images", where=where)
        content = Path(path).read_bytes()
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", where=where) from None
    kind = identify(content)
    values = _of_npy(content, where) if kind == "a NumPy array file" else _of_binaryproto(content, kind, where)
    while values.ndim > 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 2 and values.shape[0] > 4:
        values = values[np.newaxis]
    if values.ndim == 3 and values.shape[0] > 4 and values.shape[2] <= 4:
        raise FormatError(
            f"its shape is {list(values.shape)}, channels last", where=where, hint="`np.save(f, x.transpose(2, 0, 1))`"
        )
    if values.ndim not in (1, 3) or values.shape[0] not in (1, 3):
        raise FormatError(
            f"its shape is {list(values.shape)}, not (C,), (C, H, W) or (1, C, H, W) with one or three channels",
            where=where,
        )
    if not np.isfinite(values).all():
        raise FormatError("holds a value that is not finite", where=where)
    if values.ndim == 1 or values.shape[1:] == (1, 1):
        return tuple(float(v) for v in values.reshape(-1))
    return MeanImage.of(values, where)


def _of_npy(content: bytes, where: str) -> NDArray[np.float32]:
    stream = io.BytesIO(content)
    try:
        read_header = np.lib.format.read_array_header_1_0
        if np.lib.format.read_magic(stream) != (1, 0):
            read_header = np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream, max_header_size=4096)
        if math.prod(shape) * dtype.itemsize > len(content):
            raise ValueError("it is cut off")
        values = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError, SyntaxError, MemoryError) as error:
        raise FormatError(f"no NumPy array that can be read: {error}", where=where) from None
    if values.dtype.kind not in "fiu":
        raise FormatError(f"an array of {values.dtype}, not of numbers", where=where)
    return np.asarray(values, np.float32)


def _of_binaryproto(content: bytes, kind: str | None, where: str) -> NDArray[np.float32]:
    hint = "a mean file is a .binaryproto or a .npy array; numbers are given as 104 117 123"
    if kind is not None and not kind.startswith("a binaryproto"):
        raise FormatError(f"this is no mean file but {kind}", where=where, hint=hint)
    blob = pb.BlobProto()
    try:
        blob.ParseFromString(content)
    except DecodeError:
        raise FormatError("no mean file, or one that is cut off", where=where, hint=hint) from None
    if blob.raw_data:
        if blob.raw_data_type not in _RAW_DTYPES:
            raise FormatError("its values are integers of a fork, which nobody says how to read", where=where)
        values = np.frombuffer(blob.raw_data, _RAW_DTYPES[blob.raw_data_type]).astype(np.float32)
    else:
        values = np.array(blob.data or blob.double_data, np.float32)
    shape = tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width)
    if not values.size or any(d < 1 for d in shape) or math.prod(shape) != values.size:
        said = " x ".join(map(str, shape))
        raise FormatError(f"holds {values.size} values, and says {said}", where=where, hint=hint)
    return values.reshape(shape)
