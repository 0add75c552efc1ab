"""Real Caffe as the judge: what it computes, and that a layer of ours computes the same everywhere.

One worker process serves a whole test process. Mark tests with ``requires_caffe``; ``conftest.py`` skips them where no
Caffe is found (``CAFFE_PYTHON``, or ``.oracle/bin/python`` of the checkout, which ``make oracle`` makes).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from caffezoo.engines.caffe_process import CaffeProcess
from caffezoo.errors import BindingError, CaffeAbortError, ShapeError, ZooError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.prototxt import parse_prototxt
from caffezoo.net.graph import Network
from caffezoo.net.layer import PlainForm
from caffezoo.net.onnx_graph import to_onnx

ROOT = Path(__file__).resolve().parent.parent
HUGE = 1e37
"""Empty MAX windows hold -FLT_MAX: compared by sign only."""

requires_caffe = pytest.mark.oracle


def oracle_python() -> str | None:
    """Return the Python that has real Caffe, or None."""
    checkout = ROOT / ".oracle" / "bin" / "python"
    return os.environ.get("CAFFE_PYTHON") or (str(checkout) if checkout.exists() else None)


@cache
def caffe_process() -> CaffeProcess:
    """Return this test process's worker."""
    return CaffeProcess(oracle_python(), threads=1, timeout_s=120)


