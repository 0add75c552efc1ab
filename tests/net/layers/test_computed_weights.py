"""What layers of computed weights refuse, and the gradient that passes through their rounding."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.errors import ShapeError
from caffezoo.net.graph import Network
from tests.net.layers.weight_cases import WEIGHT_CASES
from tests.oracle import layer_proto, one_layer_net, seeded_blobs


@pytest.mark.parametrize(
    ("kind", "param", "message"),
    [
        ("ConvolutionRistretto", "quantization_param { precision: MINIFLOAT }", "MINIFLOAT is not supported"),
        ("ConvolutionRistretto", "quantization_param { rounding_scheme: STOCHASTIC }", "stochastic"),
        ("ConvolutionRistretto", "phase: TRAIN", "stochastic"),
        ("ConvolutionRistretto", "quantization_param { bw_params: 0 }", "1 to 32 bits"),
        ("ConvolutionRistretto", "quantization_param { fl_params: 1000 }", "out of range"),
        ("ConvolutionRistretto", "quantization_param { bw_param: 8 }", "no field 'bw_param'"),
        ("CConvolution", "phase: TRAIN", "masks are drawn"),
        ("CConvolution", "cconvolution_param { gama: 1 }", "no field 'gama'"),
        ("BinaryConvolution", "", "forks of this name differ"),
    ],
)
def test_what_is_refused(kind: str, param: str, message: str) -> None:
    text = f'name: "l" type: "{kind}" bottom: "x" top: "y" convolution_param {{ num_output: 3 kernel_size: 2 }} {param}'
    with pytest.raises(ShapeError, match=message):
        Network.from_proto(one_layer_net(layer_proto(text), {"x": (2, 2, 4, 5)}))


def test_a_file_may_hold_the_message() -> None:
    text = 'input: "x" input_shape { dim: 1 dim: 2 dim: 4 dim: 4 } layer { name: "l" bottom: "x" top: "y" '
    text += 'type: "ConvolutionRistretto" convolution_param { num_output: 3 kernel_size: 2 } '
    assert Network.from_text(text + "quantization_param { bw_params: 8 } }").shape("y") == (1, 3, 3, 3)


@pytest.mark.parametrize("name", ["convolution_ristretto", "masked_convolution", "binary_convolution"])
def test_the_gradient_is_that_of_what_is_multiplied_by(name: str) -> None:
    torch = pytest.importorskip("torch")
    from caffezoo.net.torch_module import to_torch

    case = WEIGHT_CASES[name].case
    net = Network.from_proto(one_layer_net(layer_proto(case.layer), case.shapes))
    node = net.nodes[-1]
    blobs = [b / 4 - np.float32(0.1) for b in seeded_blobs(node.blob_shapes)]
    module = to_torch(net.with_weights({node.key: blobs}))
    x = torch.full((2, 2, 4, 5), 0.25, requires_grad=True)
    (y,) = module(x).values()
    y.sum().backward()
    own = module.layers[-1] if hasattr(module, "layers") else module
    weight = torch.from_numpy(node.layer.effective(blobs)[0])
    assert [n for n, _ in own.named_parameters()] == ["blob0", "blob1"]
    torch.testing.assert_close(own.blob0.grad, torch.full_like(weight, 0.25 * 2 * 3 * 4))
    wanted = torch.nn.grad.conv2d_input((2, 2, 4, 5), weight, torch.ones_like(y))
    torch.testing.assert_close(x.grad, wanted)
