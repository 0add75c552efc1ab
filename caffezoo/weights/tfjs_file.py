"""Read the weights of a TensorFlow.js layers model, without TensorFlow.js and without running JavaScript.

A model is several files: ``model.json`` has the layers and, under ``weightsManifest``, groups of weights with the paths
of the shards that hold their values one behind the other. Packages for browsers have each file as a module in place of
that: ``model.min.js`` exports the object, ``<shard>.min.js`` a shard's bytes in base64. Either may lie in a folder or
in an archive; ``ARCHIVE/path/of/the/model`` is a model in an archive.

Weights may be quantised: ``uint8`` and ``uint16`` values stand for ``value * scale + min``, computed in float64 and
rounded to float32, ``float16`` for themselves. Sources: ``tfjs-core/src/io/io_utils.ts`` (``decodeWeights``) and
``types.ts`` of tensorflow/tfjs. Layers have Keras' names, and come out as from
:func:`~caffezoo.weights.keras_file.read_keras_weights`.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from caffezoo.errors import SourceError, WeightsFileError
from caffezoo.weights.archive import find_members, read_members
from caffezoo.weights.js_literal import exported_literal
from caffezoo.weights.keras_names import ROLE, counted_anew, roles_of

MAX_MODEL_BYTES = 64 << 20
MAX_TOTAL_BYTES = 2 << 30  # no caffemodel holds more
MAX_SHARDS = 10_000
MAX_AXES = 8
MODULE_SUFFIX = ".min.js"
MODEL_NAMES = ("model.json", f"model{MODULE_SUFFIX}")

_QUANTISED: Mapping[str, np.dtype[Any]] = {
    "uint8": np.dtype("u1"),
    "uint16": np.dtype("<u2"),
    "float16": np.dtype("<f2"),
}


def read_tfjs_weights(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """Read the weights of a TensorFlow.js layers model.

    Parameters
    ----------
    path : path
        ``model.json`` or ``model.min.js``, with the shards beside it; an archive that holds one such model;
        ``ARCHIVE/MEMBER``, the model's path inside an archive.

    Returns
    -------
    dict of str to ndarray
        Tensors by ``layer/role``, float32, in the file's order. Axes are Keras'.

    Raises
    ------
    WeightsFileError
        Not such a model, or a graph model, which has no layers; a shard is missing, elsewhere, truncated or too long;
        a weight of another dtype, of an impossible shape or quantisation; two weights of one name.
    """
    name = fspath(path)
    try:
        return _Model(*_located(Path(path)), name).tensors()
    except SourceError as error:
        raise WeightsFileError(error.message, where=name, hint=error.hint) from None
    except (OSError, UnicodeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        text = (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
        raise WeightsFileError(f"not a TensorFlow.js model: {text}", where=name) from None


def split_archive_path(path: Path) -> tuple[Path, str | None]:
    """Split ``ARCHIVE/MEMBER`` into the file and the path inside it, which is None where ``path`` is a file itself."""
    if not path.exists():
        for parent in path.parents:
            if parent.is_file():
                return parent, path.relative_to(parent).as_posix()
    return path, None


def _located(path: Path) -> tuple[Path, str | None]:
    file, member = split_archive_path(path)
    if member is None and file.suffix.lower() not in (".json", ".js"):
        found = [name for wanted in MODEL_NAMES for name in find_members(file, wanted)]
        if len(found) != 1:
            listed = f": {', '.join(found[:5])}" if found else f" called {' or '.join(MODEL_NAMES)}"
            raise SourceError(
                f"it holds {len(found) or 'no'} models{listed}",
                hint=f"{file.name}/{found[0]} is one of them" if found else None,
            )
        member = found[0]
    return file, member


class _Model:
    """One model: knows where its files are, and takes the weights apart."""

    def __init__(self, file: Path, member: str | None, name: str) -> None:
        self.file, self.member, self.name = file, member, name
        self.is_module = (member or file.name).endswith(".js")
        self.budget = MAX_TOTAL_BYTES

    def tensors(self) -> dict[str, np.ndarray]:
        groups = self.groups(self.model())
        shards = self.shards([path for paths, _ in groups for path in paths])
        layers: dict[str, list[tuple[str, np.ndarray]]] = {}
        for paths, specs in groups:
            if sum(len(shards[path]) for path in paths) > MAX_TOTAL_BYTES:
                raise ValueError(f"its shards are more than {MAX_TOTAL_BYTES} bytes")
            for weight, array in self.arrays(b"".join(shards[path] for path in paths), specs):
                role = ROLE.search(weight)
                if role is None or not role.start():
                    raise ValueError(f"weight '{weight[:80]}' has no known role")
                layers.setdefault(weight[: role.start()], []).append((weight, array))
        out: dict[str, np.ndarray] = {}
        for layer, weights in counted_anew(layers.items()):
            for role_name, (weight, array) in zip(roles_of(w for w, _ in weights) or (), weights, strict=True):
                if (key := f"{layer.replace('/', '_')}/{role_name}") in out:
                    raise ValueError(f"two weights are '{weight[:80]}'")
                out[key] = array
        if not out:
            raise ValueError("it holds no weights")
        return out

    def model(self) -> dict[str, Any]:
        if self.member is None:
            with open(self.file, "rb") as handle:
                raw = handle.read(MAX_MODEL_BYTES + 1)
            if len(raw) > MAX_MODEL_BYTES:
                raise ValueError(f"it has more than {MAX_MODEL_BYTES} bytes")
        else:
            raw = read_members(self.file, [self.member], max_bytes=MAX_MODEL_BYTES)[self.member]
        text = raw.decode("utf-8-sig")
        model = exported_literal(text) if self.is_module else json.loads(text, parse_constant=_no_constant)
        if not isinstance(model, dict) or not isinstance(model.get("weightsManifest"), list):
            raise ValueError("it has no weightsManifest")
        topology = model.get("modelTopology")
        if model.get("format") == "graph-model" or (isinstance(topology, dict) and "node" in topology):
            raise SourceError(
                "a graph model of TensorFlow.js, which has no layers any more",
                hint="convert the Keras model with --output_format=tfjs_layers_model",
            )
        return model

    def groups(self, model: dict[str, Any]) -> list[tuple[list[str], list[Any]]]:
        """Return the paths of the shards and the weights of each group."""
        out = []
        for group in model["weightsManifest"]:
            paths, specs = (group.get("paths"), group.get("weights")) if isinstance(group, dict) else (None, None)
            if not isinstance(paths, list) or not isinstance(specs, list) or not all(isinstance(p, str) for p in paths):
                raise ValueError("a group of its weightsManifest has no lists of paths and weights")
            out.append((paths, specs))
        if sum(len(paths) for paths, _ in out) > MAX_SHARDS:
            raise ValueError(f"it has more than {MAX_SHARDS} shards")
        return out

    def shards(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Read the shards, which lie at or below the model's own folder."""
        for path in paths:
            parts = path.split("/")
            if any(part in ("", ".", "..") for part in parts) or any(c in path for c in "\\:\0"):
                raise ValueError(f"shard '{path[:80]}' is not a path below the model's folder")
        suffix = MODULE_SUFFIX if self.is_module else ""
        names = {path: path + suffix for path in paths}
        if self.member is None:
            raw = {path: self.beside(name) for path, name in names.items()}
        else:
            folder = PurePosixPath(self.member).parent
            members = {path: str(folder / name) for path, name in names.items()}
            found = read_members(self.file, list(members.values()), max_bytes=MAX_TOTAL_BYTES)
            raw = {path: found[member] for path, member in members.items()}
        return {path: self.from_module(path, data) for path, data in raw.items()} if self.is_module else raw

    def beside(self, name: str) -> bytes:
        path = self.file.parent / name
        if not path.is_file():
            raise ValueError(f"shard '{name[:80]}' is missing: a model is model.json and its shards beside it")
        if path.stat().st_size > MAX_TOTAL_BYTES:
            raise ValueError(f"shard '{name[:80]}' is too large")
        return path.read_bytes()

    def from_module(self, path: str, data: bytes) -> bytes:
        try:
            value = exported_literal(data.decode("utf-8"))
            if not isinstance(value, str):
                raise ValueError("it exports no string")
            return base64.b64decode(value, validate=True)
        except ValueError as error:
            raise ValueError(f"shard '{path[:80]}': {error}") from None

    def arrays(self, data: bytes, specs: Sequence[Any]) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the weights of one group, by name."""
        offset = 0
        for spec in specs:
            name = spec.get("name") if isinstance(spec, dict) else None
            if not isinstance(name, str):
                raise ValueError("a weight has no name")
            shape, stored, scale, minimum = _format_of(name, spec)
            count = math.prod(shape)
            end = offset + count * stored.itemsize
            if end > len(data):
                raise ValueError(f"'{name[:80]}' ends at byte {end} of its shards, which have {len(data)}: truncated?")
            self.budget -= 4 * count
            if self.budget < 0:
                raise ValueError(f"its weights are more than {MAX_TOTAL_BYTES} bytes")
            values = np.frombuffer(data, stored, count, offset)
            with np.errstate(over="ignore"):  # what is not finite is refused where it becomes a blob
                if scale is not None:
                    # As tfjs does: numbers of JavaScript are float64, the array that takes them is float32.
                    values = values.astype(np.float64) * scale + minimum
                values = values.astype(np.float32)
            yield name, values.reshape(shape)
            offset = end
        if offset != len(data):
            raise ValueError(f"shards of {len(data)} bytes hold weights of {offset}")


def _format_of(name: str, spec: dict[str, Any]) -> tuple[tuple[int, ...], np.dtype[Any], float | None, float]:
    """Return a weight's shape, stored dtype, scale (None: not quantised to integers) and minimum."""
    shape, dtype, quantisation = spec.get("shape"), spec.get("dtype"), spec.get("quantization")
    if not isinstance(shape, list) or len(shape) > MAX_AXES or not all(map(_is_length, shape)):
        raise ValueError(f"'{name[:80]}' has the shape {str(shape)[:80]}")
    if dtype != "float32":
        raise ValueError(f"'{name[:80]}' has dtype {str(dtype)[:40]}; weights of layers are float32")
    if quantisation is None:
        return tuple(shape), np.dtype("<f4"), None, 0.0
    stored = quantisation.get("dtype") if isinstance(quantisation, dict) else None
    if not isinstance(stored, str) or stored not in _QUANTISED:
        known = ", ".join(_QUANTISED)
        raise ValueError(f"'{name[:80]}' is quantised to {str(stored)[:40]}; known are {known}")
    if stored == "float16":
        return tuple(shape), _QUANTISED[stored], None, 0.0
    numbers = [quantisation.get(key) for key in ("scale", "min")]
    if not all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
        raise ValueError(f"'{name[:80]}' is quantised with scale and min {str(numbers)[:80]}")
    return tuple(shape), _QUANTISED[stored], float(numbers[0]), float(numbers[1])


def _is_length(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_TOTAL_BYTES


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")
