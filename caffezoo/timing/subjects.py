"""Networks loaded into an engine, ready to be timed: one class a kind of engine."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from caffezoo.engines.base import Engine
from caffezoo.engines.caffe_process import CaffeProcess
from caffezoo.engines.registry import create_engine
from caffezoo.engines.seeding import seeded_inputs
from caffezoo.errors import PrecisionError
from caffezoo.formats.prototxt import write_prototxt
from caffezoo.net.graph import Network
from caffezoo.timing.memory import MemoryPeak
from caffezoo.timing.operators import RUNTIME, operator_owners
from caffezoo.timing.training_form import training_form

KeepGoing = Callable[[], bool]


@dataclass(frozen=True)
class LayerTime:
    """Median times of one layer, in ms."""

    layer: str
    layer_type: str
    forward_ms: float
    backward_ms: float | None = None


@dataclass(frozen=True)
class Settings:
    """How a network is to be run.

    Attributes
    ----------
    engine : str
    precision : str
    threads : int, optional
        The runtime's own choice if not given.
    gpu : int, optional
        Number of a CUDA device; the CPU if not given.
    backward : bool
        Time the backward pass as well, where the engine has one.
    caffe_python : str, optional
        Python that has pycaffe, for engine ``caffe``.
    """

    engine: str
    precision: str = "float32"
    threads: int | None = None
    gpu: int | None = None
    backward: bool = True
    caffe_python: str | None = None


class Subject(ABC):
    """A network in an engine.

    Attributes
    ----------
    settings : Settings
    version, device, precision : str
    threads : int
        0 where the runtime does not tell.
    memory_peak_bytes : int or None
        Of loading and running it.
    """

    version = ""
    device = ""
    precision = ""
    threads = 0
    memory_peak_bytes: int | None = None

    def __init__(self, network: Network, settings: Settings) -> None:
        self.network = network
        self.settings = settings
        self._types = {node.name: node.layer.type for node in network.nodes}

    @abstractmethod
    def whole(self) -> tuple[float, float | None]:
        """Run the network once; return the seconds of its forward and backward pass."""

    @abstractmethod
    def layers(self, keep_going: KeepGoing) -> list[LayerTime]:
        """Run layer by layer, or with the runtime's own profile, as long as wanted; return medians."""

    @abstractmethod
    def close(self) -> None:
        """Free what the engine holds."""

    def __enter__(self) -> Subject:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EngineSubject(Subject):
    """OpenVINO and ONNX Runtime: forward only; layers from the runtime's profile, fused as the runtime fuses them."""

    def __init__(self, network: Network, settings: Settings) -> None:
        super().__init__(network, settings)
        peak = MemoryPeak()
        self._engine = self._load(profile=False)
        self._forward = self._engine.prepare(self._inputs())
        self._forward()
        self.memory_peak_bytes = peak.bytes
        engine = self._engine
        self.version, self.device, self.precision, self.threads = (
            engine.version,
            engine.device,
            engine.precision,
            engine.threads,
        )

    def whole(self) -> tuple[float, float | None]:
        start = time.perf_counter()
        self._forward()
        return time.perf_counter() - start, None

    def layers(self, keep_going: KeepGoing) -> list[LayerTime]:
        owners: dict[str, str] = {}
        samples = LayerSamples()
        with self._load(profile=True) as engine:
            forward = engine.prepare(self._inputs())
            forward()
            while True:
                forward()
                wanted = keep_going()
                if self.settings.engine == "onnxruntime" and wanted:
                    continue  # its profile holds all runs, and can be read once
                samples.begin()
                operators = engine.operator_seconds()
                owners = owners or operator_owners([(name, kind) for name, kind, _ in operators], self.network)
                for operator, _, seconds in operators:
                    samples.add(owners[operator], seconds, None)
                if not wanted:
                    return samples.medians(list(self._types), self._types)

    def close(self) -> None:
        self._engine.close()

    def _load(self, profile: bool) -> Engine:
        s = self.settings
        return create_engine(
            s.engine,
            self.network,
            batch_size=_batch(self.network),
            precision=s.precision,
            threads=s.threads,
            profile=profile,
            gpu=s.gpu,
        )

    def _inputs(self) -> dict[str, np.ndarray]:
        return dict(seeded_inputs(self.network, batch=_batch(self.network)))


