"""What scripts rely on of a Net: names, views, partial passes, phases, memory; and of solvers and Python layers."""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch")

import caffezoo.pycaffe as caffe
from caffezoo.engines.seeding import seeded_weights
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.net.graph import Network

TRAIN = """
name: "net" force_backward: true
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 5 dim: 2 dim: 3 dim: 4 } shape { dim: 5 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 11 kernel_size: 2
  weight_filler { type: "gaussian" std: 1 } bias_filler { type: "constant" value: 2 } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip_blob" inner_product_param { num_output: 13
  weight_filler { type: "gaussian" std: 2.5 } } }
layer { name: "only" type: "Power" bottom: "ip_blob" top: "only" include { stage: "extra" min_level: 1 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip_blob" bottom: "label" top: "loss" loss_weight: 3
  include { phase: TRAIN } }
"""
LARGE = """
name: "large" input: "data" input_shape { dim: 1 dim: 3 dim: 32 dim: 32 }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 64 kernel_size: 5 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 10 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "net.prototxt").write_text(TRAIN)
    return str(tmp_path / "net.prototxt")


@pytest.fixture
def large(tmp_path: Path) -> tuple[str, str]:
    net = Network.from_text(LARGE)
    (tmp_path / "large.prototxt").write_text(LARGE)
    write_caffemodel(tmp_path / "large.caffemodel", net.prototxt.net, seeded_weights(net)[0])
    return str(tmp_path / "large.prototxt"), str(tmp_path / "large.caffemodel")


def test_names_are_those_of_the_file(file: str) -> None:
    net = caffe.Net(file, caffe.TRAIN)
    assert (list(net.inputs), list(net.outputs)) == ([], ["loss"])
    assert list(net._layer_names) == ["data", "conv", "ip", "loss"]
    assert [layer.type for layer in net.layers] == ["DummyData", "Convolution", "InnerProduct", "SoftmaxWithLoss"]
    assert list(net.layer_dict) == list(net._layer_names)
    assert net.bottom_names["loss"] == ["ip_blob", "label"]
    assert net.top_names["data"] == ["data", "label"]
    assert list(net.params) == ["conv", "ip"]
    assert net.blob_loss_weights["loss"] == 3
    assert net.blob_loss_weights["conv"] == 0


def test_phase_level_and_stages_choose_layers(file: str) -> None:
    assert "loss" not in caffe.Net(file, caffe.TEST).blobs
    assert "only" in caffe.Net(file, caffe.TEST, level=1, stages=["extra"]).blobs
    assert "only" not in caffe.Net(file, caffe.TEST, level=0, stages=["extra"]).blobs
    with pytest.raises(TypeError):
        caffe.Net(file, 7)


def test_constants_of_dummy_data_may_be_changed_for_good(file: str) -> None:
    net = caffe.Net(file, caffe.TRAIN)
    net.blobs["label"].data[...] = [4, 0, 12, 3, 7]
    net.forward()
    first = net.blobs["data"].data.copy()
    net.forward()
    assert list(net.blobs["label"].data) == [4, 0, 12, 3, 7]
    assert not np.array_equal(net.blobs["data"].data, first)


def test_loss_and_gradients_start_from_the_loss_weight(file: str) -> None:
    net = caffe.Net(file, caffe.TRAIN)
    net.forward()
    net.backward()
    once = net.params["conv"][0].diff.copy()
    assert np.abs(once).max() > 0
    net.backward()
    assert net.params["conv"][0].diff == pytest.approx(2 * once, rel=1e-4)
    net.clear_param_diffs()
    assert not net.params["conv"][0].diff.any()


def test_one_layer_forward_and_backward(file: str) -> None:
    net = caffe.Net(file, caffe.TRAIN)
    net.blobs["conv"].data[...] = np.random.default_rng(0).uniform(size=net.blobs["conv"].data.shape)
    found = net.forward(start="ip", end="ip")["ip_blob"]
    weights, bias = net.params["ip"][0].data, net.params["ip"][1].data
    assert found == pytest.approx(net.blobs["conv"].data.reshape(5, -1) @ weights.T + bias, rel=1e-4)
    net.blobs["ip_blob"].diff[...] = np.random.default_rng(1).uniform(size=found.shape)
    back = net.backward(start="ip", end="ip")
    assert "conv" in back
    wanted = net.blobs["ip_blob"].diff @ weights
    assert net.blobs["conv"].diff.reshape(5, -1) == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def test_arrays_outlive_their_net(file: str) -> None:
    net = caffe.Net(file, caffe.TRAIN)
    net.forward()
    params = [blob for blobs in net.params.values() for blob in blobs]
    blobs = list(net.blobs.values())
    before = sum(float(b.data.sum()) for b in (*params, *blobs))
    del net
    gc.collect()
    assert sum(float(b.data.sum()) for b in (*params, *blobs)) == before


def test_callbacks_see_every_layer(file: str) -> None:
    net = caffe.Net(file, caffe.TRAIN)
    seen: list[tuple[str, int]] = []
    net.before_forward(lambda i: seen.append(("before", i)))
    net.after_backward(lambda i: seen.append(("after", i)))
    net.forward()
    net.backward()
    assert seen == [("before", i) for i in range(4)] + [("after", i) for i in (3, 2, 1, 0)]


@pytest.mark.parametrize("hdf5", [False, True], ids=["caffemodel", "hdf5"])
def test_saved_and_read(file: str, tmp_path: Path, hdf5: bool) -> None:
    net = caffe.Net(file, caffe.TRAIN)
    path = str(tmp_path / ("w.h5" if hdf5 else "w.caffemodel"))
    if hdf5:
        pytest.importorskip("h5py")
        net.save_hdf5(path)
        again = caffe.Net(file, caffe.TRAIN)
        again.load_hdf5(path)
    else:
        net.save(path)
        again = caffe.Net(file, path, caffe.TRAIN)
    for name in net.params:
        for mine, theirs in zip(net.params[name], again.params[name], strict=True):
            assert np.array_equal(mine.data, theirs.data)


def test_nets_share_memory(file: str) -> None:
    one, two = caffe.Net(file, caffe.TRAIN), caffe.Net(file, caffe.TEST)
    two.share_with(one)
    one.params["ip"][1].data[...] = 7
    assert set(two.params["ip"][1].data) == {7}
    before = two.forward(start="ip", end="ip")["ip_blob"].copy()
    one.params["ip"][1].data[...] = 8
    assert two.forward(start="ip", end="ip")["ip_blob"] == pytest.approx(before + 1, abs=1e-5)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda net: net.forward(start="nothing"),
        lambda net: net.forward(data=np.zeros((5, 2, 3, 4))),
        lambda net: net.blobs["data"].reshape(-1, 2),
        lambda net: net.blobs["nothing"],
        lambda net: net.backward(ip_blob=np.zeros((5, 13))),
        lambda net: net.copy_from("/no/such/file.caffemodel"),
        lambda net: net.set_input_arrays(np.zeros((5, 2, 3, 4)), np.zeros(5)),
    ],
    ids=["layer", "input", "reshape", "blob", "gradient", "file", "memory data"],
)
def test_mistakes_are_exceptions_of_scripts(file: str, mistake) -> None:
    net = caffe.Net(file, caffe.TRAIN)
    with pytest.raises((RuntimeError, ValueError, KeyError)):
        mistake(net)
    net.forward()


def test_a_file_that_is_none() -> None:
    with pytest.raises(RuntimeError):
        caffe.Net("/no/such.prototxt", caffe.TEST)


def test_the_engine_answers_as_the_layers_do(large: tuple[str, str]) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
    net = caffe.Net(*large, caffe.TEST)
    fast = net.forward(data=x)["prob"].copy()
    assert net._engine._open
    net.blobs["data"].data[...] = 0  # what is asked for afterwards is still of the pass that was
    conv = net.blobs["conv"].data.copy()
    slow = caffe.Net(*large, caffe.TEST)
    slow.before_forward(lambda _: None)
    wanted = slow.forward(data=x)["prob"]
    assert fast == pytest.approx(wanted, abs=1e-5)
    assert conv == pytest.approx(slow.blobs["conv"].data, abs=1e-4)
    assert not net.blobs["data"].data.any()


def test_changed_weights_count_whether_or_not_an_array_is_held(large: tuple[str, str]) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
    net = caffe.Net(*large, caffe.TEST)
    first = net.forward(data=x)["prob"].copy()
    net.params["fc"][1].data[3] += 2
    second = net.forward()["prob"].copy()
    assert second[0, 3] > first[0, 3]
    held = net.params["fc"][1].data
    net.forward()
    held[3] -= 2
    assert net.forward()["prob"] == pytest.approx(first, abs=1e-5)
    held[5] += 2
    del held
    assert net.forward()["prob"][0, 5] > first[0, 5]


def test_backward_after_the_engine(large: tuple[str, str]) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
    found = []
    for quick in (True, False):
        net = caffe.Net(*large, caffe.TEST)
        if not quick:
            net.before_forward(lambda _: None)
        net.forward(data=x)
        net.blobs["prob"].diff[0, 2] = 1
        net.backward()
        found.append(net.params["conv"][0].diff.copy())
    assert np.abs(found[0]).max() > 0
    assert found[0] == pytest.approx(found[1], abs=1e-6)


LAYERS = """
import caffezoo.pycaffe as caffe


