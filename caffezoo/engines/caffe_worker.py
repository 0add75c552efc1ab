"""Real Caffe behind a pipe: run as a script by the Python that has pycaffe.

It imports nothing of this package and runs under Python 3.6 and later. A frame, either way, is a 4-byte big-endian
length, that many bytes of JSON, and then the raw little-endian float32 arrays which the JSON's ``arrays`` lists as
``{"name": ..., "shape": [...]}`` in order.

Requests are ``load``, ``run``, ``time`` and ``quit``; every reply has ``status``: ``ok``, ``error`` (a Python
exception: the worker goes on) or ``abort`` (Caffe stopped on a CHECK, or crashed). Caffe ends its process when a CHECK
fails, so the work is done in a fork of a process that has imported Caffe already: a failed CHECK costs a fork, not an
import.
"""

# ruff: noqa: B905, E402, UP006, UP035

import os
import sys

# The folder of this script holds modules named after runtimes (caffe.py); it must not hide the real ones.
_HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != _HERE]

import importlib
import json
import struct
import tempfile
import time
from typing import Any, Dict, List, Tuple

import numpy as np

MAX_HEADER_BYTES = 64 << 20
LOG_TAIL_BYTES = 64 << 10


def read_exactly(fd: int, size: int) -> bytearray:
    """Read ``size`` bytes and not one more: the next fork must find the next frame whole."""
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        count = os.readv(fd, [view[done:]])
        if not count:
            raise EOFError
        done += count
    return data


def write_all(fd: int, data: Any) -> None:
    view = memoryview(data).cast("B") if len(data) else memoryview(b"")
    while len(view):
        view = view[os.write(fd, view) :]


def read_frame(fd: int) -> Tuple[Dict[str, Any], List[np.ndarray]]:
    (size,) = struct.unpack(">I", read_exactly(fd, 4))
    if size > MAX_HEADER_BYTES:
        raise EOFError
    header = json.loads(read_exactly(fd, size).decode("utf-8"))
    arrays = []
    for entry in header.get("arrays", ()):
        count = int(np.prod(entry["shape"], dtype=np.int64))
        arrays.append(np.frombuffer(read_exactly(fd, 4 * count), "<f4").reshape(entry["shape"]))
    return header, arrays


def write_frame(fd: int, header: Dict[str, Any], arrays: Any = ()) -> None:
    arrays = [(name, np.ascontiguousarray(a, "<f4").reshape(np.shape(a))) for name, a in arrays]
    header["arrays"] = [{"name": name, "shape": list(a.shape)} for name, a in arrays]
    text = json.dumps(header).encode("utf-8")
    write_all(fd, struct.pack(">I", len(text)) + text)
    for _, array in arrays:
        write_all(fd, array.reshape(-1))


