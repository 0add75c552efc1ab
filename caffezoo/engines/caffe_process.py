"""The parent side of real Caffe: starts, feeds, times out and restarts the worker process."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from caffezoo.errors import CaffeAbortError, EngineError, EngineUnavailableError

WORKER = Path(__file__).with_name("caffe_worker.py")
MAX_HEADER_BYTES = 64 << 20
HINT = "give the Python that has pycaffe with --caffe-python or CAFFE_PYTHON"


def find_caffe_python(python: str | None = None) -> str:
    """Return the Python that has pycaffe: the given one, ``CAFFE_PYTHON``, or this one if it can import caffe.

    Raises
    ------
    EngineUnavailableError
        If there is none.
    """
    for wanted, source in ((python, "--caffe-python"), (os.environ.get("CAFFE_PYTHON"), "CAFFE_PYTHON")):
        if wanted:
            found = shutil.which(os.path.expanduser(wanted))
            if found is None:
                raise EngineUnavailableError(f"no such Python '{wanted}'", where=source)
            return found
    if importlib.util.find_spec("caffe") is not None:
        return sys.executable
    raise EngineUnavailableError("real Caffe is not here", where="engine caffe", hint=HINT)


def abort_message(log: str, signal_number: int = 0) -> str:
    """Return Caffe's own last words out of a log: the fatal line without glog's prefix, and protobuf's complaint."""
    fatal = re.findall(r"^F\d+ [\d:.]+\s+\d+ \S+\] (.+)$", log, re.M)
    parser = re.findall(r"^\[libprotobuf ERROR [^\]]*\] (.+)$", log, re.M)
    words = [*parser[-1:], *fatal[-1:]]
    if words:
        text = re.sub(r"\s*\*\*\* Check failure stack trace: \*\*\*| \(known types: [^)]*\)", "", "; ".join(words))
        return re.sub(r" Failed to parse NetParameter file: \S+$", "", text).strip()
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    died = f"Caffe died of {signal.Signals(signal_number).name}" if signal_number else "Caffe's process ended"
    return f"{died}: {lines[-1][:300]}" if lines else died


class _ForeignSpeechError(EngineError):
    """What answers is not our worker."""

    def __init__(self) -> None:
        super().__init__("it does not speak the worker's protocol", where="engine caffe")


