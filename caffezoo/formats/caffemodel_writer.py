"""Binary weights files written one blob at a time, so that writing costs no memory beyond the largest blob."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caffezoo.errors import WeightsFileError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.layer_keys import layer_keys
from caffezoo.formats.scalars import is_repeated
from caffezoo.formats.wire import DELIMITED, encode_tag, encode_varint

MAX_CAFFEMODEL_BYTES = (1 << 31) - 1
"""Largest message that protobuf, and so Caffe, can read."""

_LAYER_TAG = encode_tag(100, DELIMITED)
_BLOBS = 7
_DATA_TAG = encode_tag(5, DELIMITED)


def write_caffemodel(
    path: str | PathLike[str], net: pb.NetParameter, weights: Mapping[str, Sequence[npt.NDArray[Any]]]
) -> None:
    """Write `net` with `weights` as a caffemodel that BVLC Caffe reads.

    Parameters
    ----------
    path : path
        Replaced whole at the end: a reader sees the old file or the new one.
    net : NetParameter
        Upgraded; its layers' own blobs are written where `weights` has none for them.
    weights : mapping of str to sequence of ndarray
        Blobs by layer name (:func:`~caffezoo.formats.layer_keys.layer_keys`), of any real dtype; written as packed
        float32.

    Raises
    ------
    WeightsFileError
        The file would pass 2 GB, `weights` names a layer that the net has not, two layers of one name have blobs of
        their own, or the file cannot be written.
    """
    name = fspath(path)
    keys = layer_keys(layer.name for layer in net.layer)
    unknown = set(weights) - set(keys)
    if unknown:
        raise WeightsFileError(f"weights for layer '{min(unknown)}', which the net does not have", where=name)
    head = pb.NetParameter()
    head.CopyFrom(net)
    del head.layer[:]
    layers = []
    for layer, key in zip(net.layer, keys, strict=True):
        if key != layer.name and (weights.get(layer.name) or weights.get(key)):
            _check_twin(layer.name, weights.get(layer.name, ()), weights.get(key, ()), name)
            continue  # Caffe copies every entry of a name to the first layer that has it
        layers.append(_plan_layer(layer, weights.get(key)))
    total = head.ByteSize() + sum(len(start) + size for start, size, _ in layers)
    if total > MAX_CAFFEMODEL_BYTES:
        raise WeightsFileError(
            f"the caffemodel would have {total} bytes, and protobuf reads no message above {MAX_CAFFEMODEL_BYTES}",
            where=name,
            hint="write HDF5 weights instead (.caffemodel.h5)",
        )
    with replacing(name) as temporary, temporary.open("wb") as file:
        file.write(head.SerializeToString())
        for start, _, blobs in layers:
            file.write(start)
            for array in blobs:
                prefix, _ = plan_blob(array)
                file.write(prefix)
                file.write(np.ascontiguousarray(array, "<f4").data)


def _check_twin(name: str, first: Sequence[npt.NDArray[Any]], blobs: Sequence[npt.NDArray[Any]], where: str) -> None:
    """Raise where a layer has the name of an earlier one and blobs that are not that one's, shared."""
    if blobs and not (len(first) == len(blobs) and all(map(np.array_equal, first, blobs))):
        message = f"two layers are named '{name}' and have blobs of their own, which a caffemodel cannot keep apart"
        raise WeightsFileError(message, where=where, hint="rename one")


def _plan_layer(
    layer: pb.LayerParameter, blobs: Sequence[npt.NDArray[Any]] | None
) -> tuple[bytes, int, Sequence[npt.NDArray[Any]]]:
    """Return the layer's bytes up to its blobs, the size of the blobs in bytes, and the blobs."""
    small = pb.LayerParameter()
    if blobs is None:
        small.CopyFrom(layer)
        blobs = ()
    else:
        for field, value in layer.ListFields():
            if field.name == "blobs":
                continue
            if is_repeated(field):
                getattr(small, field.name).extend(value)
            elif field.message_type is not None:
                getattr(small, field.name).CopyFrom(value)
            else:
                setattr(small, field.name, value)
    size = sum(len(prefix) + count for prefix, count in map(plan_blob, blobs))
    body = small.SerializeToString()
    return _LAYER_TAG + encode_varint(len(body) + size) + body, size, blobs


def plan_blob(array: npt.NDArray[Any], number: int = _BLOBS) -> tuple[bytes, int]:
    """Return all bytes of a blob, a message's field ``number``, before its values, and the values' size in bytes."""
    data_bytes = 4 * array.size
    shape = pb.BlobProto(shape=pb.BlobShape(dim=array.shape)).SerializeToString()
    body = shape + _DATA_TAG + encode_varint(data_bytes)
    return encode_tag(number, DELIMITED) + encode_varint(len(body) + data_bytes) + body, data_bytes


def made_folder(folder: Path) -> None:
    """Make a folder, and those above it, where it is not there yet.

    Raises
    ------
    WeightsFileError
        It cannot be made: a file has its name, there is no room, or no right.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WeightsFileError(f"cannot be made: {error.strerror or error}", where=str(folder)) from None


@contextmanager
def replacing(path: str) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there when the block ends well, remove it when it does not.

    Raises
    ------
    WeightsFileError
        The file cannot be written.
    """
    temporary = Path(f"{path}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise WeightsFileError(f"cannot write the weights: {error.strerror or error}", where=path) from None
    finally:
        with suppress(OSError):
            temporary.unlink()
