"""The deploy prototxts on disk: written from their generators, and compared with them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from caffezoo.errors import UnknownNameError, UsageError
from caffezoo.zoo.architectures.registry import Architecture, architectures

PROTOTXT_FOLDER = "prototxt"


@dataclass(frozen=True)
class Comparison:
    """How files differ from their generators; paths below the root, with forward slashes.

    Attributes
    ----------
    differing, missing : tuple of str
        Files whose text is another, and files that are not there.
    stray : tuple of str
        Prototxts that no generator writes.
    same : int
        Number of files that are as generated.
    """

    differing: tuple[str, ...]
    missing: tuple[str, ...]
    stray: tuple[str, ...]
    same: int

    @property
    def faults(self) -> int:
        return len(self.differing) + len(self.missing) + len(self.stray)


def select(patterns: Sequence[str] = ()) -> list[Architecture]:
    """Return the architectures whose name matches one of the shell patterns; all of them without a pattern.

    A pattern that matches no name may be an alias or a variant spelling of the index (``dpn92``).

    Raises
    ------
    UnknownNameError
        A pattern matches nothing; it carries the nearest names.
    """
    known = architectures()
    paths = {path for pattern in patterns for path in _paths(pattern)} if patterns else set(known)
    return [item for path, item in known.items() if path in paths]


def _paths(pattern: str) -> list[str]:
    known = architectures()
    if found := [path for path, item in known.items() if fnmatchcase(item.name, pattern)]:
        return found
    from caffezoo.zoo.index import load_index

    index = load_index()
    path = index.record(pattern)["prototxt"] if pattern in index else None
    if path not in known:
        raise UnknownNameError("network with a generator", pattern, [item.name for item in known.values()])
    return [path]


def compare(root: Path, wanted: Iterable[Architecture], *, stray: bool = False) -> Comparison:
    """Compare the files below ``root`` with what their generators write now.

    Parameters
    ----------
    root : Path
        Folder that holds ``prototxt/``.
    wanted : iterable of Architecture
    stray : bool
        Look for prototxts that no generator writes, too.
    """
    differing, missing, same = [], [], 0
    for item in wanted:
        path = root / item.path
        if not path.is_file():
            missing.append(item.path)
        elif path.read_bytes() != item.build().to_prototxt().encode():
            differing.append(item.path)
        else:
            same += 1
    strays = stray_files(root) if stray else []
    return Comparison(tuple(differing), tuple(missing), tuple(strays), same)


def stray_files(root: Path) -> list[str]:
    """Return the prototxts below ``root`` that no generator writes, in order of path."""
    known = architectures()
    found = (p.relative_to(root).as_posix() for p in (root / PROTOTXT_FOLDER).rglob("*.prototxt"))
    return sorted(p for p in found if p not in known)


def write(root: Path, wanted: Iterable[Architecture]) -> list[str]:
    """Write the prototxts below ``root``; return the paths of those that were not as generated.

    A file is replaced in one step, and left alone where nothing changes.

    Raises
    ------
    UsageError
        The folder cannot be written.
    """
    written = []
    for item in wanted:
        path, text = root / item.path, item.build().to_prototxt().encode()
        try:
            if path.is_file() and path.read_bytes() == text:
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(path.name + ".part")
            draft.write_bytes(text)
            os.replace(draft, path)
        except OSError as error:
            raise UsageError(f"cannot write: {error.strerror or error}", where=str(path)) from None
        written.append(item.path)
    return written
