"""ONNX Runtime on the CPU: the second opinion (extra ``onnxruntime``)."""

from __future__ import annotations

import json
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from caffezoo.engines.base import Engine, Installation
from caffezoo.errors import EngineError, EngineUnavailableError, PrecisionError
from caffezoo.net.onnx_arrays import serialised

KERNEL = "_kernel_time"
"""What ONNX Runtime's profile puts behind an operator's name."""


PRECISIONS = ("float32", "int8")


class ONNXRuntimeEngine(Engine):
    """See :class:`~caffezoo.engines.base.Engine`; the batch axis stays free."""

    name = "onnxruntime"

    @classmethod
    def probe(cls) -> Installation:
        return Installation(_runtime().__version__, ("CPU",), PRECISIONS)

    def _open(self, precision: str, threads: int | None) -> None:
        onnxruntime = _runtime()
        if precision not in PRECISIONS:
            raise PrecisionError(
                f"its CPU kernels run {' and '.join(PRECISIONS)}, not {precision}", where="engine onnxruntime"
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        if self.profile:
            options.enable_profiling = True
            options.profile_file_prefix = os.path.join(tempfile.gettempdir(), f"caffezoo-{os.getpid()}")
        arrays: dict[str, np.ndarray] = {}
        model = self._onnx(arrays)
        self._values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
        try:
            options.add_external_initializers(list(arrays), self._values)
            self._session = onnxruntime.InferenceSession(serialised(model), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common base
            raise EngineError(str(error).splitlines()[0][:300], where="engine onnxruntime") from None
        self._names = [port.name for port in self._session.get_outputs()]
        self.fixed_batch = any(port.shape and isinstance(port.shape[0], int) for port in self._session.get_inputs())
        self.version = onnxruntime.__version__
        self.device = "CPU"
        self.precision = precision
        self.threads = threads or 0

    def _infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            found = self._session.run(self._names, feed)
        except Exception as error:
            raise EngineError(str(error).splitlines()[0][:300], where="engine onnxruntime") from None
        # What is an input and an output at once comes back as the caller's own array.
        return {
            name: np.array(x, np.float32, copy=name in feed or None)
            for name, x in zip(self.outputs, found, strict=True)
        }

    def operator_seconds(self) -> list[tuple[str, str, float]]:
        """See :meth:`Engine.operator_seconds`; ONNX Runtime ends its profile here, so this answers once."""
        if not self.profile:
            return super().operator_seconds()
        self.profile = False
        trace = Path(self._session.end_profiling())
        try:
            events = json.loads(trace.read_bytes())
        except ValueError:
            raise EngineError("its profile is not JSON", where="engine onnxruntime") from None
        finally:
            trace.unlink(missing_ok=True)
        found: dict[tuple[str, str], list[float]] = defaultdict(list)
        for event in events:
            if event.get("cat") == "Node" and event["name"].endswith(KERNEL):
                operator = (event["name"].removesuffix(KERNEL), event["args"]["op_name"])
                found[operator].append(event["dur"] * 1e-6)
        return [(*operator, median(seconds)) for operator, seconds in found.items()]

    def _close(self) -> None:
        if self.profile:
            Path(self._session.end_profiling()).unlink(missing_ok=True)
        self._session = None
        self._values = []


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise EngineUnavailableError(
            "ONNX Runtime is not installed", hint="pip install 'caffezoo[onnxruntime]'"
        ) from None
    return onnxruntime
