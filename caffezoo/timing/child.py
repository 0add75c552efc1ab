"""Work in a process of its own, which ends with its parent, and can be stopped while others run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from caffezoo.errors import EngineError, ZooError
from caffezoo.timing.child_worker import receive, send

_CAN_STOP = hasattr(signal, "SIGSTOP")
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from caffezoo.timing.child_worker import main; main()"
)
"""Not by PYTHONPATH: real Caffe's Python, which may be another version, would inherit it."""
GRACE_S = 2.0
"""What a process gets to end by itself."""


class Child:
    """A process that calls a function.

    A function that is a generator first yields a greeting; then every :meth:`ask` is what its ``yield`` returns, and
    what it yields next is the answer. Layers of the user's own, and folders of Python layers, are known there as here.

    Parameters
    ----------
    function : callable
        Of a module; with its arguments it is pickled.
    *arguments
    name : str
        What messages call it.
    timeout_s : float or None
        Seconds that the greeting, or the result, and each answer may take.

    Attributes
    ----------
    greeting : object
        What the function returned, or yielded first.

    Raises
    ------
    ZooError
        What the function raised there.
    EngineError
        The process died, or did not answer in time.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any, name: str, timeout_s: float | None) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            # A group of its own can be stopped as one; in the parent's session the kernel wakes it if the parent dies.
            process_group=0 if _CAN_STOP else None,
        )
        self._finalizer = weakref.finalize(self, _end, self._process)
        try:
            own = {"layer_files": _own_layer_files(), "python_folders": _python_folders()}
            self.greeting = self._ask(own, (function, arguments))
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Of the process."""
        return int(self._process.pid)

    def ask(self, request: Any) -> Any:
        """Send a request to the generator and return its answer.

        Raises
        ------
        ZooError
        """
        return self._ask(request)

    def sleep(self) -> None:
        """Stop the process where the system can; elsewhere it waits on its pipe."""
        _signal(self._process, "SIGSTOP")

    def wake(self) -> None:
        """Let it go on."""
        _signal(self._process, "SIGCONT")

    def close(self) -> None:
        """End the process."""
        self._finalizer()
        self._errors.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, *messages: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            with self._deadline():
                for message in messages:
                    send(self._process.stdin, message)
                answer = receive(self._process.stdout)
        except (BrokenPipeError, EOFError):
            raise EngineError(self._last_words(), where=self._name) from None
        if isinstance(answer, dict) and "error" in answer:
            error: ZooError = answer["error"].__new__(answer["error"])
            ZooError.__init__(error, answer["message"], where=answer["where"], hint=answer["hint"])
            raise error
        return answer

    @contextlib.contextmanager
    def _deadline(self) -> Iterator[None]:
        """Kill the process if it does not answer in time: reading from it then ends."""
        self._late = False
        if self._timeout_s is None:
            yield
            return

        def kill() -> None:
            self._late = True
            self._process.kill()

        timer = threading.Timer(self._timeout_s, kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _last_words(self) -> str:
        if self._late:
            return f"no answer in {self._timeout_s:g} s"
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return f"its process ended: {lines[-1].strip()[:300]}" if lines else "its process ended"


def in_child(function: Callable[..., Any], *arguments: Any, name: str, timeout_s: float | None = None) -> Any:
    """Call a function in a process of its own and return its result; Ctrl-C here ends it there.

    Raises
    ------
    ZooError
    """
    with Child(function, *arguments, name=name, timeout_s=timeout_s) as child:
        return child.greeting


def _signal(process: subprocess.Popen[bytes], name: str) -> None:
    if _CAN_STOP and process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, getattr(signal, name))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the pipes, which ends a process that waits, and kill one that is busy."""
    _signal(process, "SIGCONT")
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _own_layer_files() -> list[str]:
    from caffezoo.net.own_layers import loaded_files

    return [str(file) for file in loaded_files()]


def _python_folders() -> list[str]:
    from caffezoo.net.python_code import code_folders

    return list(code_folders())