def memory_peak() -> Any:
    """Return the most memory that this process has held, in bytes, where Linux tells."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None


class Worker:
    """One network at a time."""

    def __init__(self, caffe: Any) -> None:
        self.caffe = caffe
        self.net = None  # type: Any

    def load(self, header: Dict[str, Any], arrays: List[np.ndarray]) -> Tuple[Dict[str, Any], Any]:
        self.net = None
        if header.get("gpu") is not None:
            self.caffe.set_device(int(header["gpu"]))
            self.caffe.set_mode_gpu()
        else:
            self.caffe.set_mode_cpu()
        phase = self.caffe.TRAIN if header.get("phase") == "TRAIN" else self.caffe.TEST
        with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as file:
            file.write(header["prototxt"])
            file.flush()
            net = self.caffe.Net(file.name, phase)
        if header.get("caffemodel"):
            net.copy_from(header["caffemodel"])
        for entry, array in zip(header.get("arrays", ()), arrays):
            layer, index = entry["name"]
            if layer not in net.params:
                raise ValueError(f"layer '{layer}' has no blobs in Caffe")
            blobs = net.params[layer]
            if index >= len(blobs):
                raise ValueError(f"layer '{layer}' has {len(blobs)} blobs in Caffe, not {index + 1}")
            wanted = list(blobs[index].shape)
            if wanted != list(array.shape):
                raise ValueError(
                    f"blob {index} of layer '{layer}' has shape {wanted} in Caffe, not {list(array.shape)}"
                )
            blobs[index].data[...] = array
        given = {}  # type: Dict[str, int]
        for entry in header.get("arrays", ()):
            given[entry["name"][0]] = given.get(entry["name"][0], 0) + 1
        for layer, count in given.items():
            if count != len(net.params[layer]):
                raise ValueError(f"layer '{layer}' has {len(net.params[layer])} blobs in Caffe, not {count}")
        for name, shape in header.get("input_shapes", {}).items():
            if name not in net.inputs:
                raise ValueError(f"'{name}' is no input of this net")
            net.blobs[name].reshape(*shape)
        net.reshape()
        self.net = net
        return {"inputs": self._shapes(net.inputs), "outputs": self._shapes(net.outputs)}, ()

    def run(self, header: Dict[str, Any], arrays: List[np.ndarray]) -> Tuple[Dict[str, Any], Any]:
        if self.net is None:
            raise ValueError("no net is loaded")
        for entry, array in zip(header["arrays"], arrays):
            blob = self.net.blobs[entry["name"]]
            if tuple(blob.shape) != array.shape:
                blob.reshape(*array.shape)
            blob.data[...] = array
        start = time.perf_counter()
        self.net.forward()
        seconds = time.perf_counter() - start
        names = header.get("outputs") or self.net.outputs
        for name in names:
            if name not in self.net.blobs:
                raise ValueError(f"no blob '{name}' in this net")
        return {"forward_seconds": seconds}, [(name, self.net.blobs[name].data) for name in names]

    def time(self, header: Dict[str, Any], arrays: List[np.ndarray]) -> Tuple[Dict[str, Any], Any]:
        if self.net is None:
            raise ValueError("no net is loaded")
        net, last = self.net, len(self.net.layers) - 1
        times = [[str(name), str(layer.type), 0.0, None] for name, layer in zip(net._layer_names, net.layers)]  # type: List[List[Any]]
        # Underscored calls are those of Caffe itself; the public ones copy blobs to and fro in Python.
        spans = [(i, i) for i in range(last + 1)] if header["layers"] else [(0, last)]
        for first, end in spans:
            times[end][2] = self._clock(net._forward, first, end)
        backward = None
        if header["backward"]:
            for first, end in reversed(spans):
                times[end][3] = self._clock(net._backward, end, first)
            backward = sum(t[3] for t in times if t[3] is not None)
        return {
            "forward_seconds": sum(t[2] for t in times),
            "backward_seconds": backward,
            "layers": times if header["layers"] else [],
            "memory_peak_bytes": memory_peak(),
        }, ()

    @staticmethod
    def _clock(call: Any, first: int, last: int) -> float:
        start = time.perf_counter()
        call(first, last)
        return time.perf_counter() - start

    def serve(self, requests: int, replies: int) -> None:
        """Answer requests until ``quit`` or the end of the pipe."""
        while True:
            header, arrays = read_frame(requests)
            if header["verb"] == "quit":
                return
            os.ftruncate(2, 0)
            try:
                answer, tops = {"load": self.load, "run": self.run, "time": self.time}[header["verb"]](header, arrays)
                answer["status"] = "ok"
            except Exception as error:
                answer, tops = {"status": "error", "message": f"{type(error).__name__}: {error}"}, ()
            write_frame(replies, answer, tops)

    def _shapes(self, names: Any) -> Dict[str, List[int]]:
        return {name: [int(d) for d in self.net.blobs[name].shape] for name in names}


def main() -> int:
    replies = os.dup(1)
    os.dup2(2, 1)  # nothing that Caffe prints may reach the reply pipe
    caffe = importlib.import_module("caffe")
    caffe.set_mode_cpu()
    with tempfile.NamedTemporaryFile() as log:
        log_fd = os.open(log.name, os.O_RDWR | os.O_APPEND)
    os.dup2(log_fd, 2)
    os.dup2(log_fd, 1)
    hello = {
        "status": "ok",
        "version": str(getattr(caffe, "__version__", "unknown")),
        "layer_types": list(caffe.layer_type_list()),
        "python": sys.version.split()[0],
    }
    write_frame(replies, hello)
    while True:
        child = os.fork()
        if child == 0:
            code = 0
            try:
                Worker(caffe).serve(0, replies)
            except (EOFError, BrokenPipeError):
                pass
            except BaseException as error:
                os.write(2, f"{type(error).__name__}: {error}\n".encode())
                code = 1
            os._exit(code)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return 0
        size = os.fstat(2).st_size
        tail = os.pread(2, LOG_TAIL_BYTES, max(0, size - LOG_TAIL_BYTES)).decode("utf-8", "replace")
        signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        try:
            write_frame(replies, {"status": "abort", "signal": signal, "log": tail})
        except BrokenPipeError:
            return 0


if __name__ == "__main__":
    sys.exit(main())
