"""Quantised networks in the cache: how an engine finds the one that was made of its network.

``<cache>/quantised/<hash>.onnx`` holds a network with 8-bit weights and the scales of its activations, as
QuantizeLinear and DequantizeLinear; ``<hash>.json`` beside it what it was made with. The hash is that of the float32
network's own ONNX form, so that another network, other weights or another input size never meet it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffezoo.engines.program import network_to_run
from caffezoo.errors import PrecisionError
from caffezoo.formats.caffemodel_writer import made_folder, replacing
from caffezoo.zoo.resources import cache_dir

if TYPE_CHECKING:
    import onnx

    from caffezoo.net.graph import Network

INT8 = "int8"


@dataclass(frozen=True)
class Calibration:
    """The images that the scales of activations come from: ``(bytes, sha256)`` of every file."""

    images: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class QuantisedNetwork:
    """A quantised network as it lies in the cache.

    Attributes
    ----------
    file : Path
        The ONNX model; its inputs are Caffe's blobs.
    network : str
        What it is called in messages.
    calibration : Calibration
    kept : tuple of str
        Layers that stay in float32, by their names in the prototxt.
    versions : mapping of str to str
        Of what made it.
    """

    file: Path
    network: str
    calibration: Calibration
    kept: tuple[str, ...]
    versions: Mapping[str, str]

    @property
    def bytes(self) -> int:
        return self.file.stat().st_size

    def model(self) -> onnx.ModelProto:
        """Read the model."""
        import onnx

        try:
            return onnx.load(str(self.file))
        except Exception as error:  # protobuf's and onnx's own, of many kinds
            raise PrecisionError(
                f"is no ONNX model: {error}", where=str(self.file), hint="quantise again with --calibration DIR"
            ) from None


def float_model(network: Network, outputs: Sequence[str]) -> onnx.ModelProto:
    """Return what a quantised network is made of: the folded network on Caffe's blobs, in float32."""
    from caffezoo.net.onnx_graph import to_onnx

    return to_onnx(network_to_run(network, outputs, "float32"), outputs=outputs)


def model_hash(model: onnx.ModelProto) -> str:
    """Return the hash under which the cache holds what was made of a model."""
    return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()[:32]


def find_quantised(model: onnx.ModelProto) -> QuantisedNetwork | None:
    """Return what was made of a model, or None.

    Raises
    ------
    PrecisionError
        What lies there cannot be read.
    """
    file = _folder() / f"{model_hash(model)}.onnx"
    notes = file.with_suffix(".json")
    if not (file.is_file() and notes.is_file()):
        return None
    try:
        found = json.loads(notes.read_text("utf-8"))
        images = tuple((int(size), str(sha256)) for size, sha256 in found["calibration"]["images"])
        kept = tuple(str(name) for name in found["kept"])
        return QuantisedNetwork(file, str(found["network"]), Calibration(images), kept, dict(found["versions"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PrecisionError(
            f"cannot be read: {error}", where=str(notes), hint="quantise again with --calibration DIR"
        ) from None


def save_quantised(
    source: onnx.ModelProto,
    quantised: onnx.ModelProto,
    *,
    network: str,
    calibration: Calibration,
    kept: Sequence[str],
    versions: Mapping[str, str],
) -> QuantisedNetwork:
    """Put a quantised network into the cache, in place of an earlier one made of the same model.

    Raises
    ------
    WeightsFileError
        It cannot be written; the earlier one is still there.
    """
    folder = _folder()
    made_folder(folder)
    file = folder / f"{model_hash(source)}.onnx"
    found = QuantisedNetwork(file, network, calibration, tuple(kept), dict(versions))
    record: dict[str, Any] = {**asdict(found), "file": file.name}
    # Both are written before either is put in place: an earlier pair stays a pair where the disk is full.
    with replacing(str(file)) as model, replacing(str(file.with_suffix(".json"))) as beside:
        model.write_bytes(quantised.SerializeToString())
        beside.write_text(json.dumps(record), "utf-8")
    return found


def quantised_model(network: Network, outputs: Sequence[str]) -> onnx.ModelProto:
    """Return the quantised form of a network from the cache.

    Raises
    ------
    PrecisionError
        There is none.
    """
    found = find_quantised(float_model(network, outputs))
    if found is None:
        raise PrecisionError(
            "no quantised form of this network is in the cache",
            where=network.path or network.name,
            hint="--calibration DIR makes one from a few hundred images that are not evaluated",
        )
    return found.model()


def _folder() -> Path:
    return cache_dir() / "quantised"
