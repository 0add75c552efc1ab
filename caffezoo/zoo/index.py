"""The index: which networks there are, and what is known of each.

``zoo_index.yaml`` is read, merged with a user's own file, merged with the families' defaults and checked as a whole;
what passed is kept as JSON in the cache folder under the hash of all that went in, so that the next start only reads
it. Entries become :class:`~caffezoo.zoo.entry.NetworkEntry` objects when they are asked for.
"""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffezoo.errors import IndexFileError, UnknownNameError
from caffezoo.zoo.resources import INDEX_NAME, MAX_INDEX_BYTES, cache_dir, data_root

if TYPE_CHECKING:
    from caffezoo.zoo.entry import NetworkEntry

Record = dict[str, Any]
Tables = dict[str, Any]
Names = list[str]
Entries = list["NetworkEntry"]

_CHECKED_BY = ("schema.py", "schema_values.py", "entry.py", "document.py", "merging.py", "index.py")


def fold(name: str) -> str:
    """The spelling that all variants of a name share: no case, no ``-``, ``_``, ``.`` or blanks."""
    return "".join(c for c in name.casefold() if c not in "-_. ")


class Index:
    """All networks by name.

    Built by :func:`load_index`. Iterating gives names in the order of the file.

    Parameters
    ----------
    sources, families, networks : mappings
        The three tables, families merged into networks.
    """

    def __init__(self, sources: Mapping[str, Record], families: Mapping[str, Record], networks: Mapping[str, Record]):
        self.sources = sources
        self.families = families
        self._records = networks
        self._by_fold: dict[str, str] = {}
        for name, record in networks.items():
            for spelling in (name, *record.get("aliases", ())):
                self._by_fold.setdefault(fold(spelling), name)
        self._entries: dict[str, NetworkEntry] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and fold(name) in self._by_fold

    @property
    def spellings(self) -> Names:
        """Every name and alias."""
        return [s for name, record in self._records.items() for s in (name, *record.get("aliases", ()))]

    def resolve(self, name: str) -> str:
        """The network's own name for a name, an alias or a variant spelling (``dpn92``, ``se_resnet50``).

        Raises
        ------
        UnknownNameError
            No such network; carries the three nearest names.
        """
        found = self._by_fold.get(fold(name))
        if found is None:
            raise UnknownNameError("network", name, self.spellings)
        return found

    def record(self, name: str) -> Mapping[str, Any]:
        """A network's plain data, as the file has it after merging, without building an entry."""
        return self._records[self.resolve(name)]

    def network(self, name: str) -> NetworkEntry:
        """A network's entry.

        Raises
        ------
        UnknownNameError
            No such network; carries the three nearest names.
        """
        own = self.resolve(name)
        if own not in self._entries:
            from caffezoo.zoo.entry import NetworkEntry

            self._entries[own] = NetworkEntry.model_validate({"name": own, **self._records[own]})
        return self._entries[own]

    def names(self, pattern: str = "*", family: str | None = None) -> Names:
        """Names of the networks whose name or alias matches a shell pattern, in the order of the file.

        Raises
        ------
        UnknownNameError
            No such family.
        """
        if family is not None and family not in self.families:
            raise UnknownNameError("family", family, self.families)
        wanted = pattern.casefold()
        return [
            name
            for name, record in self._records.items()
            if (family is None or record["family"] == family)
            and any(fnmatch.fnmatchcase(s.casefold(), wanted) for s in (name, *record.get("aliases", ())))
        ]

    def list(self, pattern: str = "*", family: str | None = None) -> Entries:
        """Entries of the networks that :meth:`names` gives."""
        return [self.network(name) for name in self.names(pattern, family)]


def load_index(path: str | os.PathLike[str] | None = None) -> Index:
    """Read the built-in index, and a user's own over it.

    Parameters
    ----------
    path : path, optional
        A user's index file; ``CAFFEZOO_INDEX`` where not given. A network of the same name is merged key by key over
        the built-in one (lists are replaced), others are added; prototxt paths are taken from the file's folder
        first.

    Raises
    ------
    IndexFileError
        A file cannot be; ``where`` carries the file, the line and the context.
    """
    own = path if path is not None else os.environ.get("CAFFEZOO_INDEX") or None
    root = data_root()
    files = [(INDEX_NAME, root / INDEX_NAME)]
    if own is not None:
        files.append((str(own), Path(own).expanduser()))
    contents = [(name, file, _content(name, file)) for name, file in files]
    tables = _recall(contents)
    if tables is None:
        from caffezoo.zoo.merging import checked_tables

        tables = checked_tables([(name, content) for name, _, content in contents])
        _remember(contents, tables)
    if own is not None:
        records = {name: tables["networks"][name] for name in tables["own"]}
        _find_prototxts(records, Path(own).expanduser().resolve().parent, root, str(own))
    return Index(tables["sources"], tables["families"], tables["networks"])


def _content(name: str, file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_INDEX_BYTES + 1)
    except OSError as error:
        raise IndexFileError(
            f"cannot be read: {error.strerror}", where=name, hint="check --index and CAFFEZOO_INDEX"
        ) from None


def _find_prototxts(records: Mapping[str, Record], folder: Path, root: Path, where: str) -> None:
    """Make a user's paths of prototxts, orders and weights absolute where they lie beside the user's file."""
    for name, record in records.items():
        order = record["labels"]["order"]
        if isinstance(order, str) and order != "other":
            if not (folder / order).is_file():
                raise IndexFileError(
                    f"labels: order: no such file: {folder / order}", where=f"{where}: in network '{name}'"
                )
            record["labels"]["order"] = str(folder / order)
        for weights in record.get("weights", ()):
            if weights.get("scheme") == "file" and (folder / weights["path"]).is_file():
                weights["path"] = str(folder / weights["path"])
        beside = folder / record["prototxt"]
        if beside.is_file():
            record["prototxt"] = str(beside)
        elif not (root / record["prototxt"]).is_file():
            raise IndexFileError(f"prototxt: no such file: {beside}", where=f"{where}: in network '{name}'")


# The cache: a checked index as JSON, keyed by the hash of the files and of the code that checks them.


def _cache_file(contents: Iterable[tuple[str, Path, bytes]]) -> Path:
    key = hashlib.sha256()
    for module in _CHECKED_BY:
        key.update((Path(__file__).parent / module).read_bytes())
    for name, _, content in contents:
        key.update(f"{name} {len(content)}\n".encode())
        key.update(content)
    return cache_dir() / "index" / f"{key.hexdigest()}.json"


def _recall(contents: list[tuple[str, Path, bytes]]) -> Tables | None:
    try:
        kept = json.loads(_cache_file(contents).read_bytes())
    except (OSError, ValueError):
        return None
    if isinstance(kept, dict) and set(kept) == {"sources", "families", "networks", "own"}:
        return kept
    return None


def _remember(contents: list[tuple[str, Path, bytes]], tables: Tables) -> None:
    file = _cache_file(contents)
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(tables, separators=(",", ":")), encoding="utf-8")
        temporary.replace(file)
    except OSError:
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
            temporary.unlink()
