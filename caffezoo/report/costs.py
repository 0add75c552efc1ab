"""Costs and depths of networks, computed once: a cache keyed by the prototxt's content, the input size and the code
that counts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from caffezoo.errors import ZooError
from caffezoo.formats.image_size import Size
from caffezoo.zoo.resources import cache_dir

if TYPE_CHECKING:
    from caffezoo.net.graph import Network

Wanted = tuple[Path, int | str]
_FIELDS = ("parameters", "blob_elements", "macs", "activations", "depth")


def network_costs(
    wanted: Iterable[Wanted], progress: Callable[[int, int], None] | None = None
) -> dict[Wanted, dict[str, int] | ZooError]:
    """Cost of one image through each prototxt at an input size.

    Parameters
    ----------
    wanted : iterable of (path, int or str)
        Prototxts, and the size of the input in px (``112x96`` where it is not square).
    progress : callable, optional
        Called with (done, all) before each network that is not in the cache, and when all are done.

    Returns
    -------
    dict
        ``parameters``, ``blob_elements``, ``macs`` and ``activations`` (see :class:`caffezoo.net.cost.Cost`) and
        ``depth`` (see :func:`caffezoo.report.depth.network_depth`), or the error that the prototxt gives.
    """
    wanted = list(wanted)
    file = cache_dir() / "costs.json"
    kept = _read(file)
    code = _code_stamp()
    keys = {item: key for item in wanted if (key := _key(item, code)) is not None}
    missing = [item for item in wanted if keys.get(item) not in kept]
    result: dict[Wanted, dict[str, int] | ZooError] = {}
    fresh: dict[str, dict[str, int]] = {}
    for done, item in enumerate(missing):
        if progress:
            progress(done, len(missing))
        try:
            fresh[keys[item]] = _cost(*item)
        except ZooError as error:
            result[item] = error
    if progress and missing:
        progress(len(missing), len(missing))
    if fresh:
        current = {key: value for key, value in kept.items() if key.startswith(code)}
        _write(file, {**current, **fresh})
    for item in wanted:
        if item not in result:
            result[item] = {**kept, **fresh}[keys[item]]
    return result


def keep_costs(found: Mapping[Wanted, dict[str, int]]) -> None:
    """Put costs that were computed by ``cost_of`` into the cache."""
    file = cache_dir() / "costs.json"
    code = _code_stamp()
    fresh = {key: cost for item, cost in found.items() if (key := _key(item, code)) is not None}
    current = {key: value for key, value in _read(file).items() if key.startswith(code)}
    if not fresh.keys() <= current.keys():
        _write(file, {**current, **fresh})


def cost_of(network: Network) -> dict[str, int]:
    """Cost and depth of a network, at its shapes, as :func:`network_costs` returns them."""
    from caffezoo.net.cost import network_cost
    from caffezoo.report.depth import network_depth

    return {**asdict(network_cost(network)), "depth": network_depth(network)}


def _cost(prototxt: Path, size: int | str) -> dict[str, int]:
    from caffezoo.net.graph import Network

    return cost_of(Network.load(prototxt).resized(*Size.of(size), batch=1))


def _code_stamp() -> str:
    """A stamp of the modules that count: a change of any of them makes the cache old."""
    stamp = hashlib.sha256()
    package = Path(__file__).parent.parent
    net = package / "net"
    counting = [package / "report" / "depth.py", net / "cost.py", net / "graph.py", net / "layer.py"]
    for file in sorted([*counting, *(net / "layers").glob("*.py")]):
        status = file.stat()
        stamp.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return stamp.hexdigest()[:16]


def _key(item: Wanted, code: str) -> str | None:
    prototxt, size = item
    try:
        return f"{code}-{hashlib.sha256(prototxt.read_bytes()).hexdigest()}-{size}"
    except OSError:
        return None


def _read(file: Path) -> dict[str, dict[str, int]]:
    try:
        kept = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return {key: value for key, value in kept.items() if _is_cost(value)} if isinstance(kept, dict) else {}


def _is_cost(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(field), int) for field in _FIELDS)


def _write(file: Path, kept: dict[str, dict[str, int]]) -> None:
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(kept), encoding="utf-8")
        temporary.replace(file)
    except OSError:
        with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
            temporary.unlink()
