"""Mean images (``.binaryproto``): one BlobProto, as ``compute_image_mean`` writes it."""

from __future__ import annotations

from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from caffezoo.errors import WeightsFileError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.caffemodel_writer import replacing
from caffezoo.formats.signature import BINARYPROTO_NAME, identify

MAX_BYTES = 1 << 30


def read_binaryproto(path: str | PathLike[str]) -> np.ndarray:
    """Return the blob as float32, in the shape that the file gives.

    Raises
    ------
    WeightsFileError
        The file cannot be read, is something else, or its shape and its values disagree.
    """
    name = fspath(path)
    try:
        if Path(name).stat().st_size > MAX_BYTES:
            raise WeightsFileError(f"more than {MAX_BYTES} bytes: this is no mean image", where=name)
        data = Path(name).read_bytes()
    except OSError as error:
        raise WeightsFileError(f"cannot read the mean image: {error.strerror or error}", where=name) from None
    foreign = identify(data)
    if foreign not in (None, BINARYPROTO_NAME):
        raise WeightsFileError(f"this is no mean image but {foreign}", where=name)
    blob = pb.BlobProto()
    try:
        blob.ParseFromString(data)
    except DecodeError:
        raise WeightsFileError("this is no mean image (BlobProto), or a truncated one", where=name) from None
    shape = tuple(blob.shape.dim) or (blob.num, blob.channels, blob.height, blob.width)
    values = np.array(blob.data or blob.double_data, np.float32)
    wanted = 1
    for dim in shape:
        wanted *= dim
    if wanted != values.size or not values.size:
        raise WeightsFileError(f"shape {list(shape)} and {values.size} values disagree", where=name)
    return values.reshape(shape)


def write_binaryproto(path: str | PathLike[str], blob: np.ndarray[Any, Any]) -> None:
    """Write a mean image (C, H, W) in the form that Caffe's tools write: num 1, channels, height, width.

    Raises
    ------
    WeightsFileError
        It cannot be written.
    """
    channels, height, width = blob.shape
    message = pb.BlobProto(num=1, channels=channels, height=height, width=width)
    message.data.extend(np.asarray(blob, np.float32).reshape(-1).tolist())
    with replacing(fspath(path)) as temporary:
        temporary.write_bytes(message.SerializeToString())
