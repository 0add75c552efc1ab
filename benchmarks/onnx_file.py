"""An ONNX file that others wrote, as a contender: OpenVINO runs it as it is, on the same blobs as our engine."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from caffezoo.engines.seeding import seeded_inputs
from caffezoo.timing.networks import Job
from caffezoo.timing.subjects import KeepGoing, LayerTime, Settings, Subject


@dataclass(frozen=True)
class OnnxFile:
    """A file, and the job whose inputs it gets."""

    path: str
    job: Job

    def open_subject(self, settings: Settings) -> Subject:
        return OnnxFileSubject(self, settings)


class OnnxFileSubject(Subject):
    """The file in OpenVINO, set as our engine sets it."""

    def __init__(self, source: OnnxFile, settings: Settings) -> None:
        import openvino

        network = source.job.load(weights=False)
        super().__init__(network, settings)
        core = openvino.Core()
        config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        config["INFERENCE_NUM_THREADS"] = settings.threads
        self._request = core.compile_model(core.read_model(source.path), "CPU", config).create_infer_request()
        self._inputs = list(seeded_inputs(network, batch=source.job.batch_size).values())
        self.version, self.device, self.precision = openvino.__version__, "CPU", "float32"

    def whole(self) -> tuple[float, float | None]:
        start = time.perf_counter()
        self._request.infer(self._inputs, share_inputs=True)
        return time.perf_counter() - start, None

    def layers(self, keep_going: KeepGoing) -> list[LayerTime]:
        return []

    def close(self) -> None:
        del self._request