class CaffeSubject(Subject):
    """Real Caffe behind its worker: the plain form of the network with its outputs as losses."""

    def __init__(self, network: Network, settings: Settings) -> None:
        super().__init__(network, settings)
        if settings.precision != "float32":
            raise PrecisionError(f"Caffe runs float32, not {settings.precision}", where="engine caffe")
        net, plain = training_form(network)
        self._types = {node.name: node.layer.type for node in plain.nodes}
        self._process = CaffeProcess(settings.caffe_python, threads=settings.threads)
        try:
            self._process.load(write_prototxt(net), plain.weights, inputs=plain.inputs, gpu=settings.gpu)
            self._process.run(seeded_inputs(network, batch=_batch(network)), list(plain.outputs[:1]))
            self.whole()
        except BaseException:
            self._process.close()
            raise
        self.version = self._process.version
        self.device = "CPU" if settings.gpu is None else f"GPU {settings.gpu}"
        self.precision = "float32"
        self.threads = settings.threads or 0

    def whole(self) -> tuple[float, float | None]:
        found = self._process.time(backward=self.settings.backward, layers=False)
        self.memory_peak_bytes = found["memory_peak_bytes"]
        return found["forward_seconds"], found["backward_seconds"]

    def layers(self, keep_going: KeepGoing) -> list[LayerTime]:
        samples, types, order = LayerSamples(), dict(self._types), list[str]()
        while True:
            found = self._process.time(backward=self.settings.backward, layers=True)
            samples.begin()
            for name, kind, forward, backward in found["layers"]:
                types.setdefault(name, kind)  # Caffe adds Split layers of its own
                order += [] if name in samples.seen else [name]
                samples.add(name, forward, backward)
            if not keep_going():
                return samples.medians(order, types)

    def close(self) -> None:
        self._process.close()


class LayerSamples:
    """Seconds of layers, summed within a run, by run."""

    def __init__(self) -> None:
        self.seen: dict[str, tuple[list[float], list[float]]] = {}
        self._run: set[str] = set()

    def begin(self) -> None:
        self._run = set()

    def add(self, layer: str, forward: float, backward: float | None) -> None:
        kept = self.seen.setdefault(layer, ([], []))
        for values, seconds in zip(kept, (forward, backward), strict=True):
            if seconds is None:
                continue
            if layer in self._run and values:
                values[-1] += seconds
            else:
                values.append(seconds)
        self._run.add(layer)

    def medians(self, order: Sequence[str], types: dict[str, str]) -> list[LayerTime]:
        """Return the layers that were seen, in this order, then the runtime's own share."""
        return [
            LayerTime(
                name,
                types.get(name, RUNTIME),
                median(self.seen[name][0]) * 1e3,
                median(self.seen[name][1]) * 1e3 if self.seen[name][1] else None,
            )
            for name in [*order, RUNTIME]
            if name in self.seen
        ]


def open_subject(network: Network, settings: Settings) -> Subject:
    """Load a network with weights, at its own shapes, into an engine.

    Raises
    ------
    UnknownNameError, UsageError, EngineUnavailableError, PrecisionError, CaffeAbortError, LoweringError
    """
    if settings.engine == "torch":
        from caffezoo.timing.torch_subject import TorchSubject

        return TorchSubject(network, settings)
    return (CaffeSubject if settings.engine == "caffe" else EngineSubject)(network, settings)


def _batch(network: Network) -> int:
    return next(iter(network.inputs.values()))[0]
