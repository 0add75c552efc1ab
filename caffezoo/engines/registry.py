"""Which engines there are."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from caffezoo.engines.base import Engine
from caffezoo.errors import EngineUnavailableError, UnknownNameError, UsageError
from caffezoo.net.graph import Network

DEFAULT_ENGINE = "openvino"
GPU_ENGINES = ("torch", "caffe")

_ENGINES: Mapping[str, tuple[str, str]] = {
    "openvino": ("caffezoo.engines.openvino", "OpenVINOEngine"),
    "onnxruntime": ("caffezoo.engines.onnxruntime", "ONNXRuntimeEngine"),
    "torch": ("caffezoo.engines.torch", "TorchEngine"),
    "caffe": ("caffezoo.engines.caffe", "CaffeEngine"),
}


@dataclass(frozen=True)
class EngineInfo:
    """An engine and whether it runs here.

    Attributes
    ----------
    name : str
    available : bool
    version : str
        Empty where it is not available.
    devices, precisions : tuple of str
    problem : str
        Why it is not available.
    """

    name: str
    available: bool
    version: str
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    problem: str


def engine_names() -> tuple[str, ...]:
    """Return the engines' names, the default first."""
    return tuple(_ENGINES)


def engine_class(name: str) -> type[Engine]:
    """Return an engine's class.

    Raises
    ------
    UnknownNameError
    """
    if name not in _ENGINES:
        raise UnknownNameError("engine", name, _ENGINES)
    module, cls = _ENGINES[name]
    found: type[Engine] = getattr(importlib.import_module(module), cls)
    return found


def create_engine(
    name: str, network: Network, *, caffe_python: str | None = None, gpu: int | None = None, **options: Any
) -> Engine:
    """Return an engine that runs ``network``; ``options`` are those of :class:`~caffezoo.engines.base.Engine`.

    Parameters
    ----------
    caffe_python : str, optional
        Python that has pycaffe; only engine ``caffe`` reads it.
    gpu : int, optional
        Number of a CUDA device; the CPU if not given. Engines ``torch`` and ``caffe`` have one.

    Raises
    ------
    UsageError
        A GPU is asked of an engine that has none.
    UnknownNameError, EngineUnavailableError, PrecisionError, BindingError, LoweringError
    """
    cls = engine_class(name)
    if gpu is not None:
        if name not in GPU_ENGINES:
            raise UsageError(f"engine {name} runs on the CPU", hint=f"a GPU is for {', '.join(GPU_ENGINES)}")
        options["gpu"] = gpu
    if name == "caffe":
        options["caffe_python"] = caffe_python
    from caffezoo.engines.partitioned import PartitionedEngine, needs_host

    if needs_host(network, options.get("outputs"), cls):
        own: dict[str, Any] = {key: options.pop(key) for key in ("gpu", "caffe_python") if key in options}
        return PartitionedEngine(network, runtime=cls, own=own, **options)
    return cls(network, **options)


def engine_infos(caffe_python: str | None = None) -> list[EngineInfo]:
    """Return every engine with what is installed of it; starts each runtime once."""
    infos = []
    for name in _ENGINES:
        options = {"caffe_python": caffe_python} if name == "caffe" else {}
        try:
            found = engine_class(name).probe(**options)
        except EngineUnavailableError as error:
            infos.append(EngineInfo(name, False, "", (), (), str(error)))
        else:
            infos.append(EngineInfo(name, True, found.version, found.devices, found.precisions, ""))
    return infos
