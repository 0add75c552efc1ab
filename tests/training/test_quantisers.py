"""Quantisers: values at half-way points and limits, gradients by their rules, and both in real Caffe."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs PyTorch (extra torch)")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from hypothesis.extra.numpy import array_shapes, arrays  # noqa: E402

from caffezoo.formats import caffe_pb2 as pb  # noqa: E402
from caffezoo.net.graph import Network  # noqa: E402
from caffezoo.net.onnx_graph import to_onnx  # noqa: E402
from caffezoo.training.precision_forms import plain_steps  # noqa: E402
from caffezoo.training.quantisers import (  # noqa: E402
    binary_weights,
    dorefa_weights,
    fixed_point,
    scaled_fixed_point,
    sign,
    stepped_relu,
)
from tests.oracle import caffe_outputs, onnx_outputs, requires_caffe  # noqa: E402


def values_and_gradients(function, values):
    x = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    y = function(x)
    y.sum().backward()
    return y.detach().tolist(), x.grad.tolist()


def test_sign_takes_0_for_positive_and_passes_gradients_within_1():
    found, gradients = values_and_gradients(sign, [-2, -1, -1e-30, -0.0, 0, 1e-30, 1, 1.5])
    assert found == [-1, -1, -1, 1, 1, 1, 1, 1]
    assert gradients == [0, 1, 1, 1, 1, 1, 1, 0]


def test_eight_bit_weights_have_256_levels_and_round_halves_to_even():
    found, gradients = values_and_gradients(fixed_point, [0.5 / 128, 1.5 / 128, -0.5 / 128, -1, -1.01, 127 / 128, 1, 5])
    assert found == [0, 2 / 128, 0, -1, -1, 127 / 128, 127 / 128, 127 / 128]
    assert gradients == [1, 1, 1, 1, 0, 1, 0, 0]
    levels = fixed_point(torch.linspace(-2, 2, 100_001)).unique()
    assert len(levels) == 256


def test_scaled_weights_have_the_steps_of_a_power_of_two():
    found, gradients = values_and_gradients(scaled_fixed_point, [0.3, -0.2, 0.001, 0.0])
    assert found == [0.5 * round(0.6 * 128) / 128, 0.5 * round(-0.4 * 128) / 128, 0, 0]
    assert gradients == [1, 1, 1, 1]
    assert scaled_fixed_point(torch.zeros(3)).tolist() == [0, 0, 0]


def test_eight_bit_activations_have_128_levels_below_1():
    def relu(x):
        return stepped_relu(x, 128, 127)

    found, gradients = values_and_gradients(relu, [-1, -0.5 / 128, 0, 0.5 / 128, 1.5 / 128, 127 / 128, 127.6 / 128, 3])
    assert found == [0, 0, 0, 0, 2 / 128, 127 / 128, 127 / 128, 127 / 128]
    assert gradients == [0, 1, 1, 1, 1, 1, 0, 0]  # -0.5 is rounded to 0, which is within the limits
    assert len(relu(torch.linspace(-1, 2, 100_001)).unique()) == 128


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_dorefa_activations_of_k_bits(bits):
    n = 2**bits - 1
    found = stepped_relu(torch.linspace(-1, 2, 10_001), n, n).unique()
    np.testing.assert_allclose(found, np.arange(n + 1) / n, rtol=1e-6)


def test_dorefa_weights():
    w = torch.tensor([-2.0, -0.3, 0.0, 0.4], requires_grad=True)
    t = np.tanh(w.detach().numpy())
    for bits in (2, 8):
        n = 2**bits - 1
        wanted = 2 * np.round((t / (2 * np.abs(t).max()) + 0.5) * n) / n - 1
        np.testing.assert_allclose(dorefa_weights(w, bits).detach(), wanted, rtol=1e-5, atol=1e-6)
    one = dorefa_weights(w, 1)
    np.testing.assert_allclose(one.detach(), np.array([-1, -1, 1, 1]) * 0.675, rtol=1e-6)
    one.sum().backward()
    assert w.grad.tolist() == [1, 1, 1, 1]


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=4, max_side=4), elements=st.floats(-2, 2, width=32)))
def test_binary_weights_are_their_sign_times_the_mean_magnitude(w):
    found = binary_weights(torch.from_numpy(w)).numpy()
    scale = np.abs(w).reshape(len(w), -1).mean(1).reshape(-1, *(1,) * (w.ndim - 1))
    positive = np.where(w > -np.finfo(np.float32).tiny, 1, -1)
    np.testing.assert_allclose(found, positive * scale, rtol=1e-5, atol=1e-7)
    layer = binary_weights(torch.from_numpy(w), "layer").numpy()
    np.testing.assert_allclose(np.abs(layer), np.abs(w).mean(), rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(binary_weights(torch.from_numpy(w), "none").numpy(), positive)


def test_the_gradient_of_scaled_binary_weights_is_xnor_nets():
    rng = np.random.default_rng(0)
    w = torch.tensor(rng.uniform(-1.5, 1.5, (3, 2, 2)), dtype=torch.float32, requires_grad=True)
    g = torch.tensor(rng.normal(size=(3, 2, 2)), dtype=torch.float32)
    (binary_weights(w) * g).sum().backward()
    values, signs = w.detach().reshape(3, 4), np.where(w.detach().reshape(3, 4) >= 0, 1, -1)
    scale = values.abs().mean(1, keepdim=True).numpy()
    flat = g.reshape(3, 4).numpy()
    wanted = flat * scale * (values.abs() <= 1).numpy() + signs * (flat * signs).mean(1, keepdims=True)
    np.testing.assert_allclose(w.grad.reshape(3, 4), wanted, rtol=1e-4, atol=1e-6)


def rounding_net(steps: int, top: int) -> Network:
    net = pb.NetParameter(name="steps")
    source = net.layer.add(name="x", type="Input", top=["x"])
    source.input_param.shape.add(dim=(2, 1, 1, 64))
    net.layer.extend(plain_steps("relu", "x", steps, top))
    return Network.from_proto(net)


POINTS = np.concatenate([np.arange(-20, 44) / 256, np.random.default_rng(0).uniform(-1, 2, 64)]).astype(np.float32)


@pytest.mark.parametrize(("steps", "top"), [(128, 127), (3, 3), (1, 1)])
def test_rounding_in_plain_layers_is_the_function_in_every_runtime(steps, top):
    x = POINTS.reshape(2, 1, 1, 64)
    wanted = stepped_relu(torch.from_numpy(x), steps, top).numpy()
    for runtime, found in onnx_outputs(to_onnx(rounding_net(steps, top)), {"x": x}).items():
        np.testing.assert_allclose(next(iter(found.values())), wanted, atol=1e-6, err_msg=runtime)


@requires_caffe
@pytest.mark.parametrize(("steps", "top"), [(128, 127), (3, 3)])
def test_rounding_in_real_caffe(steps, top):
    from caffezoo.formats.prototxt import write_prototxt

    x = POINTS.reshape(2, 1, 1, 64)
    wanted = stepped_relu(torch.from_numpy(x), steps, top).numpy()
    found = caffe_outputs(write_prototxt(rounding_net(steps, top).prototxt.net), {}, {"x": x})
    np.testing.assert_allclose(next(iter(found.values())), wanted, atol=1e-6)
