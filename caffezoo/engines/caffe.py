"""Real Caffe, in a worker process of whichever Python has pycaffe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from caffezoo.engines.base import Engine, Installation
from caffezoo.engines.caffe_process import CaffeProcess
from caffezoo.errors import PrecisionError
from caffezoo.formats.prototxt import write_prototxt
from caffezoo.net.graph import Network
from caffezoo.net.plain import to_plain
from caffezoo.net.transform import Transform, to_blob


class CaffeEngine(Engine):
    """See :class:`~caffezoo.engines.base.Engine`.

    The network is given to Caffe in BVLC's own layers, so that layers of forks run on stock Caffe.

    Parameters
    ----------
    caffe_python : str, optional
        Python that has pycaffe; ``CAFFE_PYTHON`` or this one if not given.
    gpu : int, optional
        Number of a CUDA device; the CPU if not given.

    Attributes
    ----------
    forward_seconds : float
        Time of Caffe's forward in the last :meth:`run`, without the way to the process.
    """

    name = "caffe"

    def __init__(
        self,
        network: Network,
        *,
        batch_size: int | None = None,
        transform: Transform | None = None,
        outputs: Sequence[str] | None = None,
        input_dtype: str = "uint8",
        precision: str = "float32",
        threads: int | None = None,
        profile: bool = False,
        streams: int = 1,
        caffe_python: str | None = None,
        gpu: int | None = None,
    ) -> None:
        self._python = caffe_python
        self._gpu = gpu
        common: dict[str, Any] = {
            "input_dtype": input_dtype,
            "precision": precision,
            "threads": threads,
            "profile": profile,
            "streams": streams,
        }
        super().__init__(network, batch_size=batch_size, transform=transform, outputs=outputs, **common)

    @property
    def forward_seconds(self) -> float:
        return self._process.forward_seconds

    @classmethod
    def probe(cls, caffe_python: str | None = None) -> Installation:
        with CaffeProcess(caffe_python) as process:
            return Installation(process.version, (_device(process),), ("float32",))

    def _open(self, precision: str, threads: int | None) -> None:
        if self.asked_precision != "float32":
            raise PrecisionError(f"Caffe runs float32, not {self.asked_precision}", where="engine caffe")
        plain = to_plain(self.network)
        self._process = CaffeProcess(self._python, threads=threads)
        try:
            self._process.load(write_prototxt(plain.prototxt.net), plain.weights, inputs=plain.inputs, gpu=self._gpu)
        except BaseException:
            self._process.close()
            raise
        self.version = self._process.version
        self.device = _device(self._process) if self._gpu is None else f"GPU {self._gpu}"
        self.precision = precision
        self.threads = threads or 0

    def _infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if self.transform is not None:
            feed = {name: to_blob(x, self.transform) for name, x in feed.items()}
        return self._process.run(feed, self.outputs)

    def _close(self) -> None:
        self._process.close()


def _device(process: CaffeProcess) -> str:
    return f"CPU (Python {process.python_version})"
