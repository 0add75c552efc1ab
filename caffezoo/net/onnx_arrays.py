"""Large constants of an ONNX model kept beside it, not in it: to run or write weights of a gigabyte copies none.

A model whose constants are apart names them as external data, and a mapping holds the arrays by name.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.errors import LoweringError
from caffezoo.formats.wire import walk_fields

if TYPE_CHECKING:
    import onnx

Arrays = Mapping[str, np.ndarray]

LARGE_BYTES = 1 << 14
"""Constants from this size on are kept apart; smaller ones (shapes, axes) runtimes want to see while they read."""

MAX_MODEL_BYTES = (1 << 31) - 1
"""What protobuf reads as one message."""

# Field numbers and wire types of onnx.proto: ModelProto.graph, GraphProto.initializer, TensorProto.raw_data.
_GRAPH, _INITIALIZER, _RAW_DATA, _LENGTH_DELIMITED = 7, 5, 9, 2
_CHUNK = 1 << 22


def placeholder(name: str, value: np.ndarray) -> onnx.TensorProto:
    """Return what stands in the model for an array that is kept apart."""
    import onnx

    kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
    tensor = onnx.TensorProto(name=name, data_type=kind, dims=value.shape, data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="apart")
    return tensor


def with_arrays_as_inputs(model: onnx.ModelProto, arrays: Arrays) -> onnx.ModelProto:
    """Return a model that takes its large constants as further inputs: whole without any array."""
    import onnx

    found = onnx.ModelProto()
    found.CopyFrom(model)
    del found.graph.initializer[:]
    for tensor in model.graph.initializer:
        if tensor.name in arrays:
            found.graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            )
        else:
            found.graph.initializer.append(tensor)
    return found


def check_model(model: onnx.ModelProto, arrays: Arrays) -> None:
    """Run onnx's checker, shapes and types included, without the arrays.

    Raises
    ------
    Exception
        Of onnx: ``ValidationError`` or ``InferenceError``.
    """
    import onnx

    onnx.checker.check_model(with_arrays_as_inputs(model, arrays), full_check=True)


def serialised(model: onnx.ModelProto) -> bytes:
    """Return a model as bytes.

    Raises
    ------
    LoweringError
        It would be larger than a protobuf message may be.
    """
    from google.protobuf.message import EncodeError

    try:
        return bytes(model.SerializeToString())
    except (EncodeError, ValueError) as error:
        raise LoweringError(
            f"the model of {len(model.graph.node):,} operators is larger than one message of protobuf can be (2 GiB)",
            hint="a smaller batch or input, or fewer steps of a recurrent layer",
        ) from error


def write_model(model: onnx.ModelProto, arrays: Arrays, path: Path) -> None:
    """Write a model as one file, the arrays straight from memory.

    Raises
    ------
    LoweringError
        It would be larger than a protobuf message may be.
    """
    import onnx

    rest, graph = onnx.ModelProto(), onnx.GraphProto()
    rest.CopyFrom(model)
    graph.CopyFrom(model.graph)
    rest.ClearField("graph")
    del graph.initializer[:]
    tensors = []
    for tensor in model.graph.initializer:
        if tensor.name not in arrays:
            graph.initializer.append(tensor)
            continue
        head = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        array = arrays[tensor.name]
        raw = _tag(_RAW_DATA) + _varint(array.nbytes)
        start = head.SerializeToString() + raw
        tensors.append((_tag(_INITIALIZER) + _varint(len(start) + array.nbytes) + start, array))
    small = graph.SerializeToString()
    size = len(small) + sum(len(start) + array.nbytes for start, array in tensors)
    if size > MAX_MODEL_BYTES:
        raise LoweringError(f"an ONNX model of {size:,} bytes is more than one file of ONNX can hold (2 GiB)")
    with path.open("wb") as file:
        file.write(rest.SerializeToString() + _tag(_GRAPH) + _varint(size) + small)
        for start, array in tensors:
            file.write(start)
            little = array if np.little_endian else array.byteswap()
            file.write(np.ascontiguousarray(little).reshape(-1).view(np.uint8).data)


def read_model(path: Path) -> tuple[onnx.ModelProto, dict[str, tuple[int, int]]]:
    """Read a model without its large constants.

    Returns
    -------
    model : onnx.ModelProto
        As ``to_onnx`` makes it with ``arrays``.
    spans : dict of str to (int, int)
        Where the values of every large constant begin and end in the file, in bytes.

    Raises
    ------
    WireError
        The file is no protobuf message.
    """
    import onnx

    model, spans = onnx.ModelProto(), {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        size = len(buffer)
        for field in walk_fields(buffer, 0, size, size):
            if field.number != _GRAPH:
                model.MergeFromString(buffer[field.tag_at : field.end])
                continue
            for part in walk_fields(buffer, field.start, field.end, size):
                if part.number != _INITIALIZER or part.end - part.start < LARGE_BYTES:
                    model.graph.MergeFromString(buffer[part.tag_at : part.end])
                    continue
                tensor, values = onnx.TensorProto(), None
                for entry in walk_fields(buffer, part.start, part.end, size):
                    if entry.number == _RAW_DATA and entry.end - entry.start >= LARGE_BYTES:
                        values = (entry.start, entry.end)
                    else:
                        tensor.MergeFromString(buffer[entry.tag_at : entry.end])
                if values is not None:
                    spans[tensor.name] = values
                model.graph.initializer.append(tensor)
    return model, spans


def holds(path: Path, spans: Mapping[str, tuple[int, int]], arrays: Arrays) -> bool:
    """Whether a file holds just these arrays, byte for byte."""
    if spans.keys() != arrays.keys():
        return False
    with path.open("rb") as file:
        for name, (start, end) in spans.items():
            values = np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8).data
            if end - start != len(values):
                return False
            file.seek(start)
            for at in range(0, len(values), _CHUNK):
                if file.read(len(values[at : at + _CHUNK])) != values[at : at + _CHUNK]:
                    return False
    return True


def _tag(number: int) -> bytes:
    return _varint(number << 3 | _LENGTH_DELIMITED)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
