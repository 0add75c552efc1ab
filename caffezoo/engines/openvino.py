"""OpenVINO on the CPU: the default engine."""

from __future__ import annotations

import ctypes
import queue
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.engines.base import Engine, Installation
from caffezoo.engines.compiled import compiled_key, is_worth_keeping, load_compiled, save_compiled
from caffezoo.engines.quantised import INT8
from caffezoo.errors import EngineError, EngineUnavailableError, PrecisionError
from caffezoo.net.onnx_arrays import serialised, with_arrays_as_inputs

if TYPE_CHECKING:
    import onnx

_FIRST = threading.Lock()

HINTS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "int8": "f32"}
"""What is computed in where the model does not say otherwise; a quantised model does."""
RUN_AS = {"float32": {"f32"}, "float16": {"f16"}, "bfloat16": {"bf16"}, "int8": {"i8", "u8"}}
CAPABILITIES = {"float32": "FP32", "float16": "FP16", "bfloat16": "BF16", "int8": "INT8"}
MATRIX_LAYERS = frozenset({"Convolution", "FullyConnected", "MatMul", "Deconvolution", "GroupConvolution"})


class OpenVINOEngine(Engine):
    """See :class:`~caffezoo.engines.base.Engine`.

    The batch is fixed when the network is compiled (a free batch axis costs speed); a batch that is not full is filled
    up. OpenVINO picks bfloat16 by itself where the CPU has AMX: the precision is always set here, and read back from
    the compiled operators.
    """

    name = "openvino"
    takes_streams = True

    @classmethod
    def probe(cls) -> Installation:
        return _installation(*_start())

    def _open(self, precision: str, threads: int | None) -> None:
        core, version = _start()
        installation = _installation(core, version)
        self.version, (self.device,) = version, installation.devices
        if precision not in installation.precisions:
            raise PrecisionError(
                f"{self.device} has no {precision} arithmetic",
                where="engine openvino",
                hint=f"it runs {', '.join(installation.precisions)}; float16-storage rounds weights alone",
            )
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "EXECUTION_MODE_HINT": "ACCURACY" if precision == "float32" else "PERFORMANCE",
        }
        if self.profile:
            config["PERF_COUNT"] = True
        if threads is not None:
            config["INFERENCE_NUM_THREADS"] = threads
        self._arrays: dict[str, np.ndarray] = {}  # as long as OpenVINO may read them
        if self.streams > 1:
            config |= {"NUM_STREAMS": self.streams, "PERFORMANCE_HINT": "THROUGHPUT"}
        if self.streams > 1 or threads is not None:
            # OpenVINO would tie the first stream of every network and process to the first core, and leave others idle.
            config["ENABLE_CPU_PINNING"] = False
        key = None
        if not self.profile and precision != INT8 and is_worth_keeping(self.network):
            key = compiled_key(
                self.network,
                outputs=self.outputs,
                transform=self.transform,
                input_dtype=str(self.input_dtype),
                precision=self.asked_precision,
                settings=config,
                runtime=f"openvino {version}",
                device=self.device,
            )
        found = load_compiled(core, key, config) if key is not None else None
        if found is not None:
            compiled, self._arrays["the cache's file"] = found
        else:
            compiled = self._compiled(core, precision, config)
            if key is not None:
                save_compiled(compiled, key)
        self.precision = precision
        self.threads = int(compiled.get_property("INFERENCE_NUM_THREADS"))
        self.fixed_batch = True
        self._request = compiled.create_infer_request()
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for request in [self._request, *(compiled.create_infer_request() for _ in range(self.streams - 1))]:
            self._requests.put(request)
        self._fed = _read(compiled)
        self._ports = dict(zip(self.outputs, compiled.outputs, strict=True))

    def _compiled(self, core: Any, precision: str, config: dict[str, Any]) -> Any:
        """Compile the network, and hold what it will run against what was asked for."""
        try:
            model = openvino_model(core, self._onnx(self._arrays), self._arrays)
            kept = _read(model)  # OpenVINO drops inputs of which a layer reads no more than the shape
            model.reshape({name: list(shape) for name, shape in self.input_shapes.items() if name in kept})
            compiled = core.compile_model(model, "CPU", config)
        except RuntimeError as error:
            raise EngineError(_first_line(error), where="engine openvino") from None
        found = compiled_precisions(compiled)
        if found - RUN_AS[precision] and precision == "float32":
            raise PrecisionError(f"OpenVINO would run {sorted(found)} in place of float32", where="engine openvino")
        if precision != "float32" and self.network.macs and not RUN_AS[precision] & found:
            raise PrecisionError(f"OpenVINO would run {sorted(found)} in place of {precision}", where="engine openvino")
        return compiled

    def _infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        request = self._requests.get()
        try:
            request.infer({name: x for name, x in feed.items() if name in self._fed}, share_inputs=True)
            return {name: np.array(request.get_tensor(p).data, np.float32) for name, p in self._ports.items()}
        except RuntimeError as error:
            raise EngineError(_first_line(error), where="engine openvino") from None
        finally:
            self._requests.put(request)

    def operator_seconds(self) -> list[tuple[str, str, float]]:
        if not self.profile:
            return super().operator_seconds()
        found = self._request.get_profiling_info()
        return [(info.node_name, info.node_type, info.real_time.total_seconds()) for info in found]

    def _close(self) -> None:
        self._request = None
        self._requests = queue.SimpleQueue()
        self._ports = {}
        self._arrays = {}