class CaffeProcess:
    """One worker process with one network in it.

    Parameters
    ----------
    python : str, optional
        Python that has pycaffe; see :func:`find_caffe_python`.
    threads : int, optional
        Threads of Caffe's BLAS.
    start_timeout_s, timeout_s : float
        Seconds that the import of Caffe, and one request, may take.

    Attributes
    ----------
    version, python_version : str
    layer_types : frozenset of str

    Raises
    ------
    EngineUnavailableError
        If there is no Python with a working pycaffe.
    """

    def __init__(
        self,
        python: str | None = None,
        *,
        threads: int | None = None,
        start_timeout_s: float = 60.0,
        timeout_s: float = 600.0,
    ) -> None:
        self.python = find_caffe_python(python)
        self.threads = threads
        self.timeout_s = timeout_s
        self.start_timeout_s = start_timeout_s
        self.forward_seconds = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def load(
        self,
        prototxt: str,
        weights: Mapping[str, Sequence[np.ndarray]] | str | os.PathLike[str] | None = None,
        *,
        inputs: Mapping[str, Sequence[int]] | None = None,
        phase: str = "TEST",
        gpu: int | None = None,
    ) -> dict[str, tuple[int, ...]]:
        """Load a network, in the place of the last one, and return the shapes of its outputs.

        Parameters
        ----------
        prototxt : str
            Text that this Caffe understands.
        weights : mapping of layer name to blobs, or path of a caffemodel, optional
        inputs : mapping of str to shape, optional
            Shapes that replace those of the prototxt.
        gpu : int, optional
            Number of a CUDA device; the CPU if not given.

        Raises
        ------
        CaffeAbortError
            If Caffe refuses the network.
        EngineError
            If the blobs do not fit, or a file is missing.
        """
        header: dict[str, Any] = {"verb": "load", "prototxt": prototxt, "phase": phase, "gpu": gpu}
        header["input_shapes"] = {k: [int(d) for d in v] for k, v in (inputs or {}).items()}
        arrays: list[tuple[Any, np.ndarray]] = []
        if isinstance(weights, (str, os.PathLike)):
            header["caffemodel"] = os.path.abspath(weights)
        elif weights is not None:
            arrays = [([layer, i], blob) for layer, blobs in weights.items() for i, blob in enumerate(blobs)]
        reply, _ = self._request(header, arrays)
        return {name: tuple(shape) for name, shape in reply["outputs"].items()}

    def run(self, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        """Run the loaded network; ``forward_seconds`` then holds the time of Caffe's forward alone, without the pipe.

        Parameters
        ----------
        inputs : mapping of str to ndarray
            Caffe's blobs; another shape than the last reshapes the net.
        outputs : sequence of str, optional
            Any blobs; the net's outputs if not given.

        Raises
        ------
        CaffeAbortError, EngineError
        """
        header = {"verb": "run", "outputs": list(outputs) if outputs is not None else None}
        reply, arrays = self._request(header, list(inputs.items()))
        self.forward_seconds = float(reply["forward_seconds"])
        return {entry["name"]: array for entry, array in zip(reply["arrays"], arrays, strict=True)}

    def time(self, *, backward: bool, layers: bool) -> dict[str, Any]:
        """Run one iteration of the loaded network on its blobs as they are, and return what the worker measured.

        Returns
        -------
        dict
            ``forward_seconds``, ``backward_seconds`` (None without), ``memory_peak_bytes`` (of the worker, None where
            the system does not tell), and with ``layers`` those times are sums over ``layers``: a list of
            (name, type, forward seconds, backward seconds or None).

        Raises
        ------
        CaffeAbortError, EngineError
        """
        reply, _ = self._request({"verb": "time", "backward": backward, "layers": layers}, [])
        return reply

    def close(self) -> None:
        """End the worker."""
        process, self._process = self._process, None
        if process is not None:
            self._finalizer.detach()
            _end(process, self._scratch)

    def __enter__(self) -> CaffeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        env = dict(os.environ)
        env.setdefault("GLOG_minloglevel", "2")
        if self.threads:
            env.update({f"{blas}_NUM_THREADS": str(self.threads) for blas in ("OPENBLAS", "OMP", "MKL")})
        # A network that Caffe refuses ends the worker's child before Python can delete what it wrote for Caffe to read.
        scratch = tempfile.TemporaryDirectory(prefix="caffezoo-caffe-", ignore_cleanup_errors=True)
        env["TMPDIR"] = scratch.name
        with tempfile.TemporaryFile() as stderr:
            try:
                process = subprocess.Popen(
                    [self.python, "-u", str(WORKER)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    bufsize=0,
                    env=env,
                    start_new_session=True,
                )
            except OSError as error:
                scratch.cleanup()
                raise EngineUnavailableError(f"cannot start {self.python}: {error}", where="engine caffe") from None
            self._process = process
            self._scratch = scratch
            self._finalizer = weakref.finalize(self, _end, process, scratch)
            try:
                hello, _ = self._reply(self.start_timeout_s)
            except EngineError as error:
                self.close()
                stderr.seek(0)
                lines = stderr.read().decode("utf-8", "replace").strip().splitlines()
                # A program that speaks otherwise may only complain of our hanging up.
                reason = lines[-1] if lines and not isinstance(error, _ForeignSpeechError) else error.message
                raise EngineUnavailableError(
                    f"{self.python} has no working pycaffe: {reason}", where="engine caffe", hint=HINT
                ) from None
        self.version = str(hello["version"])
        self.python_version = str(hello["python"])
        self.layer_types = frozenset(hello["layer_types"])

    def _request(
        self, header: dict[str, Any], arrays: Sequence[tuple[Any, np.ndarray]]
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        if self._process is None:
            self._start()
        assert self._process is not None
        flat = [(name, np.asarray(a, np.float32)) for name, a in arrays]
        header["arrays"] = [{"name": name, "shape": list(a.shape)} for name, a in flat]
        text = json.dumps(header).encode()
        stdin = self._process.stdin
        assert stdin is not None
        try:
            _write(stdin, struct.pack(">I", len(text)) + text)
            for _, array in flat:
                _write(stdin, np.ascontiguousarray(array, "<f4").reshape(-1).view(np.uint8).data)
            reply, found = self._reply(self.timeout_s)
        except (BrokenPipeError, EOFError):
            self.close()
            raise EngineError("Caffe's process has gone", where="engine caffe") from None
        except EngineError:
            self.close()
            raise
        if reply["status"] == "abort":
            raise CaffeAbortError(abort_message(reply["log"], reply["signal"]), where="Caffe")
        if reply["status"] == "error":
            raise EngineError(str(reply["message"]), where="Caffe")
        return reply, found

    def _reply(self, timeout_s: float) -> tuple[dict[str, Any], list[np.ndarray]]:
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)

            def read(size: int) -> bytearray:
                data = bytearray(size)
                done = 0
                while done < size:
                    if not selector.select(max(0.0, deadline - time.monotonic())):
                        raise EngineError(f"no answer in {timeout_s:g} s", where="engine caffe")
                    count = os.readv(self._process.stdout.fileno(), [memoryview(data)[done:]])  # type: ignore[union-attr]
                    if not count:
                        raise EngineError("Caffe's process has gone", where="engine caffe")
                    done += count
                return data

            (size,) = struct.unpack(">I", read(4))
            if size > MAX_HEADER_BYTES:
                raise _ForeignSpeechError
            try:
                header: dict[str, Any] = dict(json.loads(read(size)))
            except ValueError:
                raise _ForeignSpeechError from None
            arrays = []
            for entry in header.get("arrays", ()):
                count = int(np.prod(entry["shape"], dtype=np.int64))
                arrays.append(np.frombuffer(read(4 * count), "<f4").reshape(entry["shape"]))
        return header, arrays


def _write(pipe: IO[bytes], data: bytes | memoryview) -> None:
    view = memoryview(data)
    while len(view):
        view = view[pipe.write(view) :]


def _end(process: subprocess.Popen[bytes], scratch: tempfile.TemporaryDirectory[str]) -> None:
    """Close the pipes, which ends an idle worker at once, kill one that is still busy, and remove its files."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    scratch.cleanup()