class Times10(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        top[0].data[...] = 10 * bottom[0].data

    def backward(self, top, propagate_down, bottom):
        bottom[0].diff[...] = 10 * top[0].diff


class Broken(caffe.Layer):
    def setup(self, bottom, top):
        raise RuntimeError("on purpose")


class Learns(caffe.Layer):
    def setup(self, bottom, top):
        self.blobs.add_blob(1)
        self.blobs[0].data[0] = 0

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)

    def forward(self, bottom, top):
        pass

    def backward(self, top, propagate_down, bottom):
        self.blobs[0].diff[0] = 1


class Phase(caffe.Layer):
    def setup(self, bottom, top):
        pass

    def reshape(self, bottom, top):
        top[0].reshape()

    def forward(self, bottom, top):
        top[0].data[()] = self.phase
"""


@pytest.fixture
def layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "made_here.py").write_text(LAYERS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "made_here", raising=False)
    return tmp_path


def python_net(folder: Path, *kinds: str) -> str:
    text = 'name: "python" force_backward: true input: "data" input_shape { dim: 3 dim: 2 }\n'
    below = "data"
    for i, kind in enumerate(kinds):
        text += f'layer {{ name: "layer{i}" type: "Python" bottom: "{below}" top: "top{i}" python_param {{'
        text += f' module: "made_here" layer: "{kind}" }} }}\n'
        below = f"top{i}"
    (folder / "python.prototxt").write_text(text)
    return str(folder / "python.prototxt")


def test_python_layers_forward_backward_and_reshape(layers: Path) -> None:
    net = caffe.Net(python_net(layers, "Times10", "Times10", "Times10"), caffe.TRAIN)
    net.blobs["data"].data[...] = 8
    assert (net.forward()["top2"] == 8000).all()
    net.blobs["top2"].diff[...] = 7
    net.backward()
    assert (net.blobs["data"].diff == 7000).all()
    net.blobs["data"].reshape(4, 4, 4, 4)
    net.forward()
    assert all(blob.data.shape == (4, 4, 4, 4) for blob in net.blobs.values())


def test_what_a_python_layer_raises_reaches_the_script(layers: Path) -> None:
    with pytest.raises(RuntimeError, match="on purpose"):
        caffe.Net(python_net(layers, "Broken"), caffe.TEST)


def test_a_python_layer_learns_and_is_saved(layers: Path) -> None:
    file = python_net(layers, "Learns")
    net = caffe.Net(file, caffe.TRAIN)
    net.forward()
    net.backward()
    blob = net.layers[list(net._layer_names).index("layer0")].blobs[0]
    assert (blob.data[0], blob.diff[0]) == (0, 1)
    blob.data[0] += blob.diff[0]
    net.save(str(layers / "w.caffemodel"))
    again = caffe.Net(file, str(layers / "w.caffemodel"), caffe.TRAIN)
    assert again.params["layer0"][0].data[0] == 1


@pytest.mark.parametrize("phase", [caffe.TRAIN, caffe.TEST])
def test_a_python_layer_knows_its_phase(layers: Path, phase: int) -> None:
    assert caffe.Net(python_net(layers, "Phase"), phase).forward()["top0"] == phase


def solver_file(folder: Path, net: str, **settings: object) -> str:
    values = {"base_lr": 0.01, "max_iter": 20, "lr_policy": '"fixed"', "momentum": 0.9, "display": 0} | settings
    lines = [f'net: "{net}"', f'snapshot_prefix: "{folder}/model"', *(f"{k}: {v}" for k, v in values.items())]
    (folder / "solver.prototxt").write_text("\n".join(lines))
    return str(folder / "solver.prototxt")


def test_a_solver_solves_and_its_nets_outlive_it(file: str, tmp_path: Path) -> None:
    solver = caffe.SGDSolver(solver_file(tmp_path, file, test_iter=2, test_interval=10, snapshot_after_train="false"))
    assert solver.iter == 0
    solver.solve()
    assert solver.iter == 20
    nets = [solver.net, *solver.test_nets]
    del solver
    gc.collect()
    assert all(np.isfinite(b.data).all() for net in nets for b in net.blobs.values())


def test_an_update_by_hand(file: str, tmp_path: Path) -> None:
    solver = caffe.SGDSolver(solver_file(tmp_path, file, momentum=0))
    blob = solver.net.layers[1].blobs[0]
    blob.data[...] = 0
    blob.diff[...] = 1
    solver.apply_update()
    assert blob.data == pytest.approx(np.full(blob.shape, -0.01))


def test_callbacks_of_a_solver(file: str, tmp_path: Path) -> None:
    solver = caffe.get_solver(solver_file(tmp_path, file, type='"AdaGrad"', momentum=0))
    assert isinstance(solver, caffe.AdaGradSolver)
    seen: list[str] = []
    solver.add_callback(lambda: seen.append("start"), lambda: seen.append("gradients"))
    solver.step(2)
    assert seen == ["start", "gradients"] * 2


def test_a_module_that_is_missing_is_named() -> None:
    with pytest.raises(AttributeError, match="'NCCL'"):
        caffe.NCCL  # noqa: B018
    assert {"Convolution", "Python", "ReLU"} <= set(caffe.layer_type_list())
