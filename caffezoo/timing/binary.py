"""Caffe's own ``caffe time``, run on a network's plain form and followed while it works."""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from caffezoo.errors import EngineError, EngineUnavailableError
from caffezoo.formats.prototxt import write_prototxt
from caffezoo.net.graph import Network
from caffezoo.timing.caffe_log import CaffeTimeLog, CaffeTimes
from caffezoo.timing.training_form import training_form

VERSION_TIMEOUT_S = 20.0
MAX_LINE_BYTES = 1 << 20


def find_caffe(caffe: str) -> str:
    """Return the path of the ``caffe`` program.

    Raises
    ------
    EngineUnavailableError
        If there is none, or it cannot be run.
    """
    found = shutil.which(os.path.expanduser(caffe))
    if found is None:
        reason = "cannot be run" if Path(caffe).expanduser().exists() else "no such program"
        raise EngineUnavailableError(
            f"{reason}: {caffe}", where="--caffe", hint="give the path of Caffe's tool `caffe`"
        )
    return found


def caffe_version(caffe: str) -> str:
    """Return what ``caffe --version`` says, ``unknown`` if it says nothing of the kind."""
    try:
        done = subprocess.run([caffe, "--version"], capture_output=True, timeout=VERSION_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    found = re.search(rb"caffe version (\S+)", done.stdout + done.stderr)
    return found[1].decode("ascii", "replace") if found else "unknown"


def run_caffe_time(
    caffe: str,
    network: Network,
    *,
    iterations: int,
    gpu: int | None = None,
    threads: int | None = None,
    timeout_s: float = 600.0,
    on_progress: Callable[[int, int], None] | None = None,
) -> CaffeTimes:
    """Time a network, at its own input shapes, with the real program.

    Caffe fills the layers with their fillers' values: ``caffe time`` reads no weights.

    Parameters
    ----------
    caffe : str
        From :func:`find_caffe`.
    network : Network
        Without weights is enough.
    timeout_s : float
        After so many seconds the program is killed.
    on_progress : callable, optional
        Called with (iterations done, planned) after every line of the log.

    Raises
    ------
    CaffeAbortError
        If Caffe stops; the message is one line.
    EngineError
        If it hangs, or its log is none of ``caffe time``.
    """
    net, _ = training_form(network)
    env = {**os.environ, "GLOG_logtostderr": "1", "GLOG_minloglevel": "0"}
    if threads:
        env.update({f"{blas}_NUM_THREADS": str(threads) for blas in ("OPENBLAS", "OMP", "MKL")})
    with tempfile.TemporaryDirectory(prefix="caffezoo-") as folder:
        model = Path(folder, "network.prototxt")
        model.write_text(write_prototxt(net), encoding="utf-8")
        command = [caffe, "time", "-model", str(model), "-iterations", str(iterations), "-phase", "TEST"]
        if gpu is not None:
            command += ["-gpu", str(gpu)]
        log, returncode = _follow(command, env, timeout_s, on_progress)
    return log.times(returncode)


def _follow(
    command: list[str], env: dict[str, str], timeout_s: float, on_progress: Callable[[int, int], None] | None
) -> tuple[CaffeTimeLog, int]:
    """Run a command and read its log line by line; kill it, and all that it started, when time is up."""
    log = CaffeTimeLog()
    deadline = time.monotonic() + timeout_s
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
    except OSError as error:
        raise EngineUnavailableError(f"cannot start {command[0]}: {error.strerror}", where="--caffe") from None
    assert process.stdout is not None
    pending = b""
    try:
        with selectors.DefaultSelector() as selector, process.stdout as stream:
            selector.register(stream, selectors.EVENT_READ)
            while True:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise _hangs(log, timeout_s)
                chunk = os.read(stream.fileno(), 1 << 16)
                *lines, pending = (pending + chunk).split(b"\n")
                if len(pending) > MAX_LINE_BYTES:
                    raise EngineError(f"it prints a line of more than {MAX_LINE_BYTES} bytes", where="caffe time")
                for line in [*lines, *([pending] if not chunk and pending else [])]:
                    log.feed(line.decode("utf-8", "replace"))
                    if on_progress is not None:
                        on_progress(log.done, log.planned)
                if not chunk:
                    break
        return log, process.wait(max(1.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise _hangs(log, timeout_s) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _hangs(log: CaffeTimeLog, timeout_s: float) -> EngineError:
    said = f"; its last line: {log.last_line}" if log.last_line else "; it printed nothing"
    return EngineError(f"no end in {timeout_s:g} s, killed{said}", where="caffe time", hint="give more with --timeout")
