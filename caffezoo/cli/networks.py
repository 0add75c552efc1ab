"""Which network a command means: a name of the zoo, or files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from caffezoo.errors import UsageError

if TYPE_CHECKING:
    from caffezoo.net.graph import Network
    from caffezoo.zoo.entry import NetworkEntry


def is_file(net: str) -> bool:
    """Tell a prototxt's path from a network's name."""
    return net.endswith((".prototxt", ".pt", ".txt")) or Path(net).is_file()


def open_network(net: str, index: Path | None = None) -> tuple[Network, NetworkEntry | None]:
    """Return the network of a prototxt file, or of a name in the index with its entry; without weights."""
    from caffezoo.net.graph import Network

    if is_file(net):
        return Network.load(net), None
    from caffezoo.zoo.index import load_index

    entry = load_index(index).network(net)
    return Network.load(entry.prototxt_path), entry


def open_with_weights(net: str, weights: Path | None, index: Path | None = None) -> Network:
    """Return a network with its weights: from a file, or fetched by the entry's sources."""
    network, entry = open_network(net, index)
    if weights is not None:
        return network.with_weights_file(weights)
    if entry is None:
        raise UsageError("a prototxt file needs --weights FILE")
    from caffezoo.cli.progress import fetch_with_progress

    return network.with_weights_file(fetch_with_progress(entry))