def caffe_outputs(
    prototxt: str,
    blobs: Mapping[str, Sequence[np.ndarray]],
    inputs: Mapping[str, np.ndarray],
    outputs: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Return what real Caffe computes; input shapes are those of the arrays.

    Raises
    ------
    CaffeAbortError
        If Caffe refuses the net.
    """
    process = caffe_process()
    process.load(prototxt, blobs, inputs={name: x.shape for name, x in inputs.items()})
    return process.run(inputs, outputs)


def onnx_outputs(model: Any, inputs: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Return what OpenVINO and ONNX Runtime, both at float32, make of an ONNX model."""
    import onnx
    import onnxruntime
    import openvino

    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString()
    names = [o.name for o in model.graph.output]
    wanted = {i.name for i in model.graph.input}
    feed = {k: np.ascontiguousarray(v) for k, v in inputs.items() if k in wanted}
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = _openvino_core().compile_model(openvino.Core.read_model(_openvino_core(), data), "CPU", config)
    kept = {name for port in compiled.inputs for name in port.names}  # OpenVINO drops inputs that nothing reads
    found = compiled({k: v for k, v in feed.items() if k in kept})
    ours = {name: np.array(found[compiled.output(name)]) for name in names}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return {"openvino": ours, "onnxruntime": dict(zip(names, session.run(names, feed), strict=True))}


@cache
def _openvino_core() -> Any:
    import openvino

    return openvino.Core()


def assert_close(found: np.ndarray, wanted: np.ndarray, what: str, tol: float = 1e-4) -> None:
    """Assert equal shapes and max|Δ| <= tol * max|wanted|, with NaN, infinity and ±FLT_MAX at the same places."""
    assert found.shape == wanted.shape, f"{what}: shape {found.shape}, Caffe has {wanted.shape}"
    found, wanted = found.astype(np.float64), wanted.astype(np.float64)
    odd_found, odd_wanted = (np.where(np.abs(x) < HUGE, 0.0, np.sign(x)) for x in (found, wanted))
    assert np.array_equal(odd_found, odd_wanted, equal_nan=True), (
        f"{what}: NaN or infinity at other places than in Caffe"
    )
    plain = odd_wanted == 0
    if plain.any():
        limit = tol * float(np.abs(wanted[plain]).max())
        worst = float(np.abs(found[plain] - wanted[plain]).max())
        assert worst <= limit, f"{what}: max|Δ| {worst:.3g} > {limit:.3g} ({tol:g} of Caffe's largest value)"


def has_free_batch(model: Any) -> bool:
    """Return whether a model takes batches of any size."""
    return all(i.type.tensor_type.shape.dim[0].dim_param for i in model.graph.input)


def layer_proto(layer: str | pb.LayerParameter) -> pb.LayerParameter:
    """Return a LayerParameter from its text (the fields, without ``layer { }``) or a whole ``layer { ... }``."""
    if isinstance(layer, pb.LayerParameter):
        return layer
    return parse_prototxt(layer if layer.lstrip().startswith("layer") else f"layer {{ {layer} }}").net.layer[0]


def one_layer_net(layer: pb.LayerParameter, shapes: Mapping[str, Sequence[int]]) -> pb.NetParameter:
    """Return a net of one Input layer a bottom, and the layer."""
    net = pb.NetParameter(name="one_layer")
    for name, shape in shapes.items():
        source = net.layer.add(name=f"input_{name}", type="Input", top=[name])
        source.input_param.shape.add(dim=shape)
    net.layer.add().CopyFrom(layer)
    return net


def plain_net(network: Network) -> tuple[str, dict[str, list[np.ndarray]]]:
    """Return a network's plain-BVLC text and blobs, layer by layer (independent of ``caffezoo.net.plain``)."""
    net = pb.NetParameter(name=network.name)
    blobs: dict[str, list[np.ndarray]] = {name: list(b) for name, b in network.weights.items()}
    for node in network.nodes:
        form = node.layer.plain(node.bottom_shapes) or PlainForm([node.layer.proto])
        net.layer.extend(form.layers)
        own = blobs.get(node.name, [])
        blobs.update({name: [own[i] for i in indices] for name, indices in form.moved.items()})
        blobs.update({name: list(b) for name, b in form.blobs.items()})
    known = {layer.name for layer in net.layer}
    return text_format.MessageToString(net), {k: v for k, v in blobs.items() if v and k in known}


def seeded_blobs(shapes: Sequence[Sequence[int]], seed: int = 0) -> list[np.ndarray]:
    """Return random blobs of these shapes, positive enough for variances: 0.1 .. 1.1 in steps that float32 holds."""
    rng = np.random.default_rng(seed)
    return [(rng.integers(0, 1024, s) / 1024 + 0.1).astype(np.float32) for s in shapes]


def assert_layer_matches_caffe(
    layer: str | pb.LayerParameter,
    inputs: Mapping[str, np.ndarray],
    blobs: Sequence[np.ndarray] | None = None,
    *,
    tol: float = 1e-4,
    batch_free: bool = True,
    lowering_may_refuse: bool = False,
    bound: bool = False,
) -> str:
    """Hold one layer against real Caffe: shapes, values through both ONNX runtimes, and what is refused.

    Parameters
    ----------
    layer : str or LayerParameter
        With its bottoms and tops; the bottoms are the keys of ``inputs``.
    inputs : mapping of str to ndarray
        Bottoms, in order, float32; axis 0 is the batch and should be above 1.
    blobs : sequence of ndarray, optional
        Learned blobs in Caffe's order; random ones of the inferred shapes (values 0.1 .. 1.1) if not given.
    tol : float
        Largest difference, relative to the largest value of the blob.
    batch_free : bool
        Export at another batch size than the inputs have, so that a model proves its batch axis free. False for
        layers whose bottoms do not all have the batch as axis 0.
    lowering_may_refuse : bool
        Allow a LoweringError where Caffe accepts (configurations that have no exact ONNX form).
    bound : bool
        The first axis of the tops depends on the data: the inferred one is the most that it can be.

    Returns
    -------
    str
        ``"matched"``, ``"refused"`` (by Caffe and by us) or ``"no-lowering"``; draw configurations so that most match.
    """
    proto = layer_proto(layer)
    inputs = {k: np.asarray(v, np.float32) for k, v in inputs.items()}
    shapes = {k: v.shape for k, v in inputs.items()}
    net = one_layer_net(proto, shapes)
    try:
        network = Network.from_proto(net)
    except ZooError as error:
        if proto.type in caffe_process().layer_types:
            _assert_caffe_refuses(net, inputs, error)
        return "refused"
    node = network.nodes[-1]
    learned = seeded_blobs(node.blob_shapes) if blobs is None else [np.asarray(b, np.float32) for b in blobs]
    network = network.with_weights({proto.name: learned} if learned else {})
    text, caffe_blobs = plain_net(network)
    try:
        wanted = caffe_outputs(text, caffe_blobs, inputs, list(proto.top))
    except CaffeAbortError as error:
        pytest.fail(f"we accept what Caffe refuses ({error}): {text_format.MessageToString(proto, as_one_line=True)}")
    for name, shape in zip(proto.top, node.top_shapes, strict=True):
        top = wanted[name].shape
        fits = tuple(shape)[1:] == top[1:] and shape[0] >= top[0] if bound else tuple(shape) == top
        assert fits, f"top {name}: we infer {shape}, Caffe has {top}"
    exported = network
    if batch_free:
        with contextlib.suppress(BindingError, ShapeError):  # a blob or a setting that spans the batch axis
            exported = network.reshaped(batch=max(next(iter(shapes.values()))[0] - 1, 1))
    try:
        model = to_onnx(exported)
        if not has_free_batch(model):
            model = to_onnx(network)
    except ZooError as error:
        if lowering_may_refuse:
            return "no-lowering"
        pytest.fail(f"no ONNX form: {error}")
    for runtime, found in onnx_outputs(model, inputs).items():
        for name in found:
            assert_close(found[name], wanted[name], f"{runtime}, top {name}", tol)
    return "matched"


def _assert_caffe_refuses(net: pb.NetParameter, inputs: Mapping[str, np.ndarray], ours: ZooError) -> None:
    """Assert that Caffe aborts, or that what it computes is empty (it allows axes of length 0; we do not)."""
    try:
        found = caffe_outputs(text_format.MessageToString(net), {}, inputs)
    except CaffeAbortError:
        return
    assert any(x.size == 0 for x in found.values()), f"we refuse what Caffe accepts: {ours}"
