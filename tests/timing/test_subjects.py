"""Networks timed in real engines: layers, backward passes, the sum of layers against the whole."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median

import pytest

from caffezoo.engines.caffe_process import CaffeProcess
from caffezoo.errors import EngineUnavailableError, PrecisionError, UsageError
from caffezoo.formats.image_size import Size
from caffezoo.formats.prototxt import write_prototxt
from caffezoo.net.graph import Network
from caffezoo.timing.networks import Job, mixed
from caffezoo.timing.session import Failure, measure_job
from caffezoo.timing.subjects import Settings, Subject, open_subject
from caffezoo.timing.training_form import training_form
from caffezoo.zoo.resources import data_root
from tests.engines.networks import requires_torch, small_network
from tests.oracle import ROOT, oracle_python, requires_caffe

RESNET18 = data_root() / "prototxt" / "resnet" / "deploy_resnet18-priv.prototxt"
JOB = Job("resnet18-priv", RESNET18, Size.of(96), 1)


def settings(engine: str, backward: bool = True) -> Settings:
    return Settings(engine, threads=1, backward=backward, caffe_python=oracle_python())


@pytest.fixture(scope="module")
def network() -> Network:
    return JOB.load()


every_engine = pytest.mark.parametrize(
    ("engine", "backward"),
    [
        ("openvino", False),
        ("onnxruntime", False),
        pytest.param("torch", False, marks=requires_torch),
        pytest.param("torch", True, marks=requires_torch),
        pytest.param("caffe", True, marks=requires_caffe),
    ],
)


@every_engine
def test_layers_sum_up_to_the_whole(network: Network, engine: str, backward: bool) -> None:
    """Layers take at least the processor's time of a whole run and at most its time by the clock, give or take 15 %.

    On a quiet machine the two are one; on a busy one the clock also counts what other programs do. One of several
    comparisons must hold, because these interrupt long runs more than short layers.
    """
    found = []
    with open_subject(network, settings(engine, backward)) as subject:
        for _ in range(12):
            runs = [_cpu_and_clock_ms(subject) for _ in range(5)]
            clock = median(clock for _, clock in runs)
            cpu = (
                min(clock for _, clock in runs) if engine == "caffe" else min(cpu for cpu, _ in runs)
            )  # another process
            rounds = iter([True, True, True, False])
            layers = subject.layers(lambda rounds=rounds: next(rounds))  # type: ignore[misc]
            together = sum(layer.forward_ms + (layer.backward_ms or 0.0) for layer in layers)
            found.append(f"{together:.1f} of {cpu:.1f} to {clock:.1f}")
            if 0.85 * cpu <= together <= 1.15 * clock:
                return
    pytest.fail(f"layers, and the whole by the processor's time and by the clock, ms: {', '.join(found)}")


def _cpu_and_clock_ms(subject: Subject) -> tuple[float, float]:
    begun = time.process_time()
    clock = sum(t or 0.0 for t in subject.whole())
    return 1e3 * (time.process_time() - begun), 1e3 * clock


@every_engine
def test_every_layer_that_computes_has_its_time(network: Network, engine: str, backward: bool) -> None:
    with open_subject(network, settings(engine, backward)) as subject:
        layers = {layer.layer: layer for layer in subject.layers(lambda: False)}
        products = [node for node in network.nodes if node.macs]
        for node in products:
            assert layers[node.name].forward_ms > 0
            assert layers[node.name].layer_type == node.layer.type
            assert (layers[node.name].backward_ms is not None) == backward
        if backward:
            assert layers["conv1_relu"].backward_ms is not None
            assert layers["conv1_relu"].backward_ms > 0
        assert subject.memory_peak_bytes is None or subject.memory_peak_bytes > network.blob_element_count
        assert subject.threads in (0, 1)


@requires_torch
def test_layer_by_layer_gives_the_gradients_of_the_whole() -> None:
    torch = pytest.importorskip("torch")
    from caffezoo.timing.torch_subject import TorchSubject

    subject = TorchSubject(small_network(), settings("torch"))
    subject.whole()
    whole = [p.grad.clone() for p in subject._module.parameters()]
    subject.layers(lambda: False)
    for p, wanted in zip(subject._module.parameters(), whole, strict=True):
        torch.testing.assert_close(p.grad, wanted)


@requires_caffe
def test_a_deploy_file_alone_has_no_backward_pass_in_caffe(network: Network) -> None:
    net, plain = training_form(network)
    assert list(net.layer[-1].loss_weight) == [1.0]
    seconds = []
    with CaffeProcess(oracle_python(), threads=1) as process:
        for proto in (plain.prototxt.net, net):
            process.load(write_prototxt(proto), plain.weights)
            process.time(backward=True, layers=False)
            seconds.append(process.time(backward=True, layers=False)["backward_seconds"])
    assert seconds[0] < 0.02 * seconds[1]


def test_layers_without_a_backward_pass_get_no_loss() -> None:
    text = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "max" type: "ArgMax" bottom: "data" top: "max" }
    layer { name: "cut" type: "Slice" bottom: "data" top: "a" top: "b" top: "c" }
    layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" top: "sum" }
    """
    net, _ = training_form(Network.from_text(text))
    assert [list(layer.loss_weight) for layer in net.layer] == [[], [], [0.0, 0.0, 1.0], [1.0]]


def test_a_failure_in_one_engine_leaves_the_others(tmp_path: Path) -> None:
    gone = Settings("caffe", caffe_python=str(tmp_path / "python"))
    found = measure_job(JOB, [gone, settings("onnxruntime", False)], iterations=1, layers=False, budget_s=0.5)
    failure, made = found
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, EngineUnavailableError)
    assert not isinstance(made, Failure)
    assert (made.engine, made.crop_size, made.batch_size, made.threads) == ("onnxruntime", 96, 1, 1)
    assert made.forward is not None
    assert made.backward is None
    assert set(made.versions) == {"caffezoo", "onnxruntime"}


def test_a_network_that_cannot_have_this_size_is_refused() -> None:
    path = next((ROOT / "prototxt").rglob("deploy_vgg16*.prototxt"))
    with pytest.raises(UsageError, match=r"'vgg16': it does not run at 299 px: the weights of layer 'fc6'"):
        Job("vgg16", path, Size.of(299), 1).load(weights=False)


def test_caffe_has_one_precision(network: Network) -> None:
    with pytest.raises(PrecisionError, match="Caffe runs float32, not bfloat16"):
        open_subject(network, Settings("caffe", "bfloat16"))


def test_order_is_mixed_and_the_same_every_time() -> None:
    jobs = [Job(f"net{i}", Path("p"), Size.of(size), 1) for i in range(20) for size in (224, 320)]
    assert mixed(jobs) == mixed(jobs[::-1])
    assert mixed(jobs) != jobs
    assert set(mixed(jobs)) == set(jobs)
