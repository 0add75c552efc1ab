"""How a network is exported, and what all formats share: sizes, and the source that they are held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffezoo.engines.registry import DEFAULT_ENGINE, create_engine
from caffezoo.errors import EngineUnavailableError, LoweringError
from caffezoo.net.graph import Network
from caffezoo.net.transform import Transform

Blobs = dict[str, np.ndarray]

WHOLE_BYTES = 256 << 20
"""Up to this size what was written is run whole: a runtime that reads an ONNX file holds its weights two or three
times. The weights of a larger file are held against the network's, value by value, and run from there."""


@dataclass(frozen=True)
class ExportOptions:
    """How a network is exported.

    Attributes
    ----------
    outputs : tuple of str
        Blobs to return.
    folded : bool
        Whether batch norm is folded first, where that is exact.
    batch : int or None
        The model's fixed batch size; free where it is None.
    opset : int or None
        Of ONNX; 17 where it is None.
    transform : Transform or None
        Preprocessing inside the model: its input is then (N, height, width, 3), uint8.
    reverse : bool
        With a transform: the input is B, G, R and the network wants R, G, B.
    """

    outputs: tuple[str, ...]
    folded: bool = True
    batch: int | None = None
    opset: int | None = None
    transform: Transform | None = None
    reverse: bool = False


def is_large(file: Path) -> bool:
    """Whether a file is above ``WHOLE_BYTES``."""
    return file.stat().st_size > WHOLE_BYTES


def run_network(
    network: Network, outputs: Sequence[str], inputs: Blobs, *, transform: Transform | None = None
) -> Blobs:
    """Run a network on a batch in the default engine, or in another that is here."""
    batch = len(next(iter(inputs.values())))
    options: dict[str, Any] = {"batch_size": batch, "outputs": list(outputs), "transform": transform}
    try:
        engine = create_engine(DEFAULT_ENGINE, network, **options)
    except (EngineUnavailableError, LoweringError):
        engine = create_engine("torch", network, **options)
    with engine:
        return engine.run(inputs)
