"""Reading and writing recordings: JSON whose numbers are the shortest text of a float32, so that nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np


def pack(array: np.ndarray) -> dict[str, Any]:
    """Return an array as JSON holds it."""
    return {"shape": list(array.shape), "values": [float(str(v)) for v in array.astype(np.float32).ravel()]}


def unpack(record: dict[str, Any]) -> np.ndarray:
    """Return the array of :func:`pack`, bit for bit."""
    return np.array(record["values"], np.float32).reshape(record["shape"])


def write(path: Path, record: Any) -> None:
    """Write a recording, one short line a case."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, allow_nan=False, separators=(",", ":")).replace("},{", "},\n{") + "\n")


def read(path: Path) -> Any:
    """Read a recording."""
    return json.loads(path.read_text())
