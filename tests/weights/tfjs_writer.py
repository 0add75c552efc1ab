"""TensorFlow.js layers models, written as its converter and its bundles for browsers have them."""

from __future__ import annotations

import base64
import io
import json
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

BUNDLE = (
    '!function(a){if("object"==typeof exports&&"undefined"!=typeof module)module.exports=a();else{this.model=a()}}'
    "(function(){return function a(n,i,e){return e}({1:[function(a,n,i){n.exports=%s},{}]},{},[1])(1)});"
)
Tensors = Mapping[str, np.ndarray]


def quantised(values: np.ndarray, dtype: str) -> tuple[np.ndarray, dict[str, Any]]:
    """Return what is stored of an array, and its ``quantization``."""
    if dtype == "float16":
        return values.astype("<f2"), {"dtype": dtype}
    low, high = float(values.min()), float(values.max())
    scale = (high - low) / np.iinfo(dtype).max or 1.0
    stored = np.round((values.astype(np.float64) - low) / scale).astype(np.dtype(dtype).newbyteorder("<"))
    return stored, {"dtype": dtype, "scale": scale, "min": low}


def model(tensors: Tensors, dtype: str | None = None, *, shards: int = 1) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return ``model.json`` as an object, and the shards by their paths."""
    specs, data = [], b""
    for name, values in tensors.items():
        spec: dict[str, Any] = {"name": name, "shape": list(values.shape), "dtype": "float32"}
        stored = values.astype("<f4")
        if dtype:
            stored, spec["quantization"] = quantised(values, dtype)
        specs.append(spec)
        data += stored.tobytes()
    step = -(-len(data) // shards)
    paths = [f"group1-shard{i + 1}of{shards}" for i in range(shards)]
    parts = {path: data[i * step : (i + 1) * step] for i, path in enumerate(paths)}
    topology = {"keras_version": "2.2.4", "backend": "tensorflow", "model_config": {"class_name": "Model"}}
    return {"modelTopology": topology, "weightsManifest": [{"paths": paths, "weights": specs}]}, parts


def plain_files(tensors: Tensors, dtype: str | None = None, *, shards: int = 1) -> dict[str, bytes]:
    """Return ``model.json`` and its shards."""
    made, parts = model(tensors, dtype, shards=shards)
    return {"model.json": json.dumps({"format": "layers-model", **made}).encode(), **parts}


def module_files(tensors: Tensors, dtype: str | None = None, *, shards: int = 1) -> dict[str, bytes]:
    """Return the modules of a package for browsers: literals as a minifier writes them."""
    made, parts = model(tensors, dtype, shards=shards)
    text = minified({**made, "generatedBy": None, "trainable": False})
    files = {"model.min.js": (BUNDLE % text).encode()}
    for path, data in parts.items():
        files[f"{path}.min.js"] = (BUNDLE % f'"{base64.b64encode(data).decode()}"').encode()
    return files


def minified(value: Any) -> str:
    """Write a literal of JavaScript, as short as it can be."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{_key(k)}:{minified(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(minified, value)) + "]"
    if isinstance(value, bool):
        return "!0" if value else "!1"
    text = json.dumps(value)
    return text.replace("0.", ".", 1) if isinstance(value, float) and text.lstrip("-").startswith("0.") else text


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_$][\w$]*", name, re.ASCII) else json.dumps(name)


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def package(files: Mapping[str, bytes], folder: str = "package/model/") -> bytes:
    """Return an archive as ``npm pack`` makes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in {**{folder + n: d for n, d in files.items()}, "package/package.json": b"{}"}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()
