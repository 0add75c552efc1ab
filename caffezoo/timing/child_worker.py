"""The child's side of :class:`~caffezoo.timing.child.Child`.

Messages are pickles behind their length, both ways; only the parent that started this process writes to it. What
runtimes print goes to standard error, so that it is no reply.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import sys
from collections.abc import Generator, Iterator
from typing import IO, Any, BinaryIO, cast

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
    """Call what the second message says: a function whose result is the reply, or one that serves further messages."""
    from caffezoo.errors import ZooError
    from caffezoo.net.own_layers import load_layers
    from caffezoo.net.python_code import run_code_of

    first = receive(requests)
    try:
        for file in first["layer_files"]:  # before a network that holds their layers is unpickled
            load_layers(file)
        run_code_of(first["python_folders"])
        function, arguments = receive(requests)
        found = function(*arguments)
        if not isinstance(found, Iterator):
            send(replies, found)
            return
        send(replies, next(found))
    except ZooError as error:
        send(replies, _told(error))
        return
    with contextlib.closing(cast("Generator[Any, Any, None]", found)) as server:
        while True:
            try:
                request = receive(requests)
            except EOFError:
                return
            try:
                send(replies, server.send(request))
            except ZooError as error:
                send(replies, _told(error))


def _told(error: Any) -> dict[str, Any]:
    """Return an error as a message: not every class of them can be unpickled."""
    return {"error": type(error), "message": error.message, "where": error.where, "hint": error.hint}


def main() -> None:
    """Serve the parent on standard input and output."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)
