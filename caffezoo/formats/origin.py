"""What a caffemodel betrays of the program that wrote it, and of what was done to its batch norms.

Caffe's ``Net::Init`` gives every layer the net's phase and inserts Split layers where a blob is read twice, and
``Net::ToProto`` writes all of that; converters write neither. ``layers`` (V1) and blobs with num, channels, height and
width are the forms before ``layer`` and ``shape``.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Sequence
from itertools import islice

import numpy as np
from google.protobuf.message import DecodeError

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.blobs import LayerBlobs
from caffezoo.formats.wire import DELIMITED, WireError, walk_fields

_NET_V1_LAYER, _NET_LAYER = 2, 100
_LAYER_BLOBS = 7
MAX_LAYER_BYTES = 1 << 20
MAX_FIELDS = 10_000
_IDENTITY = 1e-3
_NO_PARAMETERS = {"name", "type", "blobs", "bottom", "top"}


def written_by(path: str, layers: Sequence[LayerBlobs]) -> list[tuple[str, str]]:
    """Return what a readable caffemodel's form says, as (label, text).

    Parameters
    ----------
    path : str
    layers : sequence of LayerBlobs
        As :func:`caffezoo.formats.caffemodel.read_weights` gives them.
    """
    protos, v1 = _layer_protos(path)
    facts = [("layers", "of the old form (V1 or V0: `layers`)" if v1 else "of the present form (`layer`)")]
    blobs = [blob for layer in layers for blob in layer.blobs]
    if blobs:
        legacy = sum(blob.legacy for blob in blobs)
        form = "num, channels, height, width" if legacy == len(blobs) else "shape"
        facts.append(
            ("blobs", f"by {form}" if legacy in (0, len(blobs)) else "partly by shape, partly by four numbers")
        )
    if not v1 and protos:
        facts.append(("producer", _producer(protos)))
    return facts


def _producer(protos: Sequence[pb.LayerParameter]) -> str:
    phases = Counter(pb.Phase.Name(proto.phase) for proto in protos if proto.HasField("phase"))
    splits = sum(proto.type == "Split" for proto in protos)
    sources = [proto.name for proto in protos if proto.type.endswith("Data") and proto.type != "DummyData"]
    if sum(phases.values()) == len(protos):
        phase = "TRAIN" if phases["TRAIN"] else "TEST"
        kind = "a training's snapshot" if sources and phase == "TRAIN" else f"a net saved in phase {phase}"
        return f"Caffe itself, {kind}: every layer has its phase" + (
            f", {splits} inserted Split layers" if splits else ""
        )
    bare = all({field.name for field, _ in proto.ListFields()} <= _NO_PARAMETERS for proto in protos)
    if bare:
        return "a converter or a script: layers have no parameters, so Caffe has not written them"
    return "another program than Caffe: layers have parameters and no phase"


def _layer_protos(path: str) -> tuple[list[pb.LayerParameter], bool]:
    """Return the layers without their blobs, and whether they are of the old form (then none)."""
    protos = []
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
            for outer in walk_fields(buffer, 0, len(buffer), len(buffer)):
                if outer.number == _NET_V1_LAYER and outer.wire == DELIMITED:
                    return [], True
                if outer.number != _NET_LAYER or outer.wire != DELIMITED:
                    continue
                inner = islice(walk_fields(buffer, outer.start, outer.end, len(buffer)), MAX_FIELDS)
                spans = [(f.tag_at, f.end) for f in inner if f.number != _LAYER_BLOBS]
                if sum(end - start for start, end in spans) <= MAX_LAYER_BYTES:
                    proto = pb.LayerParameter()
                    proto.ParseFromString(b"".join(buffer[start:end] for start, end in spans))
                    protos.append(proto)
    except (WireError, DecodeError, OSError, ValueError):
        return [], False
    return protos, False


def batch_norms(layers: Sequence[LayerBlobs]) -> str:
    """Say what the batch norms of a weights file hold, and whether they look merged into other layers."""
    norms = [layer for layer in layers if layer.type == "BatchNorm" or (not layer.type and _looks_like_one(layer))]
    if not norms:
        return "none in the file: if the network ever had any, they are merged"
    with_values = [layer for layer in norms if len(layer.blobs) == 3]
    identities = [layer for layer in with_values if _is_identity(layer)]
    if with_values and all(not np.any(blob.data) for layer in with_values for blob in layer.blobs):
        return f"{len(norms)}, all zero: never trained"
    if not with_values:
        return f"{len(norms)}, all without statistics: they look merged"
    if len(identities) == len(with_values):
        return f"{len(norms)}, all with mean 0 and variance 1: they look merged"
    empty = len(norms) - len(with_values)
    said = [f"{len(norms)} with statistics" if not empty else f"{len(with_values)} with statistics, {empty} without"]
    if identities:
        names = ", ".join(f"'{layer.name}'" for layer in identities[:3])
        said.append(f"{len(identities)} of them with mean 0 and variance 1, as if merged ({names})")
    return "; ".join(said) + ("" if identities else ": not merged")


def _looks_like_one(layer: LayerBlobs) -> bool:
    """Three blobs of which two are alike vectors and the last is one value: an HDF5 file has no layer types."""
    shapes = [blob.data.size for blob in layer.blobs]
    return len(shapes) == 3 and shapes[0] == shapes[1] and shapes[2] == 1


def _is_identity(layer: LayerBlobs) -> bool:
    mean, variance, factor = (np.asarray(blob.data, np.float64).reshape(-1) for blob in layer.blobs)
    scale = float(factor[0]) if factor.size == 1 and factor[0] else 1.0
    if mean.size == 0 or variance.size == 0:
        return False
    return bool(np.abs(mean / scale).max() < _IDENTITY and np.abs(variance / scale - 1).max() < _IDENTITY)
