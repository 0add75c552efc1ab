"""A file for writers that do not survive an error of it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any


class SteadyFile(io.FileIO):
    """A file whose ``write`` never raises: :meth:`check` does, once the writer is done.

    PyTorch's writer of archives finishes its archive in a destructor; an error of the file there, such as a full disk,
    ends the whole process.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "wb")
        self._error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of some bytes, unless an earlier write has failed; return their number in either case."""
        view = memoryview(data).cast("B")
        done = 0
        while self._error is None and done < len(view):
            try:
                done += super().write(view[done:]) or 0
            except OSError as error:
                self._error = error
        return len(view)

    def check(self) -> None:
        """Raise the error of the first write that failed.

        Raises
        ------
        OSError
        """
        if self._error is not None:
            raise self._error
