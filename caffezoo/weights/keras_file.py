"""Read the weights that Keras wrote, of any version, without Keras.

Four layouts, of HDF5 (sources: ``keras/engine/topology.py`` of Keras 1 and 2, ``keras/src/saving/saving_lib.py``
and ``legacy/saving/legacy_h5_format.py`` of Keras 3):

* Weights files (Keras 1, 2, and ``.h5`` of Keras 3): attribute ``layer_names``, a group for each layer with the
  attribute ``weight_names``, which are paths of datasets below the group. Lists of more than 64 KB are split into
  ``layer_names0``, ``layer_names1`` ...
* Whole models: the same below the group ``model_weights``.
* ``.weights.h5`` (Keras 2.12 and later): ``layers/<class>_<number>/vars/<number>``; Keras 2.12 says
  ``_layer_checkpoint_dependencies`` for ``layers``. From Keras 3.10 on, ``vars`` has the layer's name as an attribute.
* ``.keras`` (Keras 3): a zip that has a ``model.weights.h5``.

All become tensors ``layer/role``, automatic names counted anew (:mod:`~caffezoo.weights.keras_names`). A layer that the
file does not name becomes ``conv2d[0]``, ``conv2d[1]`` ..., in the order of the model.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from os import PathLike, fspath, stat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import is_zipfile

import numpy as np

from caffezoo.errors import SourceError, WeightsFileError
from caffezoo.formats.hdf5 import MAX_EXPANSION, import_h5py
from caffezoo.formats.signature import identify
from caffezoo.weights.archive import member_chunks
from caffezoo.weights.keras_names import AUTOMATIC, counted_anew, roles_of

MAX_TOTAL_BYTES = 2 << 30  # no caffemodel holds more
MAX_KERNEL_EDGE = 16  # Keras' first axis of a convolution is the kernel's height, Theano's the number of outputs
ARCHIVE_MEMBER = "model.weights.h5"
MODERN_GROUPS = ("layers", "_layer_checkpoint_dependencies")

_STATISTICS = ("beta", "moving_mean", "moving_variance")
# By the number of axes of each weight of a layer, in Keras' order.
_ROLES_BY_AXES = {
    (4,): ("kernel",),
    (2,): ("kernel",),
    (4, 1): ("kernel", "bias"),
    (2, 1): ("kernel", "bias"),
    (4, 4): ("depthwise_kernel", "pointwise_kernel"),
    (4, 4, 1): ("depthwise_kernel", "pointwise_kernel", "bias"),
    (1, 1, 1): _STATISTICS,
    (1, 1, 1, 1): ("gamma", *_STATISTICS),
}
Layer = tuple[str, list[tuple[str, Any]]]  # its name, and name and dataset of each weight


def read_keras_weights(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """Read a Keras weights file or the weights of a whole model.

    Returns
    -------
    dict of str to ndarray
        Tensors by ``layer/role`` in the file's order and dtype. Roles are ``kernel``, ``bias``, ``gamma``, ``beta``,
        ``moving_mean``, ``moving_variance``, ``depthwise_kernel``, ``pointwise_kernel``; ``/`` in a layer's name
        becomes ``_``. Axes are Keras'.

    Raises
    ------
    WeightsFileError
        h5py is missing; not such a file or archive, truncated, with links or values in other files, too large; a
        layer with weights of another sort; kernels in Theano's order.
    """
    name = fspath(path)
    try:
        if not is_zipfile(name):
            return _read(name, name)
        with TemporaryDirectory() as folder:
            unpacked = Path(folder) / ARCHIVE_MEMBER
            with open(unpacked, "wb") as out:
                for chunk in member_chunks(Path(name), ARCHIVE_MEMBER, max_bytes=MAX_TOTAL_BYTES):
                    out.write(chunk)
            return _read(unpacked, name)
    except SourceError as error:
        raise WeightsFileError(f"no Keras archive: {error.message}", where=name) from None
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, UnicodeError) as error:
        raise WeightsFileError(f"the HDF5 file cannot be read: {error}", where=name, hint="fetch it again") from None


def _read(path: str | PathLike[str], name: str) -> dict[str, np.ndarray]:
    h5py = import_h5py(name)
    size_bytes = stat(path).st_size
    if not h5py.is_hdf5(path):
        raise WeightsFileError(f"not a Keras weights file: it is {identify(path) or 'of an unknown kind'}", where=name)
    with h5py.File(path, "r") as file:
        return _File(h5py, name, size_bytes).tensors(file)


class _File:
    """One open file: finds its layers and takes their weights."""

    def __init__(self, h5py: Any, name: str, size_bytes: int) -> None:
        self.h5py = h5py
        self.name = name
        self.size_bytes = size_bytes
        self.budget = MAX_TOTAL_BYTES

    def error(self, message: str, hint: str | None = None) -> WeightsFileError:
        return WeightsFileError(message, where=self.name, hint=hint)

    def tensors(self, file: Any) -> dict[str, np.ndarray]:
        root = self.child(file, "model_weights") if "model_weights" in file else file
        modern = [key for key in MODERN_GROUPS if key in root]
        if "layer_names" in root.attrs or "layer_names0" in root.attrs:
            if _text(root.attrs.get("backend", "")) == "theano":
                raise self.error("its kernels are Theano's, turned by 180 degrees", _CONVERT)
            layers = counted_anew(self.listed_layers(root))
        elif modern:
            layers = _modern_layers(self.numbered_layers(self.child(root, modern[0])))
        else:
            what = "a Caffe weights file" if "data" in root else "HDF5, but not Keras weights"
            raise self.error(f"no list of layers: it is {what}")
        out: dict[str, np.ndarray] = {}
        for layer, weights in layers:
            for role, array in zip(self.roles(layer, weights), (self.array(*w) for w in weights), strict=True):
                if (key := f"{layer.replace('/', '_')}/{role}") in out:
                    raise self.error(f"two weights are '{key}'")
                out[key] = array
        if not out:
            raise self.error("it holds no weights")
        self.check_order(out)
        return out

    def listed_layers(self, root: Any) -> Iterator[Layer]:
        for layer in self.names(root, "layer_names"):
            group = self.child(root, layer)
            weights = self.names(group, "weight_names")
            if weights:
                yield layer, [(f"{layer}: {weight}", self.child(group, weight)) for weight in weights]

    def numbered_layers(self, group: Any) -> Iterator[tuple[str, str | None, Layer]]:
        """Yield class with number, the layer's name if the file has it, and the layer."""
        for key in group:
            layer = self.child(group, key)
            if not isinstance(layer, self.h5py.Group) or "vars" not in layer:
                continue
            values = self.child(layer, "vars")
            if sorted(values) != sorted(str(i) for i in range(len(values))):
                raise self.error(f"layer '{key}': its weights are not numbered from 0")
            name = values.attrs.get("name")
            if len(values):
                weights = [(f"{key}: {i}", self.child(values, str(i))) for i in range(len(values))]
                yield key, None if name is None else _text(name), (key, weights)

    def child(self, group: Any, path: str) -> Any:
        """Follow a path of hard links."""
        for part in path.split("/"):
            if not isinstance(group, self.h5py.Group) or not part or part == ".":
                raise self.error(f"'{path[:80]}' is not in the file")
            link = group.get(part, getlink=True, default=None)
            if link is None:
                raise self.error(f"'{path[:80]}' is not in the file", "it is truncated or was never complete")
            if not isinstance(link, self.h5py.HardLink):
                raise self.error(f"'{path[:80]}' is a link to somewhere else")
            group = group[part]
        return group

    def names(self, group: Any, attribute: str) -> list[str]:
        """Return a list of strings, put together if it is split."""
        if attribute in group.attrs:
            parts = [attribute]
        else:
            parts = []
            while f"{attribute}{len(parts)}" in group.attrs:
                parts.append(f"{attribute}{len(parts)}")
        if not parts:
            raise self.error(f"{group.name}: no attribute {attribute}")
        out: list[str] = []
        for part in parts:
            handle = group.attrs.get_id(part)
            if math.prod(handle.shape or ()) * handle.dtype.itemsize > self.size_bytes:
                raise self.error(f"{group.name}: attribute {part} claims more than the file has")
            out.extend(_text(value) for value in np.ravel(np.asarray(group.attrs[part])))
        return out

    def array(self, place: str, dataset: Any) -> np.ndarray:
        if not isinstance(dataset, self.h5py.Dataset) or dataset.dtype.kind != "f" or dataset.shape is None:
            raise self.error(f"{place}: not an array of floats")
        if dataset.is_virtual or dataset.external:
            raise self.error(f"{place}: its values are in another file")
        stored = dataset.id.get_storage_size()
        self.budget -= dataset.nbytes
        if self.budget < 0 or dataset.nbytes > MAX_EXPANSION * max(stored, 1):
            raise self.error(f"{place}: {dataset.nbytes} bytes of values, {stored} in the file: too large")
        return np.asarray(dataset[()])

    def roles(self, layer: str, weights: list[tuple[str, Any]]) -> tuple[str, ...]:
        """Return the roles of a layer's weights: by their names, or else by their shapes."""
        if (roles := roles_of(place for place, _ in weights)) is not None:
            return roles
        axes = tuple(len(getattr(dataset, "shape", None) or ()) for _, dataset in weights)
        if axes not in _ROLES_BY_AXES:
            shapes = [getattr(dataset, "shape", None) for _, dataset in weights]
            raise self.error(f"layer '{layer[:80]}' is of no known sort: weights of shapes {shapes[:5]}")
        return _ROLES_BY_AXES[axes]

    def check_order(self, tensors: dict[str, np.ndarray]) -> None:
        """Refuse kernels whose axes are not Keras', and a fixed sum of ResNeXt that is no sum."""
        for key, array in tensors.items():
            if array.ndim == 4 and array.shape[0] > MAX_KERNEL_EDGE:
                raise self.error(f"{key} has shape {list(array.shape)}: the axes are in Theano's order", _CONVERT)
            if key.endswith("_gconv/kernel") and not _sums_groups(array):
                raise self.error(f"{key} is no sum within groups, which alone can become a grouped convolution")


