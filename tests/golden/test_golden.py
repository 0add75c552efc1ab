"""Recorded outputs of real Caffe, replayed on the engines: the same comparison where Caffe cannot run."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.engines.registry import create_engine
from caffezoo.net.layer import layer_types
from caffezoo.net.onnx_graph import to_onnx
from tests.golden import records
from tests.golden.cases import CLASS_STEP, FOLDER, LAYERS, NETWORKS, LayerCase, NetworkCase
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


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("case", NETWORKS, ids=lambda c: c.name)
def test_networks(case: NetworkCase, engine: str) -> None:
    record = records.read(FOLDER / "networks" / f"{case.name}.json")
    assert (record["path"], record["size"]) == (case.path, case.size), "record it again: tools/record_golden.py"
    network, _ = case.network(record["exponents"])
    with create_engine(engine, network, batch_size=2, outputs=[record["output"]], threads=1) as made:
        found = made.run(case.inputs(network))[record["output"]].reshape(2, -1)
    assert np.argsort(-found)[:, :5].tolist() == record["top5"]
    assert_close(found[:, ::CLASS_STEP], records.unpack(record["values"]), engine)


def test_every_recording_has_its_case() -> None:
    files = {str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.glob("*/*.json")}
    assert files == {f"layers/{c.type}" for c in LAYERS} | {f"networks/{c.name}" for c in NETWORKS}
    assert {c.type for c in LAYERS} <= set(layer_types())
    assert all(path.stat().st_size < 64 << 10 for path in FOLDER.glob("*/*.json"))


def test_numbers_survive_the_recording() -> None:
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    assert records.unpack(records.pack(x)).tobytes() == x.tobytes()
