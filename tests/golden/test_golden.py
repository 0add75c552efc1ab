"""Recorded outputs of real Caffe, replayed on the engines: the same comparison where Caffe cannot run."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.engines.registry import create_engine
from caffezoo.net.onnx_graph import to_onnx
from caffezoo.net.registry import layer_types
from tests.golden import records
from tests.golden.cases import CLASS_STEP, FOLDER, LAYERS, QUICK, ZOO, LayerCase, NetworkCase
from tests.oracle import assert_close, onnx_outputs


def recorded(case: LayerCase) -> dict[str, np.ndarray]:
    """Return Caffe's tops of a case."""
    cases = records.read(FOLDER / "layers" / f"{case.type}.json")["cases"]
    wanted = {"fields": case.fields, "shapes": [list(s) for s in case.shapes]}
    (found,) = [c for c in cases if {k: c[k] for k in wanted} == wanted]
    return {name: records.unpack(x) for name, x in found["tops"].items()}


@pytest.mark.parametrize("case", LAYERS, ids=lambda c: f"{c.type} {c.fields}".strip())
def test_layers(case: LayerCase) -> None:
    wanted = recorded(case)
    assert len(wanted) == case.tops
    for runtime, found in onnx_outputs(to_onnx(case.network()), case.inputs()).items():
        for name, x in wanted.items():
            assert_close(found[name], x, f"{runtime}, top {name}")


def replay(case: NetworkCase, engine: str) -> None:
    """Hold an engine against Caffe's recorded logits: the same top-5, values to 1e-4 of the largest."""
    record = records.read(case.file)
    network, _ = case.network(record["exponents"])
    inputs = case.inputs(network)
    shapes = {name: list(x.shape) for name, x in inputs.items()}
    assert (record["path"], record["inputs"]) == (case.path, shapes), "record it again: tools/record_golden.py"
    with create_engine(engine, network, batch_size=case.batch, outputs=[record["output"]], threads=1) as made:
        found = made.run(inputs)[record["output"]].reshape(case.batch, -1)
    assert np.argsort(-found)[:, :5].tolist() == record["top5"]
    assert_close(found[:, ::CLASS_STEP], records.unpack(record["values"]), engine)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("case", QUICK, ids=lambda c: c.name)
def test_networks(case: NetworkCase, engine: str) -> None:
    replay(case, engine)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("case", ZOO, ids=lambda c: c.name)
def test_every_network_of_the_zoo(case: NetworkCase, engine: str) -> None:
    replay(case, engine)


def test_every_recording_has_its_case_and_proves_something() -> None:
    files = {path for path in FOLDER.glob("*/*.json") if path.parent.name in ("networks", "zoo")}
    assert files == {case.file for case in [*QUICK, *ZOO]}
    types = {path.stem for path in FOLDER.glob("layers/*.json")}
    assert types == {c.type for c in LAYERS}
    assert types <= set(layer_types())
    assert all(path.stat().st_size < 64 << 10 for path in FOLDER.glob("*/*.json"))
    for file in files:  # activations that died or a softmax that saturates would agree with anything
        logits = records.unpack(records.read(file)["values"])
        assert logits.size < 10 or 0.3 < logits.std() < 4, file.name


def test_numbers_survive_the_recording() -> None:
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    assert records.unpack(records.pack(x)).tobytes() == x.tobytes()