_CONVERT = "use the file for TensorFlow, or load it in Keras and save it from there"


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _modern_layers(found: Iterable[tuple[str, str | None, Layer]]) -> list[Layer]:
    """Name the layers of a ``.weights.h5``: as the file does, or by class and place."""
    layers = list(found)
    if all(name for _, name, _ in layers):
        return counted_anew((name, weights) for _, name, (_, weights) in layers if name)
    by_class: dict[str, list[tuple[int, list[tuple[str, Any]]]]] = defaultdict(list)
    for key, _, (_, weights) in layers:
        match = AUTOMATIC.fullmatch(key)
        kind, number = (match[1], int(match[2] or 0)) if match else (key, 0)
        by_class[kind].append((number, weights))
    return [
        (f"{kind}[{i}]", weights)
        for kind, members in by_class.items()
        for i, (_, weights) in enumerate(sorted(members, key=lambda member: member[0]))
    ]


def _sums_groups(kernel: np.ndarray) -> bool:
    """Whether a 1x1 kernel adds, in each group, the products of equal number: ResNeXt's, behind its depthwise one."""
    if kernel.ndim != 4 or kernel.shape[:2] != (1, 1) or not kernel.shape[3] or kernel.shape[2] % kernel.shape[3]:
        return False
    products, out = kernel.shape[2:]
    channels = products // out
    place = np.arange(products)
    wanted = np.zeros((products, out), kernel.dtype)
    wanted[place, place // channels**2 * channels + place % channels] = 1
    return bool(np.array_equal(kernel[0, 0], wanted))
