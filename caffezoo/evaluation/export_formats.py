"""What a network can be exported as: how each format is written, and how it is run again from its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from caffezoo.engines.freed_memory import give_back_memory
from caffezoo.engines.openvino import openvino_model
from caffezoo.engines.registry import DEFAULT_ENGINE, create_engine
from caffezoo.errors import EngineError, EngineUnavailableError, LoweringError, UsageError, WeightsFileError
from caffezoo.evaluation.steady_file import SteadyFile
from caffezoo.net.cutting import cut
from caffezoo.net.folding import fold, folded_for
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import OPSET
from caffezoo.net.transform import Transform

Blobs = dict[str, np.ndarray]

WHOLE_BYTES = 256 << 20
"""Up to this size what was written is run whole: a runtime that reads an ONNX file holds its weights two or three
times. The weights of a larger file are held against the network's, value by value, and run from there."""


@dataclass(frozen=True)
class ExportOptions:
    """How a network is exported.

    Attributes
    ----------
    outputs : tuple of str
        Blobs to return.
    folded : bool
        Whether batch norm is folded first, where that is exact.
    batch : int or None
        The model's fixed batch size; free where it is None.
    opset : int or None
        Of ONNX; 17 where it is None.
    transform : Transform or None
        Preprocessing inside the model: its input is then (N, height, width, 3), uint8.
    reverse : bool
        With a transform: the input is B, G, R and the network wants R, G, B.
    """

    outputs: tuple[str, ...]
    folded: bool = True
    batch: int | None = None
    opset: int | None = None
    transform: Transform | None = None
    reverse: bool = False


@dataclass(frozen=True)
class ExportFormat:
    """A format.

    Attributes
    ----------
    write : callable
        ``(network, path, options)`` writes the file, or into the folder that ``path`` is; returns what to say of it.
    run : callable
        ``(network, path, options, inputs)`` runs what was written on a batch, from its files.
    suffixes : tuple of str
        What the file may end in; empty for a folder.
    companions : tuple of str
        Endings of further files beside it.
    takes_inside : bool
        Whether outputs, batch and preprocessing can be chosen: it holds a graph, not weights alone.
    """

    write: Callable[[Network, Path, ExportOptions], str]
    run: Callable[[Network, Path, ExportOptions, Blobs], Blobs]
    suffixes: tuple[str, ...]
    companions: tuple[str, ...] = ()
    takes_inside: bool = False


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


def _write_onnx(network: Network, target: Path, options: ExportOptions) -> str:
    from caffezoo.net.onnx_arrays import check_model, write_model

    arrays: dict[str, np.ndarray] = {}
    model = onnx_model(network, options, arrays)
    check_model(model, arrays)
    write_model(model, arrays, target)
    return f"{len(model.graph.node)} operators, opset {model.opset_import[0].version}, onnx checker passed"


