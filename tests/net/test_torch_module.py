"""The torch form as something to train: one Parameter a shared blob, BatchNorm's statistics, pickling, losses."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from caffezoo.errors import LoweringError, ShapeError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network
from tests.net.layers.cases import CASES
from tests.net.layers.test_cases import bottoms
from tests.net.layers.test_torch_forms import one_layer
from tests.oracle import assert_close, caffe_outputs, requires_caffe, seeded_blobs

torch = pytest.importorskip("torch")

INPUT = 'layer { name: "data" type: "Input" top: "data" top: "label" input_param { %s } }'
TWINS = (
    INPUT % "shape { dim: 4 dim: 6 } shape { dim: 4 }"
    + """
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" lr_mult: 2 } param { decay_mult: 0 }
  inner_product_param { num_output: 6 } }
layer { name: "b.2" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" %s }
  inner_product_param { num_output: %d bias_term: false } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "b" bottom: "label" top: "loss" loss_weight: 0.5 }
layer { name: "accuracy" type: "Accuracy" bottom: "b" bottom: "label" top: "accuracy" }
"""
)


def filled(network: Network) -> Network:
    """Return the network with random blobs."""
    return network.with_weights(
        {n.name: seeded_blobs(n.blob_shapes, seed=i) for i, n in enumerate(network.nodes) if n.blob_shapes}
    )


def module_of(text: str, phase: int = pb.TRAIN):
    from caffezoo.net.torch_module import to_torch

    return to_torch(filled(Network.from_text(text, phase=phase)))


def batch(seed: int = 0):
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(size=(4, 6)).astype(np.float32)), torch.tensor([0.0, 1.0, 2.0, 5.0])]


def test_a_shared_blob_is_one_parameter() -> None:
    module = module_of(TWINS % ("", 6))
    a, b = module.layers[:2]
    assert a.blob0 is b.blob0
    assert [n for n, _ in module.named_parameters()] == ["a.blob0", "a.blob1"]
    before = a.blob0.detach().clone()
    values = module.blobs(*batch())
    module.loss(values).backward()
    torch.optim.SGD(module.parameters(), 0.1).step()
    assert not torch.equal(before, b.blob0)
    assert torch.equal(a.blob0, b.blob0)
    twin = copy.deepcopy(module)
    assert twin.layers[0].blob0 is twin.layers[1].blob0
    assert twin.layers[0].blob0 is not a.blob0


def test_learned_lists_blobs_as_caffe_does() -> None:
    found = [(b.name, b.layer, b.lr_mult, b.decay_mult, b.owner) for b in module_of(TWINS % ("", 6)).learned()]
    assert found == [
        ("a.blob0", "a", 2, 1, "a.blob0"),
        ("a.blob1", "a", 1, 0, "a.blob1"),
        ("b/2.blob0", "b.2", 2, 1, "a.blob0"),
    ]


def test_another_rate_for_a_shared_blob_is_refused() -> None:
    with pytest.raises(LoweringError, match="lr_mult 3, its owner 2"):
        module_of(TWINS % ("lr_mult: 3", 6))


def test_shared_blobs_of_other_shapes() -> None:
    text = (
        INPUT % "shape { dim: 2 dim: 6 } shape { dim: 2 }"
        + """
    layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" }
      inner_product_param { num_output: 2 bias_term: false } }
    layer { name: "b" type: "InnerProduct" bottom: "data" top: "b" param { name: "w" %s }
      inner_product_param { num_output: 2 transpose: true bias_term: false } }
    """
    )
    with pytest.raises(ShapeError, match=r"cannot share 'w' of layer 'a': it has shape \[2, 6\], blob 0 here \[6, 2\]"):
        module_of(text % "")
    module = module_of(text % "share_mode: PERMISSIVE")
    x = torch.rand(2, 6)
    weight = module.layers[0].blob0
    found = pickle.loads(pickle.dumps(module))(x, torch.zeros(2))
    torch.testing.assert_close(found["b"], x @ weight.view(6, 2))
    assert [n for n, _ in module.named_parameters()] == ["a.blob0"]


def test_what_is_not_trained_has_no_gradient() -> None:
    text = (
        INPUT % "shape { dim: 4 dim: 6 } shape { dim: 4 }"
        + """
    layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { lr_mult: 0 }
      inner_product_param { num_output: 3 } }
    layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" propagate_down: false
      inner_product_param { num_output: 6 } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "b" bottom: "label" top: "loss" }
    """
    )
    module = module_of(text)
    module.loss(module.blobs(*batch())).backward()
    a, b = module.layers[:2]
    assert a.blob0.grad is None
    assert a.blob1.grad is None  # the next layer passes nothing down
    assert b.blob0.grad.abs().sum() > 0


def test_losses_count_with_their_weights() -> None:
    module = module_of(TWINS % ("", 6))
    values = module.blobs(*batch())
    assert [(top.name, weight) for top, weight in module.losses] == [("loss", 0.5)]
    assert module.loss(values) == values[module.newest("loss")] * 0.5
    with pytest.raises(ShapeError, match="one loss_weight a top"):
        module_of((TWINS % ("", 6)).replace("loss_weight: 0.5", "loss_weight: 0.5 loss_weight: 1"))


def test_every_version_of_every_blob_can_be_read() -> None:
    text = 'layer { name: "data" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }' + "".join(
        f'layer {{ name: "p{i}" type: "Power" bottom: "x" top: "x" power_param {{ shift: 1 }} }}' for i in range(2)
    )
    module = module_of(text)
    values = module.blobs(torch.zeros(2, 3))
    assert {(b.name, b.version): float(x.mean()) for b, x in values.items()} == {("x", 0): 0, ("x", 1): 1, ("x", 2): 2}


def test_weights_come_back() -> None:
    network = filled(Network.from_text(TWINS % ("", 6), phase=pb.TRAIN))
    from caffezoo.net.torch_module import to_torch

    found = to_torch(network).weights()
    assert list(found) == ["a", "b.2"]
    assert all(np.array_equal(x, y) for x, y in zip(found["a"], network.weights["a"], strict=True))
    assert np.array_equal(found["b.2"][0], network.weights["a"][0])
    network.with_weights(found)


def test_another_net_can_see_what_is_trained() -> None:
    train, test = module_of(TWINS % ("", 6)), module_of(TWINS % ("", 6), pb.TEST)
    test.share_with(train)
    assert test.layers[0].blob0 is train.layers[0].blob0
    with pytest.raises(LoweringError, match="in the other net"):
        module_of((TWINS % ("", 6)).replace("bias_term: false", "")).share_with(train)


@pytest.mark.parametrize("name", CASES)
def test_modules_can_be_pickled(name: str) -> None:
    from caffezoo.net.torch_module import to_torch

    case = CASES[name]
    module = to_torch(one_layer(case.layer, case.shapes))
    twin, inputs = pickle.loads(pickle.dumps(module)), [torch.from_numpy(x) for x in bottoms(case).values()]
    for top, found in module(*inputs).items():
        assert torch.equal(found.nan_to_num(), twin(*inputs)[top].nan_to_num())


NORM = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 5 dim: 2 } } }'
    + """
