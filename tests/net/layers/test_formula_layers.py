"""Losses and scores of forks against a second writing of their formula: by an engine, as torch module, gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from caffezoo.engines.registry import create_engine
from caffezoo.errors import EngineError, LoweringError, PrototxtError, ShapeError
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from tests.engines.networks import requires_torch
from tests.net.layers.draws import SEEDS, cases
from tests.net.layers.fork_cases import ForkCase
from tests.net.layers.formula_cases import FORMULAS
from tests.net.layers.test_cases import bottoms
from tests.oracle import assert_close, layer_proto, one_layer_net, seeded_blobs

names = pytest.mark.parametrize("name", FORMULAS)


def network_of(fork: ForkCase) -> Network:
    network = Network.from_proto(one_layer_net(layer_proto(fork.case.layer), fork.case.shapes))
    node = network.nodes[-1]
    blobs = [2 * b - np.float32(1) for b in seeded_blobs(node.blob_shapes)]
    return network.with_weights({node.key: blobs} if blobs else {})


def by_formula(fork: ForkCase, network: Network, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    blobs = [b.astype(np.float64) for b in network.weights.get(network.nodes[-1].key, ())]
    found = fork.formula([x.astype(np.float64) for x in inputs.values()], blobs)
    return dict(zip(network.nodes[-1].layer.proto.top, found, strict=True))


@pytest.mark.parametrize("engine", ["openvino", pytest.param("torch", marks=requires_torch)])
@names
def test_an_engine_gives_the_formula(name: str, engine: str) -> None:
    fork = FORMULAS[name]
    network, inputs = network_of(fork), bottoms(fork.case)
    wanted = by_formula(fork, network, inputs)
    with create_engine(engine, network, outputs=list(wanted), threads=1) as run:
        found = run.run(inputs)
    for top, x in wanted.items():
        assert found[top].shape == x.shape
        assert_close(found[top], x, f"{engine}, top {top}")


@names
@cases(4)
@given(seed=SEEDS)
def test_drawn_values_give_the_formula(name: str, seed: int) -> None:
    fork = FORMULAS[name]
    network, inputs = network_of(fork), bottoms(fork.case, seed)
    layer = network.nodes[-1].layer
    found = layer.host(list(inputs.values()), network.weights.get(network.nodes[-1].key, ()))  # type: ignore[attr-defined]
    for (top, x), y in zip(by_formula(fork, network, inputs).items(), found, strict=True):
        assert_close(y, x, f"top {top}")


@pytest.mark.parametrize("name", [name for name, fork in FORMULAS.items() if fork.smooth])
def test_gradients_are_those_of_the_function(name: str) -> None:
    torch = pytest.importorskip("torch")
    from caffezoo.net.torch_module import to_torch

    fork = FORMULAS[name]
    module = to_torch(network_of(fork)).double()
    tensors = [torch.from_numpy(x).double() for x in bottoms(fork.case).values()]
    labels = fork.case.labels % len(tensors) if fork.case.classes else None
    for i, x in enumerate(tensors):
        x.requires_grad_(i != labels)
    parameters = [*module.parameters()]

    def run(*given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(module(*given[: len(tensors)]).values())

    assert torch.autograd.gradcheck(run, (*tensors, *parameters), eps=1e-6, atol=1e-5, fast_mode=True)


def test_no_standard_operators_say_it() -> None:
    with pytest.raises(LoweringError, match="no form in standard ONNX operators"):
        to_onnx(network_of(FORMULAS["ordinal_loss"]))


@pytest.mark.parametrize(("name", "label"), [("ordinal_loss", 7), ("general_triplet", 5)])
def test_a_label_that_is_no_class_is_refused(name: str, label: float) -> None:
    fork = FORMULAS[name]
    inputs = bottoms(fork.case)
    inputs["x1"] = np.full_like(inputs["x1"], label)
    network = network_of(fork)
    outputs = list(network.nodes[-1].layer.proto.top)
    with (
        create_engine("openvino", network, outputs=outputs, threads=1) as run,
        pytest.raises(EngineError, match="label"),
    ):
        run.run(inputs)


def made(kind: str, shapes: list[tuple[int, ...]], param: str = "") -> Network:
    names = [f"x{i}" for i in range(len(shapes))]
    text = f'name: "l" type: "{kind}" ' + " ".join(f'bottom: "{n}"' for n in names) + f' top: "y" {param}'
    return Network.from_proto(one_layer_net(layer_proto(text), dict(zip(names, shapes, strict=True))))


@pytest.mark.parametrize(
    ("kind", "shapes", "param", "message"),
    [
        ("GeneralTripletLoss", [(4, 5), (3,)], "", "one label a sample"),
        ("GeneralTripletLoss", [(4, 1), (4,)], "", "two classes"),
        ("EuclideanLossHeatmap", [(2, 3, 4, 5), (2, 3, 4, 5)], "", "square maps"),
        ("WeightEuclideanLoss", [(2, 10), (2, 10)], "", "136 values"),
        ("WeightEuclideanLoss", [(2, 136)] * 2, "weight_euclidean_loss_param { normalized: 1 }", "normalized"),
        ("OrdinalRegressionLoss", [(2, 7), (2,)], "", "two scores"),
        ("OrdinalRegressionLoss", [(2, 8), (2,)], 'ordinal_regression_loss_param { weight_file: "w" }', "weight_file"),
        ("MAE", [(2, 7), (2,)], "", "two scores a rank"),
        ("WeightedFmeasureLoss", [(2, 3)] * 4, "", "one channel"),
        ("WeightedFmeasureLoss", [(2, 3), (3, 2), (2, 3), (2, 3)], "", "agree"),
        ("InnerDistance", [(2, 3)], "", "num_output"),
        ("InnerProduct", [(2, 3), (4, 3)], "", "third bottom"),
        ("InnerProduct", [(2, 3), (4, 5)], "inner_product_param { bias_term: false }", "3 values a row"),
        (
            "InnerProduct",
            [(2, 3)],
            "inner_product_param { num_output: 4 normalize: true transpose: true }",
            "transpose",
        ),
        ("Normalize", [(2, 3, 4, 4)], "", "forks differ over maps"),
        ("Normalize", [(2, 3)], 'normalize_param { normalize_type: "L3" }', "neither L1 nor L2"),
        (
            "LabelSpecificMargin",
            [(2, 3), (2,)],
            "label_specific_margin_param { margin_on_test: true }",
            "margin_on_test",
        ),
        ("TripletLoss", [(2, 3), (2,)], "", "3 to 4 bottom"),
        ("TripletLoss", [(2, 3)] * 3, "triplet_loss_param { losstype: 1 }", "no field 'losstype'"),
        ("TripletLoss", [(2, 3), (2, 3), (2, 4)], "", "agree"),
        ("CosineLoss", [(2, 3, 4)] * 2, "", "along axis 1"),
        ("WingLoss", [(2, 3)] * 2, "wing_loss_param { w: 10 }", "positive epsilon"),
        ("HuberLoss", [(2, 3)] * 2, "", "positive delta"),
        ("LargeMarginInnerProduct", [(2, 3), (2,)], "", "positive num_output"),
        ("WeightedSoftmaxWithLoss", [(2, 3), (2,)], "", "3 bottom"),
        ("WeightedSoftmaxWithLoss", [(2, 3), (2,), (3,)], "", "label and a weight"),
        ("UniqueLabel", [(2, 1, 4, 4)], "", "max_labels must be given"),
        ("Maxout", [(2, 5, 4, 4)], "maxout_param { chgroup_sz: 2 }", "groups of 2"),
        ("Maxout", [(2, 4, 4, 4)], "", "positive chgroup_sz"),
        ("RReLU", [(2, 4)], "", "both lb and ub"),
        ("InnerDistance", [(2, 3)], "inner_distance_param { num_output: 4 transpose: true }", "transpose"),
        ("InnerDistance", [(2, 3)], "inner_distance_param { num_output: 4 bias_term: true }", "bias_term"),
        ("InnerDistance", [(2, 3), (4, 5)], "", "centres of 3 values"),
    ],
)
def test_what_does_not_fit_is_refused(kind: str, shapes: list[tuple[int, ...]], param: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        made(kind, shapes, param)


def test_more_labels_than_fit_are_refused() -> None:
    network = made("UniqueLabel", [(1, 1, 2, 2)], "unique_label_param { max_labels: 2 }")
    run = create_engine("openvino", network, threads=1)
    with run, pytest.raises(EngineError, match="3 labels"):
        run.run({"x0": np.array([0, 1, 2, 2], np.float32).reshape(1, 1, 2, 2)})


def test_what_would_be_written_for_matlab_is_an_output() -> None:
    network = Network.from_text("""
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        layer { name: "r" type: "ReLU" bottom: "x" top: "y" }
        layer { name: "w" type: "MatWrite" bottom: "y" mat_write_param { prefix: "out" } }""")
    with create_engine("openvino", network, threads=1) as run:
        found = run.run({"x": np.full((2, 3), -1, np.float32)})
    assert {name: x.tolist() for name, x in found.items()} == {"y": [[0, 0, 0]] * 2}


def test_a_message_that_is_read_is_not_said_to_be_ignored() -> None:
    text = """layer { name: "x" type: "Input" top: "x" top: "l"
      input_param { shape { dim: 2 dim: 3 } shape { dim: 2 } } }
    layer { name: "m" type: "CosinAddm" bottom: "x" bottom: "l" top: "y" cosin_add_m_param { m: 0.3 } %s }"""
    assert Network.from_text(text % "").notes == ()
    with pytest.raises(PrototxtError, match="no field 'combined_margin_param'"):
        Network.from_text(text % "combined_margin_param { m1: 1 }")
