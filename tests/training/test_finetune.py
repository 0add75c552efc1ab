"""Fine-tuning from a folder to Caffe's files, at every precision; going on after any end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra torch)")

from caffezoo.engines.registry import create_engine  # noqa: E402
from caffezoo.errors import DataError, TrainingError, UsageError  # noqa: E402
from caffezoo.formats.image_size import Size  # noqa: E402
from caffezoo.formats.preprocessing import Preprocessing  # noqa: E402
from caffezoo.formats.solver import read_solver  # noqa: E402
from caffezoo.net.graph import Network  # noqa: E402
from caffezoo.training.caffe_log import parse_training_log  # noqa: E402
from caffezoo.training.finetune import FineTuning  # noqa: E402
from caffezoo.training.job import Job  # noqa: E402
from caffezoo.training.outcome import write_outcome  # noqa: E402
from caffezoo.training.precision_forms import PrecisionChoice  # noqa: E402
from caffezoo.training.splits import split_folder  # noqa: E402
from caffezoo.training.updates import Update  # noqa: E402
from tests.oracle import caffe_outputs, requires_caffe  # noqa: E402
from tests.training.caffe_runs import caffe_solves  # noqa: E402
from tests.training.pictures import NET, draw_classes  # noqa: E402

SIZES = Preprocessing((100.0,) * 3, (64.0,) * 3, Size.of(14), Size.of(12), "squash")
CHOICES = {
    "full": PrecisionChoice(),
    "8bit": PrecisionChoice("8bit"),
    "8bit-fixed": PrecisionChoice("8bit", ranges="fixed"),
    "dorefa": PrecisionChoice("8bit", 2, 3),
    "binary": PrecisionChoice("binary"),
    "all-binary": PrecisionChoice("binary", scaling="none", first_real=False, last_real=False),
}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def job(tmp_path) -> Job:
    data = draw_classes(tmp_path / "data")
    network = Network.from_text(NET)
    return Job(
        "small", network, SIZES, str(data), tmp_path / "out", epochs=4, batch_size=8, solver="adam", mirror=False
    )


def trained(job: Job):
    training = FineTuning(job)
    training.run()
    outcome = write_outcome(training)
    training.close()
    return training, outcome


def crops(job: Job) -> np.ndarray:
    """Return the validation images as the network takes them."""
    images = [cv2.resize(cv2.imread(name), (14, 14)) for name, _ in split_folder(job.data).val]
    return np.stack([(x[1:13, 1:13].astype(np.float32) - 100).transpose(2, 0, 1) / 64 for x in images])


@pytest.mark.parametrize("choice", CHOICES)
def test_files_come_out_and_the_network_answers_alike_elsewhere(job, choice):
    job = replace(job, precision=CHOICES[choice], epochs=6, rate=0.01)
    training, outcome = trained(job)
    assert outcome.validation.accuracy >= 0.9
    assert outcome.validation.confusion.sum() == 8
    network = Network.load(outcome.deploy, outcome.caffemodel)
    x = crops(job)
    with create_engine("onnxruntime", network, batch_size=8, threads=1, input_dtype="float32") as engine:
        (found,) = engine.run(x).values()
    answers = found.reshape(8, 2).argmax(1)
    labels = [label for _, label in training.plan.split.val]
    assert (answers == labels).mean() == pytest.approx(outcome.validation.accuracy)
    assert np.ptp(found, 0).max() > 1e-3  # outputs vary with the input
    for name in ("train_val.prototxt", "solver.prototxt", "labels.txt", "history.csv", "confusion.csv", "summary.csv"):
        assert (job.output / name).stat().st_size > 0
    assert read_solver(job.output / "solver.prototxt").param.max_iter == 24
    for name in training.plan.form.weights:
        blob = network.weights[name][0]
        assert len(np.unique(blob[0])) <= {"8bit": 256, "8bit-fixed": 256, "dorefa": 4}.get(choice, 2), name


@requires_caffe
@pytest.mark.parametrize("choice", ["8bit", "binary"])
def test_real_caffe_gives_the_same_outputs(job, choice):
    job = replace(job, precision=CHOICES[choice])
    training, outcome = trained(job)
    network = Network.load(outcome.deploy, outcome.caffemodel)
    x = crops(job)
    wanted = caffe_outputs(outcome.deploy.read_text(), network.weights, {"data": x}, ["prob"])["prob"]
    net = training.val_net
    training.val_net.options.threads = 1
    with torch.no_grad():
        net.forward([torch.from_numpy(x), torch.zeros(8)])
    found = next(o.values for o in net.results() if o.name == "prob").reshape(8, 2)
    np.testing.assert_allclose(found, wanted.reshape(8, 2), atol=1e-5)


@requires_caffe
def test_real_caffe_trains_with_the_files_of_a_network_with_layers_that_it_lacks(job, tmp_path, monkeypatch):
    text = NET.replace('name: "relu1" type: "ReLU"', 'name: "relu1" type: "Clip" clip_param { min: 0 max: 6 }')
    text = text.replace("kernel_size: 2 stride: 2 }", "kernel_size: 2 stride: 2 ceil_mode: false }")
    monkeypatch.chdir(tmp_path)
    job = replace(job, network=Network.from_text(text), output=Path("files"), epochs=1)
    training, outcome = trained(job)
    log = caffe_solves("files/solver.prototxt")["files/solver.prototxt"]
    assert parse_training_log(log).iterations == training.solver.param.max_iter
    network = Network.load(outcome.deploy, outcome.caffemodel)
    assert caffe_outputs(outcome.deploy.read_text(), network.weights, {"data": crops(job)})["prob"].shape == (8, 2)


def test_a_training_goes_on_bit_for_bit_after_a_kill(job, tmp_path, monkeypatch):
    whole, _ = trained(job)
    other = replace(job, output=tmp_path / "other")
    broken = FineTuning(other)
    steps = iter(range(8))
    step = Update.step

    def dies(self, *arguments):
        if next(steps, None) is None:
            raise SystemExit(137)
        step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Update, "step", dies)
        with pytest.raises(SystemExit):
            broken.run()
    broken.close()
    assert len(json.loads((other.output / "checkpoint.json").read_text())["history"]) == 2
    torch.manual_seed(99)
    again, _ = trained(other)
    for a, b in zip(again.progress.history, whole.progress.history, strict=True):
        assert replace(a, seconds=0) == replace(b, seconds=0)
    for name, blobs in whole.solver.net.weights().items():
        for own, found in zip(blobs, again.solver.net.weights()[name], strict=True):
            np.testing.assert_array_equal(own, found, err_msg=name)


def test_a_checkpoint_of_other_settings_is_refused(job):
    trained(job)
    with pytest.raises(TrainingError, match="has batch_size 8, not 4"):
        FineTuning(replace(job, batch_size=4)).run()


def test_frozen_layers_keep_their_weights_and_others_do_not(job):
    network = job.network
    rng = np.random.default_rng(0)
    weights = {n.key: [rng.normal(0, 0.1, s) for s in n.blob_shapes] for n in network.nodes if n.blob_shapes}
    job = replace(job, network=network.with_weights(weights), freeze=("conv1", "conv2"))
    training, outcome = trained(job)
    found = Network.load(outcome.deploy, outcome.caffemodel).weights
    assert training.plan.frozen == ("conv1", "conv2")
    assert "fc-2" in found
    for name in ("conv1", "conv2"):
        np.testing.assert_array_equal(found[name][0], weights[name][0].astype(np.float32))
    assert (found["conv3"][0] != weights["conv3"][0].astype(np.float32)).any()
    assert training.before is not None
    with pytest.raises(UsageError, match=r"no layer is named 'blocks\*'"):
        FineTuning(replace(job, freeze=("blocks*",)))


def test_batch_norms_use_the_batch_where_there_are_no_statistics_yet(job):
    norm = 'layer { name: "bn" type: "BatchNorm" bottom: "conv2" top: "conv2" batch_norm_param { %s } }\n'
    text = NET.replace('layer { name: "relu2"', norm % "use_global_stats: true" + 'layer { name: "relu2"')
    scratch = FineTuning(replace(job, network=Network.from_text(text)))
    scratch.close()
    assert "use_global_stats" not in (job.output / "train_val.prototxt").read_text()
    network = Network.from_text(text.replace("use_global_stats: true", ""))
    weights = {n.key: [np.ones(s, np.float32) for s in n.blob_shapes] for n in network.nodes if n.blob_shapes}
    trained_before = FineTuning(replace(job, network=network.with_weights(weights)))
    trained_before.close()
    assert "use_global_stats: true" in (job.output / "train_val.prototxt").read_text()


def test_networks_that_take_rgb_get_a_convolution_of_their_input(job):
    sizes = replace(SIZES, channel_order="RGB", std=(50.0, 60.0, 70.0))
    training = FineTuning(replace(job, preprocessing=sizes))
    net = training.val_net
    net.keep_blobs = True
    net.seek(0)
    net.forward()
    training.close()
    values = {blob.name: x for blob, x in net.values.items()}
    pixels, found = values["pixels"].numpy(), values["data"].detach().numpy()
    wanted = (pixels / np.array([50, 60, 70], np.float32).reshape(1, 3, 1, 1))[:, ::-1]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_rare_classes_count_as_much_where_asked(job, tmp_path):
    data = draw_classes(tmp_path / "uneven", images=20)
    for i in range(12):
        (data / "right" / f"{i:02}.png").unlink()
    training, _ = trained(replace(job, data=str(data), output=tmp_path / "balanced", balance=True))
    left, right = training.plan.split.weights()
    assert (left, right) == pytest.approx((22 / 32, 22 / 12))
    assert "InfogainLoss" in (tmp_path / "balanced" / "train_val.prototxt").read_text()


def test_patience_ends_a_training_early(job, tmp_path):
    training, _ = trained(replace(job, rate=1e-9, epochs=9, patience=2, output=tmp_path / "idle"))
    assert len(training.progress.history) == 3


def test_folders_that_cannot_be_trained_with(tmp_path):
    one = draw_classes(tmp_path / "one", ("only",))
    with pytest.raises(DataError, match="one class, 'only'"):
        split_folder(str(one))
    (tmp_path / "one" / "none").mkdir()
    with pytest.raises(DataError, match="class 'none' holds no image"):
        split_folder(str(one))
    single = draw_classes(tmp_path / "single", images=1)
    with pytest.raises(DataError, match="has one image"):
        split_folder(str(single))
    for part in ("train", "val"):
        draw_classes(tmp_path / "parts" / part, images=3)
    split = split_folder(str(tmp_path / "parts"))
    assert (len(split.train), len(split.val), split.classes) == (6, 6, ("left", "right"))
    draw_classes(tmp_path / "parts" / "train", ("third",), images=1)
    with pytest.raises(DataError, match="class 'third' is not in both"):
        split_folder(str(tmp_path / "parts"))


def test_a_split_by_seed_takes_a_share_of_every_class(tmp_path):
    data = str(draw_classes(tmp_path / "data", images=10))
    first, same, other = (split_folder(data, 0.3, seed) for seed in (0, 0, 1))
    assert first == same
    assert first.val != other.val
    assert [label for _, label in first.val] == [0] * 3 + [1] * 3
    assert not {name for name, _ in first.val} & {name for name, _ in first.train}


def test_choices_that_cannot_be():
    for wrong in (
        {"kind": "half"},
        {"scaling": "row"},
        {"ranges": "wide"},
        {"weight_bits": 2},
        {"kind": "8bit", "weight_bits": 9},
    ):
        with pytest.raises(UsageError):
            PrecisionChoice(**wrong)
