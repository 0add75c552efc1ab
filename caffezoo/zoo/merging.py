"""From the documents of index files to checked tables: merging, and errors that say where.

Order of trust, per key: the user's network, the built-in network, the user's family defaults, the built-in family
defaults. Tables merge key by key, lists and scalars are replaced. Every message names the file and line of the key it
is about, also where that key came from a family.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError

from caffezoo.errors import IndexFileError
from caffezoo.zoo.document import Document, Path, read_document
from caffezoo.zoo.entry import NetworkEntry
from caffezoo.zoo.index import fold
from caffezoo.zoo.schema import IndexFile

Record = dict[str, Any]


def checked_tables(files: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    """Read, merge and check index files.

    Parameters
    ----------
    files : iterable of (name, content)
        The built-in file first, a user's file over it.

    Returns
    -------
    dict
        ``sources``, ``families``, ``networks`` (plain data, families merged in) and ``own``, the names of the
        networks that files after the first speak of.

    Raises
    ------
    IndexFileError
        The first fault, in the order of the files.
    """
    documents = [read_document(content, name) for name, content in files]
    for document in documents:
        _check_outline(document)
    tables: dict[str, Any] = {"sources": {}, "families": {}, "networks": {}}
    for document in documents:
        for table in tables:
            tables[table] = merged(tables[table], document.data.get(table) or {})
    places = _Places(documents)
    for name, record in tables["networks"].items():
        tables["networks"][name] = _check_network(name, record, tables, places)
    _check_spellings(tables["networks"], places)
    tables["own"] = [n for n in tables["networks"] if any(n in (d.data.get("networks") or {}) for d in documents[1:])]
    return tables


def merged(under: Any, over: Any) -> Any:
    """`over` laid over `under`: mappings key by key, anything else replaced."""
    if not (isinstance(under, dict) and isinstance(over, dict)):
        return over
    result = dict(under)
    for key, value in over.items():
        result[key] = merged(under[key], value) if key in under else value
    return result


class _Places:
    """Finds the file and line of a key after merging."""

    def __init__(self, documents: list[Document]) -> None:
        self.documents = documents[::-1]

    def of(self, roots: Sequence[Path], path: Path) -> str:
        """``file:line`` of the deepest part of ``root + path`` that a file holds; earlier roots and the user's file
        win ties.

        A list is never merged: the first file that holds it holds all of it.
        """
        listed = next((i for i, step in enumerate(path) if isinstance(step, int)), None)
        best, deepest = "", -1
        for root in roots:
            for document in self.documents:
                line, depth = document.line_of((*root, *path))
                held = depth - len(root)
                if held > deepest:
                    best, deepest = f"{document.name}:{line}", held
                if listed is not None and held >= listed:
                    return best
        return best


def _check_outline(document: Document) -> None:
    if not isinstance(document.data, dict):
        raise IndexFileError("must be a mapping with `version`, `families` and `networks`", where=document.name)
    try:
        IndexFile.model_validate(document.data)
    except ValidationError as error:
        raise _fault(error, (), _Places([document]), [()]) from None


def _check_network(name: str, record: Record, tables: dict[str, Any], places: _Places) -> Record:
    context = f"in network '{name}'"
    own: Path = ("networks", name)
    family = record.get("family")
    if not isinstance(family, str) or family not in tables["families"]:
        what = f"family: unknown family {family!r}" if "family" in record else "key 'family' is missing"
        raise IndexFileError(
            f"{what}{_near(str(family), tables['families'])}", where=f"{places.of([own], ('family',))}: {context}"
        )
    if "name" in record:
        raise IndexFileError(
            "key 'name' is unknown: the key above is the name", where=f"{places.of([own], ('name',))}: {context}"
        )
    whole: Record = merged(tables["families"][family].get("defaults") or {}, record)
    theirs: Path = ("families", family, "defaults")
    try:
        NetworkEntry.model_validate({**whole, "name": name})
    except ValidationError as error:
        raise _fault(error, (context,), places, [own, theirs]) from None
    for path, source in _sources(whole, ()):
        if source not in tables["sources"]:
            where = ": ".join([places.of([own, theirs], path), context, *_steps(path[:-1])])
            raise IndexFileError(f"source: unknown source '{source}'{_near(source, tables['sources'])}", where=where)
    return whole


def _check_spellings(networks: dict[str, Record], places: _Places) -> None:
    owners: dict[str, tuple[str, str]] = {}
    for name, record in networks.items():
        spellings: list[tuple[str, Path]] = [(name, ())]
        spellings += [(alias, ("aliases", i)) for i, alias in enumerate(record.get("aliases", ()))]
        said: set[str] = set()
        for spelling, path in spellings:
            owner, first = owners.setdefault(fold(spelling), (name, spelling))
            if owner != name or spelling in said:
                where = f"{places.of([('networks', name)], path)}: in network '{name}'"
                raise IndexFileError(
                    f"name or alias '{spelling}' is already '{first}' of network '{owner}'", where=where
                )
            said.add(spelling)


def _sources(node: Any, path: Path) -> Iterable[tuple[Path, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "source":
                yield (*path, key), value
            elif isinstance(value, dict | list):
                yield from _sources(value, (*path, key))
    else:
        for i, value in enumerate(node):
            if isinstance(value, dict | list):
                yield from _sources(value, (*path, i))


def _steps(path: Path) -> list[str]:
    """``('preprocessing', 'small')`` -> ``['in preprocessing', 'in small']``; list positions in brackets."""
    steps: list[str] = []
    for step in path:
        if isinstance(step, int) and steps:
            steps[-1] += f"[{step}]"
        else:
            steps.append(f"in {step}")
    return steps


def _near(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; did you mean {', '.join(close)}?" if close else ""


def _fault(error: ValidationError, context: tuple[str, ...], places: _Places, roots: list[Path]) -> IndexFileError:
    faults = error.errors(include_url=False, include_context=False)
    first = faults[0]
    # A default of pydantic's own, such as the [key] of a mapping, is no step of the file.
    path: Path = tuple(step for step in first["loc"] if step != "[key]")
    kind, message = first["type"], first["msg"]
    if kind in ("missing", "extra_forbidden"):
        verb = "is missing" if kind == "missing" else "is unknown"
        message = f"value {path[-1] + 1} {verb}" if isinstance(path[-1], int) else f"key '{path[-1]}' {verb}"
        steps = _steps(path[:-1])
    else:
        message = message.removeprefix("Value error, ")
        if path and isinstance(path[-1], str):
            steps, message = _steps(path[:-1]), f"{path[-1]}: {message}"
        else:
            steps = _steps(path)
        if isinstance(first["input"], str | int | float | bool) and kind != "value_error":
            message += f", not {str(first['input'])[:80]!r}"
    where = ": ".join([places.of(roots, path), *context, *steps])
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return IndexFileError(message + more, where=where)
