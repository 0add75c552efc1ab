"""Quantising to 8 bits with NNCF, the quantiser of OpenVINO's makers (extra ``int8``).

Weights get a scale a channel, activations one a tensor, both from a calibration on images; the shift that this gives
the mean of every layer is taken out of its bias. Layers can be kept in float32 by name.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.data.base import IMAGE_ENDINGS
from caffezoo.engines.quantised import Calibration, QuantisedNetwork, float_model, save_quantised
from caffezoo.errors import DataError, EngineUnavailableError, NetworkError, PrecisionError, ZooError
from caffezoo.evaluation.crops import cut_views
from caffezoo.evaluation.dataset import SAMPLE, Dataset
from caffezoo.evaluation.image_objects import ImageLike, Stored
from caffezoo.evaluation.images import decode_image
from caffezoo.evaluation.protocol import Protocol
from caffezoo.net.graph import Network
from caffezoo.net.transform import to_blob

if TYPE_CHECKING:
    import onnx

Blobs = Mapping[str, np.ndarray]
QUANTISED_OPERATORS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
MAX_CALIBRATION_IMAGES = 300
"""What NNCF takes by default; more changes the scales hardly."""


class CalibrationImages:
    """Images as blobs of a network, read anew on every pass.

    Parameters
    ----------
    files : sequence of Path
        At most ``MAX_CALIBRATION_IMAGES`` are used, evenly spread over the sequence.
    protocol : Protocol
        How the network sees images; one crop of each is used.
    blob : str
        The network's input.

    Raises
    ------
    DataError
        There is none, or one cannot be read.
    """

    def __init__(self, files: Sequence[Path], protocol: Protocol, blob: str) -> None:
        if not files:
            raise DataError("no calibration images", hint="--calibration wants a folder of a few hundred")
        step = max(1.0, len(files) / MAX_CALIBRATION_IMAGES)
        self.files = [files[int(i * step)] for i in range(min(len(files), MAX_CALIBRATION_IMAGES))]
        self.protocol = protocol
        self.blob = blob
        self.hashes = Calibration(tuple(file_identity(file) for file in self.files))

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Blobs]:
        for file in self.files:
            try:
                image = decode_image(file.read_bytes(), where=str(file))
            except OSError as error:
                raise DataError(f"cannot be read: {error.strerror or error}", where=str(file)) from None
            view = cut_views(image, self.protocol)[0].pixels
            if self.protocol.channel_order == "RGB":
                view = view[..., ::-1]
            yield {self.blob: to_blob(view[np.newaxis], self.protocol.transform)}


def calibration_files(where: str) -> list[Path]:
    """Return the images of a folder, at any depth and in the order of their names, or the built-in sample.

    Raises
    ------
    DataError
        No such folder, or no image in it.
    """
    if where == SAMPLE:
        from caffezoo.weights.sample import sample_images

        return [path for path, _ in sample_images()]
    folder = Path(where)
    if not folder.is_dir():
        raise DataError("no such folder of images", where=where)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_ENDINGS and path.is_file())
    if not files:
        raise DataError("holds no image", where=where, hint=f"names end in {', '.join(IMAGE_ENDINGS)}")
    return files


def file_identity(file: Path) -> tuple[int, str]:
    """Return size in bytes and SHA-256 of a file.

    Raises
    ------
    DataError
        It cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return file.stat().st_size, hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=str(file)) from None


def refuse_overlap(calibration: Calibration, evaluated: Dataset) -> None:
    """Raise if an evaluated image was calibrated on.

    Files are hashed only where the size is that of a calibration image, members of archives all.

    Raises
    ------
    DataError
    """
    known = set(calibration.images)
    sizes = {size for size, _ in known}
    for image, item in zip(evaluated.images, evaluated.items(range(len(evaluated.images))), strict=True):
        if _identity(item, sizes) in known:
            raise DataError(
                "this image was calibrated on; an accuracy measured with it says too much",
                where=image.path,
                hint="calibrate on other images than are evaluated",
            )