def _run_onnx(network: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
    if source.stat().st_size > WHOLE_BYTES and options.opset in (None, OPSET):
        return _run_onnx_by_parts(network, source, options, inputs)
    try:
        import onnxruntime
    except ImportError:
        return _run_openvino(network, source, options, inputs)
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


def _write_openvino(network: Network, target: Path, options: ExportOptions) -> str:
    openvino = _openvino()
    arrays: dict[str, np.ndarray] = {}
    model = openvino_model(openvino.Core(), onnx_model(network, options, arrays), arrays)
    with _told_as_written(target):
        openvino.save_model(model, str(target), compress_to_fp16=False)
    return f"{len(model.get_ops())} operators, float32"


def _run_openvino(network: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
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


def _write_torch(network: Network, target: Path, options: ExportOptions) -> str:
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


def _run_torch(_: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
    import torch

    with source.open("rb") as stream:
        module = torch.export.load(stream).module()
    with torch.inference_mode():
        found = module(*(torch.from_numpy(x) for x in inputs.values()))
    return {name: found[name].numpy() for name in options.outputs}


def _write_caffe_plain(network: Network, target: Path, options: ExportOptions) -> str:
    from caffezoo.formats.caffemodel_writer import write_caffemodel
    from caffezoo.formats.prototxt import write_prototxt
    from caffezoo.net.plain import to_plain

    plain = to_plain(fold(network).network if options.folded else network)
    write_caffemodel(target.with_suffix(".caffemodel"), plain.prototxt.net, plain.weights)
    target.write_text(write_prototxt(plain.prototxt.net), "utf-8")
    return f"{len(plain.nodes)} layers of BVLC Caffe, and {target.with_suffix('.caffemodel').name}"


def _run_caffe_plain(_: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
    network = Network.load(source).with_weights_file(source.with_suffix(".caffemodel"))
    return run_network(network, options.outputs, inputs)


def _write_caffe_hdf5(network: Network, target: Path, options: ExportOptions) -> str:
    from caffezoo.formats.hdf5 import write_hdf5

    write_hdf5(target, network.prototxt.net, network.weights)
    return f"{len(network.weights)} layers, as Caffe's snapshot_format HDF5"


def _run_caffe_hdf5(network: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
    if source.stat().st_size > WHOLE_BYTES:
        _check_same(network, network.with_weights_file(source), source)
        give_back_memory()
        return run_network(network, options.outputs, inputs)
    return run_network(network.with_weights_file(source), options.outputs, inputs)


def _write_safetensors(network: Network, target: Path, options: ExportOptions) -> str:
    from caffezoo.net.exports.arrays import write_safetensors

    write_safetensors(network, target)
    return f"{sum(map(len, network.weights.values()))} tensors, <layer>.<index>"


def _run_safetensors(network: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
    from caffezoo.net.exports.arrays import read_safetensors

    if source.stat().st_size > WHOLE_BYTES:
        _check_same(network, read_safetensors(network, source), source)
        give_back_memory()
        return run_network(network, options.outputs, inputs)
    return run_network(read_safetensors(network, source), options.outputs, inputs)


def _check_same(network: Network, read: Network, source: Path) -> None:
    """Raise if a file's blobs are not the network's."""
    for key in network.weights:
        if not all(map(np.array_equal, network.weights[key], read.weights[key])):
            raise EngineError("holds other weights than were written", where=str(source))


def _write_coreml(network: Network, target: Path, options: ExportOptions) -> str:
    from caffezoo.net.exports.arrays import write_coreml

    write_coreml(fold(network).network, target)
    return "arrays <layer>/W and <layer>/b of the folded network, in coremltools' orders"


def _run_coreml(network: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
    from caffezoo.net.exports.arrays import coreml_equal

    folded = fold(network).network
    if not coreml_equal(folded, source):
        raise EngineError("holds other arrays than were written", where=str(source))
    return run_network(folded, options.outputs, inputs)


FORMATS: Mapping[str, ExportFormat] = {
    "onnx": ExportFormat(_write_onnx, _run_onnx, (".onnx",), takes_inside=True),
    "openvino": ExportFormat(_write_openvino, _run_openvino, (".xml",), (".bin",), takes_inside=True),
    "torch": ExportFormat(_write_torch, _run_torch, (".pt2",), takes_inside=True),
    "caffe-plain": ExportFormat(_write_caffe_plain, _run_caffe_plain, (".prototxt",), (".caffemodel",)),
    "caffe-hdf5": ExportFormat(_write_caffe_hdf5, _run_caffe_hdf5, (".h5", ".hdf5")),
    "coreml-npz": ExportFormat(_write_coreml, _run_coreml, (".npz",)),
    "safetensors": ExportFormat(_write_safetensors, _run_safetensors, (".safetensors",)),
}


def run_network(
    network: Network, outputs: Sequence[str], inputs: Blobs, *, transform: Transform | None = None
) -> Blobs:
    """Run a network on a batch in the default engine, or in another that is here."""
    batch = len(next(iter(inputs.values())))
    options: dict[str, Any] = {"batch_size": batch, "outputs": list(outputs), "transform": transform}
    try:
        engine = create_engine(DEFAULT_ENGINE, network, **options)
    except (EngineUnavailableError, LoweringError):
        engine = create_engine("torch", network, **options)
    with engine:
        return engine.run(inputs)
