"""The OpenCV side of ``tests/opencv_oracle.py``: runs under a Python of its own, which has cv2 4.12 and numpy only.

A request and an answer are each eight bytes of length and an npz archive. A request holds ``prototxt`` and ``model``
(bytes as uint8), the inputs as ``in:NAME`` and the wanted blobs' names; an answer holds ``out:NAME`` or ``error``.
"""

from __future__ import annotations

import io
import struct
import sys

import cv2
import numpy as np


def main() -> None:
    """Answer requests until the input ends."""
    cv2.setNumThreads(1)
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while header := source.read(8):
        request = np.load(io.BytesIO(source.read(struct.unpack("<Q", header)[0])))
        answer = io.BytesIO()
        np.savez(answer, **_answer(request))
        sink.write(struct.pack("<Q", answer.tell()))
        sink.write(answer.getvalue())
        sink.flush()


def _answer(request: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    try:
        net = cv2.dnn.readNetFromCaffe(request["prototxt"], request["model"])
        for name in request.files:
            if name.startswith("in:"):
                net.setInput(np.ascontiguousarray(request[name]), name[3:])
        wanted = [str(name) for name in request["outputs"]]
        return {f"out:{name}": np.array(x) for name, x in zip(wanted, net.forward(wanted), strict=True)}
    except cv2.error as error:
        return {"error": np.array(str(error))}


if __name__ == "__main__":
    main()
