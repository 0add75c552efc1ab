"""Solvers without Caffe at hand: its recorded trainings, snapshots and going on, and what ends a training."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra torch)")

from caffezoo.errors import DataError, PrototxtError, TrainingError, WeightsFileError  # noqa: E402
from caffezoo.formats.caffemodel import read_weights  # noqa: E402
from caffezoo.formats.solver import parse_solver  # noqa: E402
from caffezoo.training.caffe_log import parse_training_log  # noqa: E402
from caffezoo.training.solvers import SOLVERS, AdamSolver, make_solver  # noqa: E402
from tests.golden import records  # noqa: E402
from tests.golden.cases import FOLDER  # noqa: E402
from tests.training.caffe_runs import our_log  # noqa: E402
from tests.training.solver_cases import RECORDED, draw  # noqa: E402

NET = """name: "t"
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 6 dim: 3 dim: 4 dim: 4 } shape { dim: 6 }
  data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" batch_norm_param { moving_average_fraction: 0.9 } }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
        inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = 'net_param { %s } base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 max_iter: 12 random_seed: 4 %s'


def solver(fields: str = "", net: str = NET, **options):
    return make_solver(parse_solver(SOLVER % (net, fields), "t.prototxt"), **options)


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)


@pytest.mark.parametrize("number", range(RECORDED), ids=lambda n: f"case{n}")
def test_recorded_trainings_of_real_caffe(number):
    pytest.importorskip("h5py")
    pytest.importorskip("lmdb")
    case = draw(number)
    record = records.read(FOLDER / "training" / "solvers.json")["cases"][number]
    assert record["case"] == case.name
    log, _ = our_log(case.write())
    curve = [value["value"] for value in parse_training_log(log).curve]
    assert curve == pytest.approx(record["curve"], rel=1e-4, abs=2e-5)
    weights = read_weights(case.snapshot).by_name()
    found = {n: [float(np.abs(b.data).sum()) for b in layer.blobs] for n, layer in weights.items() if layer.blobs}
    assert found.keys() == record["sums"].keys()
    for name, sums in record["sums"].items():
        assert found[name] == pytest.approx(sums, rel=1e-4, abs=1e-5), name


def test_batch_norm_keeps_caffes_sums_and_factor():
    """``mean = f mean + batch mean``, ``variance = f variance + m / (m - 1) batch variance``, ``s = f s + 1``."""
    found = solver()
    net = found.net
    net.keep_blobs = True
    mean, variance, factor = np.zeros(4), np.zeros(4), 0.0
    for _ in range(5):
        found.step(1)
        x = next(v for k, v in net.values.items() if k.name == "conv" and k.version == 0)
        x = x.detach().double().numpy().transpose(1, 0, 2, 3).reshape(4, -1)
        count = x.shape[1]
        mean = 0.9 * mean + x.mean(1)
        variance = 0.9 * variance + x.var(1) * count / (count - 1)
        factor = 0.9 * factor + 1
    blobs = net.weights()["bn"]
    for own, wanted in zip(blobs, (mean, variance, [factor]), strict=True):
        np.testing.assert_allclose(own, wanted, rtol=1e-5)


