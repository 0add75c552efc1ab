"""Reading a Caffe net as OpenCV 4 did."""

from __future__ import annotations

import os
import tempfile
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from caffezoo.cv2dnn.errors import CaffeNetError, cv2_errors
from caffezoo.cv2dnn.net import Net
from caffezoo.net.graph import Network
from caffezoo.opencv import load_cv2

Source = str | PathLike[str] | bytes | bytearray | np.ndarray


@cv2_errors
def readNetFromCaffe(
    prototxt: Source | None = None,
    caffeModel: Source | None = None,
    *,
    bufferProto: Source | None = None,
    bufferModel: Source | None = None,
) -> Net:
    """Return a net that is used as ``cv2.dnn.Net`` is.

    Parameters
    ----------
    prototxt, bufferProto : path, or bytes or uint8 array of a file's content
    caffeModel, bufferModel : path, or bytes or uint8 array of a file's content, optional
        Without weights a net has names and shapes, and cannot run.

    Raises
    ------
    CaffeNetError
        A file cannot be read, or is no net that Caffe would take; it is a ``cv2.error``.
    """
    text = prototxt if prototxt is not None else bufferProto
    weights = caffeModel if caffeModel is not None else bufferModel
    if text is None:
        raise CaffeNetError("no prototxt is given", hint="readNetFromCaffe(prototxt, caffeModel)")
    if isinstance(text, str | PathLike):
        network = Network.load(text)
    else:
        try:
            network = Network.from_text(_content(text).decode(), path="<buffer>")
        except UnicodeDecodeError:
            raise CaffeNetError("this is no text", where="<buffer>", hint="the prototxt comes first") from None
    if weights is None or (isinstance(weights, str) and not weights):
        return Net(network)
    if isinstance(weights, str | PathLike):
        return Net(network.with_weights_file(os.fspath(weights)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "buffer.caffemodel"
        path.write_bytes(_content(weights))
        return Net(network.with_weights_file(path))


def install() -> None:
    """Put :func:`readNetFromCaffe` into ``cv2.dnn`` where it is missing, as it is since OpenCV 5; nothing else."""
    dnn = load_cv2().dnn
    if not hasattr(dnn, "readNetFromCaffe"):
        dnn.readNetFromCaffe = readNetFromCaffe


def _content(source: Any) -> bytes:
    return np.ascontiguousarray(source, np.uint8).tobytes() if isinstance(source, np.ndarray) else bytes(source)
