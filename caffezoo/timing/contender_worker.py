"""The child of :class:`~caffezoo.timing.contender.Contender`: loads one network into one engine, and runs it when told.

Messages are pickles behind their length, both ways; only the parent that started this process writes to it. What
runtimes print goes to standard error, so that it is no reply.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
import time
from typing import IO, Any, BinaryIO

LENGTH = struct.Struct(">Q")


def send(pipe: IO[bytes], message: Any) -> None:
    """Write one message."""
    content = pickle.dumps(message, protocol=5)
    pipe.write(LENGTH.pack(len(content)))
    pipe.write(content)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Any:
    """Return the next message; EOFError where there is none, or a part of one."""
    head = pipe.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (size,) = LENGTH.unpack(head)
    content = pipe.read(size)
    if len(content) < size:
        raise EOFError
    return pickle.loads(content)


def serve(requests: BinaryIO, replies: BinaryIO) -> None:
    """Load what the first messages say, then run a block at every further one, until there are none."""
    from caffezoo.errors import ZooError
    from caffezoo.net.own_layers import load_layers
    from caffezoo.net.python_code import run_code_of

    first = receive(requests)
    try:
        for file in first["layer_files"]:  # before a network that holds their layers is unpickled
            load_layers(file)
        run_code_of(first["python_folders"])
        source, settings = receive(requests)
        start = time.perf_counter()
        subject = _open(source, settings)
    except ZooError as error:
        send(replies, _told(error))
        return
    with subject:
        facts = ("version", "device", "precision", "threads", "memory_peak_bytes")
        send(replies, {**{name: getattr(subject, name) for name in facts}, "load_seconds": time.perf_counter() - start})
        while True:
            try:
                block = receive(requests)
            except EOFError:
                return
            try:
                send(replies, _block(subject, **block))
            except ZooError as error:
                send(replies, _told(error))


def _told(error: Any) -> dict[str, Any]:
    """Return an error as a message: not every class of them can be unpickled."""
    return {"error": type(error), "message": error.message, "where": error.where, "hint": error.hint}


def _open(source: Any, settings: Any) -> Any:
    from caffezoo.timing.networks import Job
    from caffezoo.timing.subjects import CaffeSubject, EngineSubject

    if hasattr(source, "open_subject"):
        return source.open_subject(settings)
    network = source.load() if isinstance(source, Job) else source
    return (CaffeSubject if settings.engine == "caffe" else EngineSubject)(network, settings)


def _block(subject: Any, seconds: float, least: int, dropped: int) -> list[float]:
    """Return the seconds of every call of a block, those that are to be dropped first."""
    found: list[float] = [subject.whole()[0] for _ in range(dropped)]
    start = time.perf_counter()
    while len(found) < dropped + least or time.perf_counter() - start < seconds:
        found.append(subject.whole()[0])
    return found


def main() -> None:
    """Serve the parent on standard input and output."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)
