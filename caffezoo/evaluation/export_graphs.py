"""Formats that hold a whole graph: ONNX, OpenVINO's, torch.export's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from caffezoo.engines.openvino import openvino_model
from caffezoo.errors import EngineError, LoweringError, UsageError, WeightsFileError
from caffezoo.evaluation.export_options import Blobs, ExportOptions, is_large
from caffezoo.evaluation.steady_file import SteadyFile
from caffezoo.net.cutting import cut
from caffezoo.net.folding import folded_for
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import OPSET


def onnx_model(network: Network, options: ExportOptions, arrays: dict[str, np.ndarray]) -> Any:
    """Return the ONNX model of a network as the options have it; its large constants are put into ``arrays``."""
    from caffezoo.net.onnx_graph import to_onnx
    from caffezoo.net.onnx_image import with_image_input

    program = folded_for(network, options.outputs) if options.folded else network
    converted = options.opset is not None and options.opset != OPSET
    model = to_onnx(program, outputs=options.outputs, arrays=None if converted else arrays)
    if options.transform is not None:
        if len(model.graph.input) != 1:
            raise UsageError("--preprocessing needs a network with one input", where=network.path)
        model = with_image_input(model, options.transform, "uint8", reverse=options.reverse)
    if converted and options.opset is not None:
        model = _converted(model, options.opset, str(network.path))
    if options.batch is not None:
        for value in (*model.graph.input, *model.graph.output):
            dims = value.type.tensor_type.shape.dim
            if len(dims) and dims[0].dim_param:
                dims[0].dim_value = options.batch
    return model


TYPES_ONLY = frozenset({"Identity", "Relu", "Add", "Sub", "Mul", "Div"})
"""Operators whose newer versions up to ours only take further types."""


def _converted(model: Any, opset: int, where: str) -> Any:
    """Return the model in another opset: as it stands where no operator in it has changed, else onnx's conversion.

    Raises
    ------
    LoweringError
        An operator has no form there.
    """
    from onnx import defs, version_converter

    own = model.opset_import[0].version

    def version(kind: str, at: int) -> int:
        return int(defs.get_schema(kind, at).since_version)

    try:
        kinds = {node.op_type for node in model.graph.node} - TYPES_ONLY
        if all(version(kind, own) == version(kind, opset) for kind in kinds):
            model.opset_import[0].version = opset
            return model
        return version_converter.convert_version(model, opset)
    except Exception as error:  # of many kinds, none of them onnx's own
        reason = str(error).splitlines()[0][:200]
        raise LoweringError(f"has no form in opset {opset}: {reason}", where=where) from None


def write_onnx(network: Network, target: Path, options: ExportOptions) -> str:
    """Write the file; return what to say of it."""
    from caffezoo.net.onnx_arrays import check_model, write_model

    arrays: dict[str, np.ndarray] = {}
    model = onnx_model(network, options, arrays)
    check_model(model, arrays)
    write_model(model, arrays, target)
    return f"{len(model.graph.node)} operators, opset {model.opset_import[0].version}, onnx checker passed"


def run_onnx(network: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
    """Run what was written on a batch, from its file."""
    if is_large(source) and options.opset in (None, OPSET):
        return _run_onnx_by_parts(network, source, options, inputs)
    try:
        import onnxruntime
    except ImportError:
        return run_openvino(network, source, options, inputs)
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(source), settings, providers=["CPUExecutionProvider"])
    names = _names(network, options)
    wanted = {value.name for value in session.get_inputs()}
    found = session.run(list(names.values()), {name: x for name, x in inputs.items() if name in wanted})
    return dict(zip(names, found, strict=True))


def _run_onnx_by_parts(network: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
    """Hold the file's large constants against the network's, byte for byte, and run what else is in it with these."""
    from caffezoo.net.onnx_arrays import holds, read_model

    arrays: dict[str, np.ndarray] = {}
    onnx_model(network, options, arrays)
    model, spans = read_model(source)
    if not holds(source, spans, arrays):
        raise EngineError("holds other weights than were written", where=str(source))
    return _infer(openvino_model(_openvino().Core(), model, arrays), network, options, inputs)


@contextmanager
def _told_as_written(target: Path) -> Iterator[None]:
    """Tell as a file that cannot be written what OpenVINO raises of a full disk: RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise WeightsFileError(f"cannot be written: {reason}", where=str(target.name)) from None


def write_openvino(network: Network, target: Path, options: ExportOptions) -> str:
    """Write the file; return what to say of it."""
    openvino = _openvino()
    arrays: dict[str, np.ndarray] = {}
    model = openvino_model(openvino.Core(), onnx_model(network, options, arrays), arrays)
    with _told_as_written(target):
        openvino.save_model(model, str(target), compress_to_fp16=False)
    return f"{len(model.get_ops())} operators, float32"


def run_openvino(network: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
    """Run what was written on a batch, from its file."""
    return _infer(_openvino().Core().read_model(str(source)), network, options, inputs)


def _infer(model: Any, network: Network, options: ExportOptions, inputs: Blobs) -> Blobs:
    """Run an OpenVINO model on a batch."""
    model.reshape({value.any_name: list(inputs[value.any_name].shape) for value in model.inputs})
    compiled = _openvino().Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled({value.any_name: inputs[value.any_name] for value in model.inputs})
    return {name: np.array(found[called]) for name, called in _names(network, options).items()}


def _names(network: Network, options: ExportOptions) -> dict[str, str]:
    """Return what the model calls every output."""
    from caffezoo.net.onnx_graph import output_names

    return output_names(network, options.outputs, images=options.transform is not None)


def _openvino() -> Any:
    import openvino

    return openvino


def write_torch(network: Network, target: Path, options: ExportOptions) -> str:
    """Write the file; return what to say of it."""
    from caffezoo.engines.torch import runtime

    torch = runtime()
    from caffezoo.net.torch_module import to_torch

    if options.transform is not None:
        raise UsageError("--preprocessing is for --onnx and --openvino")
    program = folded_for(network, options.outputs) if options.folded else cut(network, options.outputs)
    module = to_torch(program, outputs=options.outputs).eval()
    shapes = {name: (options.batch or 2, *shape[1:]) for name, shape in program.inputs.items()}
    example = tuple(torch.zeros(shapes[name]) for name in module.inputs)
    free = None if options.batch is not None else {"inputs": tuple({0: torch.export.Dim("N")} for _ in example)}
    try:
        exported = torch.export.export(module, example, dynamic_shapes=free)
    except Exception as error:  # torch's own, of many kinds
        reason = str(error).splitlines()[0][:200]
        raise LoweringError(f"torch.export cannot trace it: {reason}", where=network.path) from None
    with SteadyFile(target) as stream:
        torch.export.save(exported, stream)
        stream.check()
    return f"{len(exported.graph.nodes)} nodes, for torch.export.load of torch {torch.__version__}"


def run_torch(_: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
    """Run what was written on a batch, from its file."""
    import torch

    with source.open("rb") as stream:
        module = torch.export.load(stream).module()
    with torch.inference_mode():
        found = module(*(torch.from_numpy(x) for x in inputs.values()))
    return {name: found[name].numpy() for name in options.outputs}
