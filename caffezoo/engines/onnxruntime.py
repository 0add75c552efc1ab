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
from caffezoo.net.onnx_graph import output_name

KERNEL = "_kernel_time"
"""What ONNX Runtime's profile puts behind an operator's name."""


class ONNXRuntimeEngine(Engine):
    """See :class:`~caffezoo.engines.base.Engine`; the batch axis stays free, precision is float32 only."""

    name = "onnxruntime"

    @classmethod
    def probe(cls) -> Installation:
        return Installation(_runtime().__version__, ("CPU",), ("float32",))

    def _open(self, precision: str, threads: int | None) -> None:
        onnxruntime = _runtime()
        if precision != "float32":
            raise PrecisionError(f"its CPU kernels run float32, not {precision}", where="engine onnxruntime")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        if self.profile:
            options.enable_profiling = True
            options.profile_file_prefix = os.path.join(tempfile.gettempdir(), f"caffezoo-{os.getpid()}")
        try:
            self._session = onnxruntime.InferenceSession(
                self._onnx().SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except RuntimeError as error:
            raise EngineError(str(error).splitlines()[0][:300], where="engine onnxruntime") from None
        self._fed = [port.name for port in self._session.get_inputs()]
        self.version = onnxruntime.__version__
        self.device = "CPU"
        self.precision = precision
        self.threads = threads or 0

    def _infer(self, feed: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
        if count != self.batch_size:
            self._check_batch_axis()
        try:
            wanted = [output_name(self.network, name) for name in self.outputs]
            found = self._session.run(wanted, {name: feed[name] for name in self._fed})
        except RuntimeError as error:
            raise EngineError(str(error).splitlines()[0][:300], where="engine onnxruntime") from None
        return {name: np.asarray(x, np.float32) for name, x in zip(self.outputs, found, strict=True)}

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


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise EngineUnavailableError(
            "ONNX Runtime is not installed", hint="pip install 'caffezoo[onnxruntime]'"
        ) from None
    return onnxruntime