def _read(model: Any) -> set[str]:
    return {name for port in model.inputs for name in port.names}


def openvino_model(core: Any, model: onnx.ModelProto, arrays: Mapping[str, np.ndarray]) -> Any:
    """Return OpenVINO's form of an ONNX model; its large constants are the arrays themselves, not copies.

    Parameters
    ----------
    core : openvino.Core
    model : onnx.ModelProto
    arrays : mapping of str to ndarray
        What the model keeps apart (:mod:`caffezoo.net.onnx_arrays`); they must outlive what is compiled of it.
    """
    from openvino import op

    found = core.read_model(serialised(with_arrays_as_inputs(model, arrays)))
    for parameter in found.get_parameters():
        for name in parameter.output(0).names & arrays.keys():
            parameter.output(0).replace(op.Constant(_writable(arrays[name]), shared_memory=True).output(0))
            found.remove_parameter(parameter)
    found.validate_nodes_and_infer_types()
    return found


def _writable(array: np.ndarray) -> np.ndarray:
    """Return an array over the same memory that may be written to, which OpenVINO asks for and does not do."""
    memory: Any = (ctypes.c_byte * array.nbytes).from_address(array.ctypes.data)
    return np.asarray(memory).view(array.dtype).reshape(array.shape)


def _start() -> tuple[Any, str]:
    """Return an OpenVINO core and its version."""
    try:
        import openvino

        # Two threads that make a process's first tensors at once wait for each other for ever: one holds the binding's
        # lock and waits for Python's, the other the other way round. So the first ones are made here, in one thread.
        with _FIRST:
            for shared in (False, True):
                openvino.Tensor(np.zeros((1, 1), np.float32), shared_memory=shared)
        return openvino.Core(), openvino.get_version().split("-")[0]
    except (ImportError, RuntimeError) as error:
        raise EngineUnavailableError(f"OpenVINO does not start: {error}", hint="pip install openvino") from None


def _installation(core: Any, version: str) -> Installation:
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    device = f"CPU ({core.get_property('CPU', 'FULL_DEVICE_NAME').strip()})"
    return Installation(version, (device,), tuple(p for p, name in CAPABILITIES.items() if name in able))


def compiled_precisions(compiled: Any) -> set[str]:
    """Return the precisions in which a compiled model's convolutions and products run: f32, f16, bf16 ..."""
    found = set()
    for op in compiled.get_runtime_model().get_ordered_ops():
        info = op.get_rt_info()
        if str(info["layerType"].astype(str)) in MATRIX_LAYERS:
            found.add(str(info["runtimePrecision"].astype(str)).lower().replace("fp", "f"))
    return found


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
