"""HDF5 weights files (`.caffemodel.h5`): Caffe's layout /data/<layer name>/<blob index>."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import FileIO
from os import PathLike, fspath
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from caffezoo.errors import WeightsFileError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.blobs import Blob, LayerBlobs, WeightsFile
from caffezoo.formats.caffemodel_writer import replacing
from caffezoo.formats.layer_keys import layer_keys
from caffezoo.formats.signature import SOLVERSTATE_NAME, remedy

MAX_GROUP_DEPTH = 32
MAX_EXPANSION = 1000
"""Most bytes of values for a byte of file: deflate reaches 1032, and only on constant data."""


def import_h5py(path: str) -> ModuleType:
    """Return the module h5py; ``path`` is the file that needs it.

    Raises
    ------
    WeightsFileError
        It is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise WeightsFileError(
            "HDF5 weights need the package h5py", where=path, hint="pip install 'caffezoo[keras]'"
        ) from None
    return h5py  # type: ignore[no-any-return]


class _Target(FileIO):
    """A file that HDF5 writes to, which never tells it of trouble.

    The library does not survive a write that fails: the file stays half open in it, and the process dies in a later
    call. So the first error is kept for the end, and what is written behind it goes nowhere.
    """

    trouble: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self.trouble is None:
            try:
                done += super().write(view[done:]) or 0
            except OSError as error:
                self.trouble = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.trouble = self.trouble or error
            return size or 0

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = super().readinto(view) or 0
        view[count:] = bytes(len(view) - count)  # what went nowhere
        return len(view)


@contextmanager
def new_hdf5(path: str) -> Iterator[Any]:
    """Give an ``h5py.File`` to write to; it comes to ``path`` when the block ends well.

    Raises
    ------
    WeightsFileError
        h5py is missing, or the file cannot be written.
    """
    h5py = import_h5py(path)
    with replacing(path) as temporary, _Target(temporary, "w+") as target:
        try:
            with h5py.File(target, "w") as file:
                yield file
        finally:
            if target.trouble is not None:
                raise target.trouble


def read_hdf5(path: str | PathLike[str]) -> WeightsFile:
    """Read HDF5 weights; nested groups are layer names with '/'.

    Layers come in the order that HDF5 lists groups in (by name).

    Raises
    ------
    WeightsFileError
        h5py is missing, or the file is damaged, has no /data group, or holds a dataset that is no plain float array.
    """
    name = fspath(path)
    h5py = import_h5py(name)
    try:
        with h5py.File(name, "r") as file:
            if not isinstance(file.get("data", getlink=False), h5py.Group):
                raise WeightsFileError(_missing_data(file), where=name)
            layers = tuple(_Walk(h5py, name).layers(file["data"], "", 0))
    except WeightsFileError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, UnicodeError) as error:
        raise WeightsFileError(f"the HDF5 file cannot be read: {error}", where=name) from None
    if not layers:
        raise WeightsFileError("the HDF5 file holds no layers in /data", where=name)
    return WeightsFile(name, "hdf5", layers, ())


def _missing_data(file: Any) -> str:
    if "layer_names" in file.attrs or "model_weights" in file or "keras_version" in file.attrs:
        return "this is no Caffe weights file but a Keras one"
    if "_layer_checkpoint_dependencies" in file:
        return "this is no Caffe weights file but a Keras 3 one"
    if "learned_net" in file or "history" in file:
        return f"this is no Caffe weights file but {SOLVERSTATE_NAME}: {remedy(SOLVERSTATE_NAME)}"
    return "this HDF5 file has no group /data, so it holds no Caffe weights"


class _Walk:
    def __init__(self, h5py: ModuleType, path: str) -> None:
        self._h5py = h5py
        self._path = path
        self._seen: set[int] = set()

    def layers(self, group: Any, name: str, depth: int) -> Iterator[LayerBlobs]:
        address = self._h5py.h5o.get_info(group.id).addr
        if depth > MAX_GROUP_DEPTH or address in self._seen:
            raise WeightsFileError(f"group '{name}' contains itself or nests too deep", where=self._path)
        self._seen.add(address)
        datasets: dict[int, Any] = {}
        groups = []
        for key in group:
            if not isinstance(group.get(key, getlink=True), self._h5py.HardLink):
                continue
            child = group[key]
            if isinstance(child, self._h5py.Group):
                groups.append((key, child))
            elif isinstance(child, self._h5py.Dataset) and key.isascii() and key.isdigit() and len(key) < 4:
                datasets[int(key)] = child
        if name and (datasets or not groups):
            if sorted(datasets) != list(range(len(datasets))):
                raise WeightsFileError(
                    f"layer '{name}': blobs {sorted(datasets)} are not numbered from 0", where=self._path
                )
            blobs = tuple(self._blob(datasets[i], f"layer '{name}', blob {i}") for i in range(len(datasets)))
            yield LayerBlobs(name, "", blobs)
        for key, child in groups:
            yield from self.layers(child, f"{name}/{key}" if name else key, depth + 1)

    def _blob(self, dataset: Any, place: str) -> Blob:
        if dataset.dtype.kind not in "fiu" or dataset.shape is None:
            raise WeightsFileError(f"{place}: values of type {dataset.dtype} are no weights", where=self._path)
        if dataset.is_virtual or dataset.external:
            raise WeightsFileError(f"{place}: its values are in another file", where=self._path)
        if dataset.nbytes > MAX_EXPANSION * max(dataset.id.get_storage_size(), 1):
            raise WeightsFileError(
                f"{place}: {dataset.nbytes} bytes of values, but {dataset.id.get_storage_size()} in the file",
                where=self._path,
            )
        data = np.empty(dataset.shape, np.float32)
        if data.size:
            dataset.read_direct(data)
        data.flags.writeable = False
        return Blob(data, legacy=False)


def write_hdf5(
    path: str | PathLike[str], net: pb.NetParameter, weights: Mapping[str, Sequence[npt.NDArray[Any]]]
) -> None:
    """Write `weights` as Caffe does: a group a layer, empty where it has no blobs, shared blobs only at their owner.

    A blob is shared when its `param` has a name that an earlier blob's `param` has; it must be equal to it, since that
    is what Caffe will use.

    Raises
    ------
    WeightsFileError
        h5py is missing, `weights` names a layer that the net has not, two layers share a name, or the file cannot be
        written.
    """
    name = fspath(path)
    keys = layer_keys(layer.name for layer in net.layer)
    last = {layer.name: key for layer, key in zip(net.layer, keys, strict=True)}
    unknown = set(weights) - set(keys)
    if unknown:
        raise WeightsFileError(f"weights for layer '{min(unknown)}', which the net does not have", where=name)
    owned: set[str] = set()
    with new_hdf5(name) as file:
        data = file.create_group("data")
        for layer, key in zip(net.layer, keys, strict=True):
            group = data.require_group(layer.name)
            if weights.get(key) and last[layer.name] != key:
                message = f"a later layer is named '{layer.name}' too, and Caffe gives it what an HDF5 file holds"
                raise WeightsFileError(message, where=name, hint="rename one")
            for index, array in enumerate(weights.get(key, ())):
                shared = layer.param[index].name if index < len(layer.param) else ""
                if shared and shared in owned:
                    continue
                owned.add(shared)
                group.create_dataset(str(index), data=np.asarray(array, np.float32))
