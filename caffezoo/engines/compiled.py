"""Compiled models on disk: what OpenVINO made of a network before is loaded and not made again.

Folding, lowering and compiling take several times as long as loading what came of them. An entry belongs to everything
that it depends on: layers, weights (by their bytes), shapes, outputs, preprocessing, precision and settings, the
runtime's version, the device, and this package's own files that lower networks. The oldest go where the cache grows
past ``MAX_BYTES``. Whatever is wrong with the cache (no space, no rights, damage) costs time and nothing else.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from caffezoo.zoo.resources import cache_dir

if TYPE_CHECKING:
    from caffezoo.net.graph import Network
    from caffezoo.net.transform import Transform

MIN_WEIGHT_BYTES = 8 << 20
"""Smaller networks are made anew in the time that an entry takes to load."""
MAX_BLOB_BYTES = 128 << 20
"""OpenVINO hands out each layer's weights as one more copy while it exports: no more than this is spent on it."""
MAX_BYTES = 8 << 30
_LENGTH_BYTES = 8
"""An entry ends in its own length, so that a file that was cut is known."""
_DECIDING = ("engines", "net", "net/layers")


def is_worth_keeping(network: Network) -> bool:
    """Whether a network is large enough for the cache, and no single blob too large to be exported."""
    sizes = [blob.nbytes for blobs in network.weights.all_held().values() for blob in blobs]
    return sum(sizes) >= MIN_WEIGHT_BYTES and max(sizes) <= MAX_BLOB_BYTES


def compiled_key(
    network: Network,
    *,
    outputs: Sequence[str],
    transform: Transform | None,
    input_dtype: str,
    precision: str,
    settings: Mapping[str, Any],
    runtime: str,
    device: str,
) -> str:
    """Return the hash of all that a compiled model depends on."""
    digest = hashlib.sha256()
    scaling = None
    if transform is not None:
        scaling = (transform.mean_blob.tobytes(), transform.std_blob.tobytes())
    shapes = sorted(network.inputs.items())
    facts = (runtime, device, shapes, tuple(outputs), input_dtype, precision, sorted(settings.items()), _code_state())
    digest.update(repr(facts).encode())
    digest.update(repr(scaling).encode())
    for node in network.nodes:
        digest.update(node.key.encode() + b"\0")
        digest.update(node.layer.proto.SerializeToString(deterministic=True))
        for blob in network.weights.get(node.key, ()):
            digest.update(repr((blob.shape, str(blob.dtype))).encode())
            digest.update(np.ascontiguousarray(blob).data)
    return digest.hexdigest()


def load_compiled(core: Any, key: str, config: Mapping[str, Any]) -> tuple[Any, np.ndarray] | None:
    """Return a compiled model from the cache, and the mapped file, which must outlive it: some weights stay there.

    None where it is not there or cannot be loaded.
    """
    import openvino

    file = _folder() / f"{key}.blob"
    try:
        if not file.is_file():
            return None
        content = np.memmap(file, np.uint8, mode="c")  # OpenVINO shares only what may be written to, and does not write
        size = int.from_bytes(content[-_LENGTH_BYTES:].tobytes(), "little")
        if size != len(content) - _LENGTH_BYTES:
            raise ValueError("a part of it is missing")  # the runtime would read beyond its end
        compiled = core.import_model(openvino.Tensor(content[:size], shared_memory=True), "CPU", dict(config))
        os.utime(file)
        return compiled, content
    except (OSError, RuntimeError, ValueError):
        with suppress(OSError):
            file.unlink()
        return None


def save_compiled(compiled: Any, key: str) -> None:
    """Put a compiled model into the cache, and the oldest out of it where it is full."""
    folder = _folder()
    temporary = folder / f"{key}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            compiled.export_model(_Through(file))
            size = file.seek(0, os.SEEK_END)
            file.write(size.to_bytes(_LENGTH_BYTES, "little"))
        temporary.replace(folder / f"{key}.blob")
        _evict(folder)
    except (OSError, RuntimeError):
        pass
    finally:
        with suppress(OSError):
            temporary.unlink()


class _Through(io.BytesIO):
    """What OpenVINO takes for a stream in memory: all of it goes to a file as it comes."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file

    def write(self, data: Any) -> int:
        return self._file.write(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _evict(folder: Path) -> None:
    entries = []
    for file in folder.glob("*.blob"):
        with suppress(OSError):
            state = file.stat()
            entries.append((state.st_mtime_ns, state.st_size, file))
    total = sum(size for _, size, _ in entries)
    for _, size, file in sorted(entries):
        if total <= MAX_BYTES:
            break
        with suppress(OSError):
            file.unlink()
        total -= size


def _folder() -> Path:
    return cache_dir() / "compiled"


def _code_state() -> list[tuple[str, int, int]]:
    """Return size and time of the package's files that decide what is compiled."""
    package = Path(__file__).resolve().parent.parent
    found = []
    for name in _DECIDING:
        with os.scandir(package / name) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    state = entry.stat()
                    found.append((f"{name}/{entry.name}", state.st_size, state.st_mtime_ns))
    return sorted(found)