@pytest.mark.parametrize("fields", ["snapshot: 5", "snapshot: 5 snapshot_format: HDF5"])
@pytest.mark.parametrize("kind", SOLVERS)
def test_a_training_that_goes_on_ends_bit_for_bit_as_one_that_never_stopped(fields, kind):
    if "HDF5" in fields:
        pytest.importorskip("h5py")
    fields += f' type: "{kind}" snapshot_prefix: "x"' + (" delta: 1e-4" if kind != "SGD" else "")
    text = (SOLVER % (NET.replace('type: "Dropout"', 'type: "ReLU"'), fields)).replace(
        "momentum: 0.9", "" if kind in ("AdaGrad", "RMSProp") else "momentum: 0.9"
    )
    file = parse_solver(text, "t.prototxt")
    whole = make_solver(file)
    whole.solve()
    other = make_solver(file)
    other.solve("x_iter_5.solverstate" + (".h5" if "HDF5" in fields else ""))
    assert other.iter == whole.iter == 12
    for name, blobs in whole.net.weights().items():
        for a, b in zip(blobs, other.net.weights()[name], strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_the_same_seed_trains_the_same_and_another_does_not():
    runs = [solver(), solver(), solver("random_seed: 5".replace("random_seed: 5", ""))]
    for run in runs:
        torch.manual_seed(4 if run is not runs[2] else 9)
        run.step(3)
    first, same, other = (run.net.weights()["ip"][0] for run in runs)
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()


def test_a_loss_that_is_no_number_ends_the_training_and_names_the_layer():
    found = solver('snapshot: 2 snapshot_prefix: "x"')
    found.step(2)
    with torch.no_grad():
        layer = next(m for m in found.net.module.layers if m.layer_name == "scale")
        layer.blob(0).fill_(3e38)
    with pytest.raises(TrainingError, match=r"at iteration 2: the output of layer 'scale' \(Scale\)"):
        found.step(5)
    assert found.iter == 2
    assert os.path.exists("x_iter_2.solverstate")
    found.stops_at_nan = False
    found.step(1)  # as Caffe goes on
    assert found.iter == 3


def test_a_snapshot_that_cannot_be_written_leaves_the_one_before_as_it_was():
    resource = pytest.importorskip("resource")
    found = solver('snapshot_prefix: "x"')
    paths = [Path(p) for p in found.snapshot()]
    before = [p.read_bytes() for p in paths]
    found.step(1)
    found.iter = 0  # so that the files have the same names
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))  # writing fails there, as on a full disk
    try:
        with pytest.raises(WeightsFileError, match="cannot write the weights"):
            found.snapshot()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.read_bytes() for p in paths] == before
    assert sorted(os.listdir()) == sorted(p.name for p in paths)


def test_actions_snapshot_and_stop():
    found = solver('snapshot_prefix: "x"')
    asked = iter(["none", "snapshot", "none", "stop"])
    found.action = lambda: next(asked)
    found.solve()
    assert found.iter == 4
    assert found.stopped
    assert sorted(p for p in os.listdir() if p.endswith("caffemodel")) == [
        "x_iter_2.caffemodel",
        "x_iter_4.caffemodel",
    ]


def test_debug_info_names_every_blob_and_gradient():
    lines: list[str] = []
    found = solver("display: 1 debug_info: true", log=lines.append)
    found.step(1)
    text = "\n".join(lines)
    for part in (
        "[Forward] Layer conv, top blob conv data: ",
        "[Forward] Layer ip, param blob 0 data: ",
        "[Backward] Layer ip, bottom blob conv diff: ",
        "[Backward] Layer conv, param blob 1 diff: ",
        "[Update] Layer ip, param 0 data: ",
    ):
        assert re.search(re.escape(part) + r"[\d.e+-]+", text), part
    assert "All net params (data, diff): L1 norm = (" in text


def test_classes_refuse_another_type_and_states_of_other_nets():
    file = parse_solver(SOLVER % (NET, ""), "t.prototxt")
    with pytest.raises(TrainingError, match="type is SGD, not Adam"):
        AdamSolver(file)
    found = solver('snapshot_prefix: "x"')
    _, state = found.snapshot()
    other = solver('type: "Adam"')
    with pytest.raises(TrainingError, match="blobs of history"):
        other.restore(state)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ('type: "Data" data_param { source: "none" backend: LMDB batch_size: 2 }', "'none' does not exist"),
        ('type: "Data" data_param { source: "." backend: LMDB batch_size: 2 }', "no LMDB database"),
        ('type: "Data" data_param { source: "." batch_size: 2 }', "LEVELDB cannot be read"),
        ('type: "ImageData" image_data_param { source: "none.txt" batch_size: 2 }', "cannot be read"),
        ('type: "HDF5Data" hdf5_data_param { source: "none.txt" batch_size: 2 }', "cannot be read"),
        ('type: "WindowData"', "nothing feeds a WindowData layer"),
    ],
)
def test_missing_sources_are_named(layer, message):
    net = f'layer {{ name: "d" top: "data" top: "label" {layer} }}' + NET[NET.index('layer { name: "conv"') :]
    with pytest.raises((DataError, TrainingError), match=message) as caught:
        solver(net=net)
    assert "layer 'd'" in str(caught.value)


def test_an_unknown_net_is_one_line():
    with pytest.raises(PrototxtError, match=r"s\.prototxt: net 'none\.prototxt' does not exist"):
        make_solver(parse_solver('net: "none.prototxt" lr_policy: "fixed"', "s.prototxt"))


def test_a_label_beyond_the_classes_is_named_by_its_layer():
    with pytest.raises(TrainingError, match=r"layer 'loss' \(SoftmaxWithLoss\).*are all labels below"):
        solver(net=NET.replace('type: "constant" value: 1', 'type: "constant" value: 7')).step(1)
