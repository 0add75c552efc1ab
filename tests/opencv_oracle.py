"""OpenCV 4.12, the last line with a Caffe importer, as the judge of layers of forks that real Caffe lacks.

Mark tests with ``requires_opencv``; ``conftest.py`` skips them where it is not found (``OPENCV_PYTHON``, or
``.oracle-cv/bin/python`` of the checkout, which ``make oracle`` makes).
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.formats.prototxt import write_prototxt
from caffezoo.net.graph import Network

ROOT = Path(__file__).resolve().parent.parent
WORKER = Path(__file__).with_name("opencv_worker.py")

requires_opencv = pytest.mark.opencv_oracle


class OpenCVError(Exception):
    """OpenCV refuses the net, or dies of it."""


def opencv_python() -> str | None:
    """Return the Python that has OpenCV 4.12, or None."""
    checkout = ROOT / ".oracle-cv" / "bin" / "python"
    return os.environ.get("OPENCV_PYTHON") or (str(checkout) if checkout.exists() else None)


@cache
def _worker() -> subprocess.Popen[bytes]:
    python = opencv_python()
    assert python is not None
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.Popen([python, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean)


def opencv_outputs(
    network: Network, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], *, prototxt: bytes | None = None
) -> dict[str, np.ndarray]:
    """Return what OpenCV computes of a network with weights.

    Raises
    ------
    OpenCVError
        If OpenCV refuses the net.
    """
    text = write_prototxt(network.prototxt.net).encode() if prototxt is None else prototxt
    request = io.BytesIO()
    arrays = {
        "prototxt": np.frombuffer(text, np.uint8),
        "model": np.frombuffer(_model(network), np.uint8),
        "outputs": np.array(list(outputs)),
        **{f"in:{name}": np.asarray(x, np.float32) for name, x in inputs.items()},
    }
    np.savez(request, **arrays)
    worker = _worker()
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(struct.pack("<Q", request.tell()))
    worker.stdin.write(request.getvalue())
    worker.stdin.flush()
    header = worker.stdout.read(8)
    if not header:
        _worker.cache_clear()
        raise OpenCVError(f"it died with status {worker.wait()}")
    answer = np.load(io.BytesIO(worker.stdout.read(struct.unpack("<Q", header)[0])))
    if "error" in answer.files:
        raise OpenCVError(str(answer["error"]))
    return {name: answer[f"out:{name}"] for name in outputs}


def _model(network: Network) -> bytes:
    """Return the network's weights as a caffemodel: no layer's parameters, whose numbers differ among forks."""
    bare = pb.NetParameter(name=network.name)
    bare.layer.extend(pb.LayerParameter(name=node.name, type=node.layer.type) for node in network.nodes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.caffemodel"
        write_caffemodel(path, bare, network.weights)
        return path.read_bytes()