layer { name: "bn" type: "BatchNorm" bottom: "data" top: "bn" batch_norm_param { moving_average_fraction: 0.7 } }
"""
)


def test_batch_norm_keeps_caffes_statistics() -> None:
    module, fraction = module_of(NORM), float(np.float32(0.7))
    mean, variance, factor = (x.astype(np.float64) for x in module.layers[0].blobs())
    rng = np.random.default_rng(1)
    for _ in range(3):
        x = rng.normal(1, 2, (4, 3, 5, 2)).astype(np.float32)
        y = module(torch.from_numpy(x))["bn"]
        own = x.astype(np.float64).transpose(1, 0, 2, 3).reshape(3, -1)
        mean = fraction * mean + own.mean(1)
        variance = fraction * variance + own.var(1) * own.shape[1] / (own.shape[1] - 1)
        factor = fraction * factor + 1
        wanted = (own - own.mean(1, keepdims=True)) / np.sqrt(own.var(1, keepdims=True) + 1e-5)
        assert_close(y.numpy().transpose(1, 0, 2, 3).reshape(3, -1), wanted, "bn", 1e-5)
    for found, wanted in zip(module.layers[0].blobs(), (mean, variance, factor), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
    module.eval()
    module(torch.zeros(4, 3, 5, 2))
    assert np.array_equal(module.layers[0].blobs()[2], np.float32(factor))


def test_batch_norm_of_one_value_a_channel() -> None:
    text = NORM.replace("dim: 4 dim: 3 dim: 5 dim: 2", "dim: 1 dim: 3")
    module, x = module_of(text), torch.tensor([[1.0, 2.0, 3.0]])
    before = module.layers[0].blobs()
    assert torch.equal(module(x)["bn"], torch.zeros(1, 3))
    np.testing.assert_allclose(module.layers[0].blobs()[0], before[0] * 0.7 + x.numpy()[0], rtol=1e-6)


def test_batch_norms_statistics_take_no_learning_rate() -> None:
    assert [b.lr_mult for b in module_of(NORM).learned()] == [0, 0, 0]
    with pytest.raises(ShapeError, match="cannot be trained"):
        module_of(NORM.replace('top: "bn"', 'top: "bn" param { lr_mult: 1 }'))


@requires_caffe
def test_batch_norm_at_test_divides_by_the_factor_as_caffe() -> None:
    network = filled(Network.from_text(NORM))
    from caffezoo.net.torch_module import to_torch

    x = np.random.default_rng(0).normal(size=(4, 3, 5, 2)).astype(np.float32)
    for factor in (0.0, 0.5, 40.0):
        network.weights["bn"][2][:] = factor
        with torch.no_grad():
            found = to_torch(network)(torch.from_numpy(x))["bn"].numpy()
        wanted = caffe_outputs(NORM, {"bn": network.weights["bn"]}, {"data": x})["bn"]
        assert_close(found, wanted, f"factor {factor}", 1e-5)


def test_the_losses_gradient_has_no_limit() -> None:
    text = INPUT % "shape { dim: 1 dim: 2 } shape { dim: 1 }" + (
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "data" bottom: "label" top: "loss" }'
    )
    x = torch.tensor([[0.0, 200.0]], requires_grad=True)
    loss = module_of(text)(x, torch.zeros(1))["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(-np.log(np.finfo(np.float32).tiny), rel=1e-6)
    assert torch.equal(x.grad, torch.tensor([[-1.0, 1.0]]))
