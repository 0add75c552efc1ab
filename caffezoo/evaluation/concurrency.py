"""How an evaluation spreads over the cores: threads that decode, batches under way, and how large those are."""

from __future__ import annotations

import os
from typing import Any

from caffezoo.evaluation.protocol import Protocol

MOST_WORKERS, MOST_STREAMS = 32, 8


def cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """Threads that decode: one for each core, since the fastest networks take less time than decoding."""
    return max(2, min(MOST_WORKERS, cores()))


def default_streams(engine: str, threads: int | None = None) -> int:
    """Batches under way at a time: one for each core where the engine can.

    Two streams of one thread take an eighth less of the cores' time than one of two threads (ResNet-50, batch 8): no
    thread waits for another one at the end of each layer, and decoding comes in between where it fits.
    """
    from caffezoo.engines.registry import engine_class

    return min(MOST_STREAMS, threads or cores()) if engine_class(engine).takes_streams else 1


def batches_for(
    protocol: Protocol, images: int, engine: str, *, batch_size: int, streams: int | None, threads: int | None
) -> dict[str, Any]:
    """Return the batch size and the streams that suit a number of images.

    A few views are one batch, in which all threads compute; more are spread evenly over the streams, since a batch that
    is not full may take as long as a full one.

    Parameters
    ----------
    protocol : Protocol
    images : int
    engine : str
    batch_size : int
        At most.
    streams : int or None
        None: :func:`default_streams`, or fewer.
    threads : int or None

    Returns
    -------
    dict
        ``batch_size`` and ``streams``, as :func:`caffezoo.evaluation.classifier.open_classifier` takes them.
    """
    views = max(1, images * protocol.distinct_views)
    batch_size = min(batch_size, views)
    if streams is None:
        streams = max(1, min(default_streams(engine, threads), views // batch_size))
    rounds = -(-views // (batch_size * streams))
    return {"batch_size": -(-views // (rounds * streams)), "streams": streams}
