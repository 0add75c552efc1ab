"""A layer at its place in a network: wired, with every shape known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from caffezoo.errors import BindingError, ShapeError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import BlobId, Layer, Shape
from caffezoo.net.layer_weights import Held

Weights = Mapping[str, Sequence[Held]]
"""Blobs by :attr:`Node.key`, in Caffe's order."""

MAX_BLOB_VALUES = 2**31 - 1
"""Caffe counts a blob's values in an int (``Blob::Reshape``)."""

BlobPlace = tuple[str, int]
"""A node's key and the index of one of its blobs."""


@dataclass(frozen=True)
class Node:
    """A layer at its place in the network, with the versions and shapes of its blobs.

    Attributes
    ----------
    key : str
        The layer's name, or, where an earlier layer has it, ``name#2`` and so on: what weights are kept by.
    """

    layer: Layer
    bottoms: tuple[BlobId, ...]
    tops: tuple[BlobId, ...]
    bottom_shapes: tuple[Shape, ...]
    top_shapes: tuple[Shape, ...]
    blob_shapes: tuple[Shape, ...]
    key: str = ""

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def named_tops(self) -> tuple[BlobId, ...]:
        """The tops that the prototxt names: a loss may have one more that nobody can read."""
        return tuple(top for top in self.tops if top.name)

    @property
    def macs(self) -> int:
        return self.layer.macs(self.bottom_shapes, self.top_shapes)

    @property
    def parameter_count(self) -> int:
        return self.layer.parameter_count(self.bottom_shapes)

    def check_blobs(self, blobs: Sequence[Held]) -> None:
        """Raise if these cannot be the layer's blobs at its present shapes.

        Raises
        ------
        BindingError
        """
        found = tuple(tuple(b.shape) for b in blobs)
        if found != self.blob_shapes:
            message = f"its weights have shapes {_shapes(found)}, here it wants {_shapes(self.blob_shapes)}"
            raise BindingError(message, where=self.layer.label)


def shared_blobs(nodes: Iterable[Node]) -> dict[BlobPlace, BlobPlace]:
    """Map every blob that is shared by ``param { name }`` to the one that owns its values (``Net::AppendParam``).

    Raises
    ------
    ShapeError
        If two blobs of one name differ in shape, or, where ``share_mode: PERMISSIVE`` says so, in size.
    """
    first: dict[str, tuple[BlobPlace, Shape]] = {}
    owners = {}
    for node in nodes:
        for i, (param, shape) in enumerate(zip(node.layer.proto.param, node.blob_shapes, strict=False)):
            if not param.name:
                continue
            owner, wanted = first.setdefault(param.name, ((node.key, i), shape))
            if owner == (node.key, i):
                continue
            permissive = param.share_mode == pb.ParamSpec.PERMISSIVE
            if math.prod(shape) != math.prod(wanted) if permissive else shape != wanted:
                message = f"cannot share '{param.name}' of layer '{owner[0]}': it has shape {list(wanted)}, "
                raise ShapeError(message + f"blob {i} here {list(shape)}", where=node.layer.label)
            owners[node.key, i] = owner
    return owners


def check_sizes(layer: Layer, tops: Iterable[Shape], blobs: Iterable[Shape]) -> None:
    """Raise if a top or a learned blob would hold more values than Caffe's blobs can.

    Raises
    ------
    ShapeError
    """
    for kind, shapes in (("top", tops), ("blob", blobs)):
        for index, shape in enumerate(shapes):
            values = math.prod(shape)
            if values > MAX_BLOB_VALUES:
                layer.fail(f"{kind} {index} would hold {values} values; a blob holds {MAX_BLOB_VALUES} at most")


def check_finite(blob: np.ndarray, index: int, where: str) -> None:
    """Raise if a blob holds NaN or infinity; engines answer differently for such weights, and none is right.

    Raises
    ------
    BindingError
        It names the blob and says how many values are not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(blob.sum()):  # one cheap pass; a sum that only overflows is looked at again
            return
    bad = blob.size - int(np.count_nonzero(np.isfinite(blob)))
    if bad:
        message = f"blob {index} holds {bad} value(s) of {blob.size} that are not finite (NaN or infinity)"
        raise BindingError(message, where=where, hint="training went wrong, or the file is damaged")


def _shapes(shapes: Iterable[Shape]) -> str:
    return ", ".join(str(list(shape)) for shape in shapes) or "none"