def _identity(item: ImageLike, sizes: Collection[int]) -> tuple[int, str] | None:
    """Return size and hash of an image; None where it cannot be one of ``sizes``, or cannot be read."""
    try:
        if isinstance(item, Stored):
            content = item.content()
            if not isinstance(content, bytes) or len(content) not in sizes:
                return None
            return len(content), hashlib.sha256(content).hexdigest()
        path = Path(item)
        return file_identity(path) if path.stat().st_size in sizes else None
    except (OSError, DataError):
        return None  # it will be counted as unreadable


def quantise(
    network: Network,
    outputs: Sequence[str],
    batches: Any,
    *,
    calibration: Calibration,
    keep: Sequence[str] = (),
    name: str = "",
) -> QuantisedNetwork:
    """Quantise a network and put it into the cache, where engines find it.

    Parameters
    ----------
    network : Network
        With weights; it is folded first.
    outputs : sequence of str
        Blobs that will be asked of it.
    batches : iterable of mapping of str to ndarray, with a length
        Input blobs of one sample each, to calibrate on.
    calibration : Calibration
        What they are, for the record.
    keep : sequence of str
        Layers to keep in float32, by name.
    name : str
        What messages call the network.

    Raises
    ------
    EngineUnavailableError
        NNCF is not installed.
    NetworkError
        No layer of the network can be quantised.
    PrecisionError
        NNCF cannot quantise it.
    DataError
        A calibration image that cannot be read.
    """
    model = float_model(network, outputs)
    layers = quantisable(model)
    where = name or network.path
    if not layers:
        raise NetworkError("has no convolution or inner product to quantise", where=where)
    nncf = _nncf()
    operators = [operator for layer in keep for operator in layers.get(layer, ())]
    trouble: list[ZooError] = []
    items = _Items(batches, trouble)
    with _quiet():
        try:
            found = nncf.quantize(
                model,
                nncf.Dataset(items, lambda feed: feed),
                subset_size=len(batches),
                ignored_scope=nncf.IgnoredScope(names=operators),
            )
        except Exception as error:  # NNCF, onnx and onnxruntime raise of many kinds, and wrap ours
            if trouble:
                raise trouble[0] from None
            raise PrecisionError(f"NNCF cannot quantise it: {str(error).splitlines()[0][:300]}", where=where) from None
    if not any(node.op_type == "QuantizeLinear" for node in found.graph.node):
        raise PrecisionError("NNCF quantised no layer", where=where)
    return save_quantised(
        model,
        found,
        network=name or network.name,
        calibration=calibration,
        kept=keep,
        versions={"nncf": nncf.__version__},
    )


def quantisable(model: onnx.ModelProto) -> dict[str, list[str]]:
    """Return the layers whose products can be quantised, with their operators' names, in the model's order.

    A layer is known by its weights, which are named ``<layer>/blob<index>``: its operators may carry a number.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    found: dict[str, list[str]] = {}
    for node in model.graph.node:
        blobs = [name for name in node.input if name in constants and "/blob" in name]
        if node.op_type in QUANTISED_OPERATORS and blobs:
            found.setdefault(blobs[0].rpartition("/blob")[0], []).append(node.name)
    return found


class _Items:
    """The batches for NNCF, which swallows what they raise: kept here."""

    def __init__(self, batches: Any, trouble: list[ZooError]) -> None:
        self._batches = batches
        self._trouble = trouble

    def __iter__(self) -> Iterator[Blobs]:
        try:
            yield from self._batches
        except ZooError as error:
            self._trouble.append(error)
            raise


def _nncf() -> Any:
    try:
        with _quiet():
            import nncf
            import onnxruntime  # noqa: F401  # which its quantiser runs networks with
    except ImportError as error:
        raise EngineUnavailableError(
            f"quantising needs NNCF and ONNX Runtime: {error}", hint="pip install 'caffezoo[int8]'"
        ) from None
    nncf.set_log_level(logging.ERROR)
    return nncf


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep what NNCF prints, its progress bars too, out of our output."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
