"""Passes over any number of samples, in batches."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from caffezoo.pycaffe.blob import Blob


class NetBatches:
    """The part of a Net that runs batch after batch."""

    blobs: OrderedDict[str, Blob]

    @property
    def inputs(self) -> list[str]:
        raise NotImplementedError

    @property
    def outputs(self) -> list[str]:
        raise NotImplementedError

    def forward(
        self, blobs: Iterable[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Any
    ) -> dict[str, np.ndarray]:
        """See :class:`caffezoo.pycaffe.net.Net`."""
        raise NotImplementedError

    def backward(
        self, diffs: Iterable[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Any
    ) -> dict[str, np.ndarray]:
        """See :class:`caffezoo.pycaffe.net.Net`."""
        raise NotImplementedError

    def forward_all(self, blobs: Iterable[str] | None = None, **kwargs: Any) -> dict[str, np.ndarray]:
        """Run any number of samples, in batches; return a copy of each wanted blob with one row a sample."""
        found: dict[str, list[np.ndarray]] = {}
        count = len(next(iter(kwargs.values())))
        for batch in self._batches(kwargs):
            for name, values in self.forward(blobs, None, None, **batch).items():
                found.setdefault(name, []).extend(values.copy())
        return {name: np.asarray(rows)[:count] for name, rows in found.items()}

    def forward_backward_all(
        self, blobs: Iterable[str] | None = None, diffs: Iterable[str] | None = None, **kwargs: Any
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Run any number of samples forward and backward, in batches; inputs and gradients of outputs by name."""
        inputs = {name: values for name, values in kwargs.items() if name in self.inputs}
        gradients = {name: values for name, values in kwargs.items() if name in self.outputs}
        count = len(next(iter(inputs.values())))
        there: dict[str, list[np.ndarray]] = {}
        back: dict[str, list[np.ndarray]] = {}
        for batch, above in zip(self._batches(inputs), self._batches(gradients, count), strict=True):
            for name, values in self.forward(blobs, None, None, **batch).items():
                there.setdefault(name, []).extend(values.copy())
            for name, values in self.backward(diffs, None, None, **above).items():
                back.setdefault(name, []).extend(values.copy())
        return (
            {name: np.asarray(rows)[:count] for name, rows in there.items()},
            {name: np.asarray(rows)[:count] for name, rows in back.items()},
        )

    def _batches(self, values: Mapping[str, Any], count: int | None = None) -> Iterator[dict[str, np.ndarray]]:
        """Yield full batches; the last is filled up with zeros."""
        count = count if count is not None else len(next(iter(values.values())))
        size = next(iter(self.blobs.values())).shape[0]
        for start in range(0, count, size):
            batch = {}
            for name, rows in values.items():
                part = np.asarray(rows[start : start + size], np.float32)
                missing = size - len(part)
                batch[name] = np.concatenate([part, np.zeros((missing, *part.shape[1:]), np.float32)])
            yield batch
