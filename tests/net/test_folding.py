"""Folding: the same function with fewer layers, and refusals where it would not be the same."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.errors import BindingError
from caffezoo.net.folding import Folding, fold
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx

DATA = 'input: "data" input_shape { dim: 2 dim: 4 dim: 7 dim: 7 }\n'
CONV = 'layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { %s } }\n'
BN = 'layer { name: "bn" type: "BatchNorm" bottom: "%s" top: "%s" }\n'
SCALE = 'layer { name: "scale" type: "Scale" bottom: "%s" top: "%s" scale_param { bias_term: true } }\n'
RELU = 'layer { name: "relu" type: "ReLU" bottom: "%s" top: "out" }\n'


def with_random_weights(text: str) -> Network:
    net = Network.from_text(DATA + text)
    draw = np.random.default_rng(1)
    weights = {}
    for node in net.nodes:
        blobs = [draw.normal(size=s).astype(np.float32) for s in node.blob_shapes]
        if node.layer.type == "BatchNorm":
            blobs[1], blobs[2] = np.abs(blobs[1]) + 0.5, np.array([3.0], np.float32)
        weights[node.name] = blobs
    return net.with_weights(weights)


def run(net: Network) -> dict[str, np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(to_onnx(net).SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(2).normal(size=net.inputs["data"]).astype(np.float32)
    return dict(zip(net.outputs, session.run(None, {"data": x}), strict=True))


def folded(text: str) -> Folding:
    """Fold a network, after checking that the folded one computes the same outputs under the same names."""
    net = with_random_weights(text)
    result = fold(net)
    assert result.network.outputs == net.outputs
    want, have = run(net), run(result.network)
    for name, value in want.items():
        np.testing.assert_allclose(have[name], value, atol=2e-5 * np.abs(value).max())
    return result


def types(result: Folding) -> list[str]:
    return [n.layer.type for n in result.network.nodes if n.layer.type != "Input"]


@pytest.mark.parametrize(
    ("conv", "kind"),
    [
        ("num_output: 6 kernel_size: 3 pad: 1 bias_term: false", "Convolution"),
        ("num_output: 6 kernel_size: 3", "Convolution"),
        ("num_output: 8 kernel_size: 3 group: 4", "Convolution"),
        ("num_output: 4 kernel_size: 3 bias_term: false", "ConvolutionDepthwise"),
        ("num_output: 6 kernel_size: 3 stride: 2", "Deconvolution"),
        ("num_output: 6 kernel_size: 3 group: 2 bias_term: false", "Deconvolution"),
    ],
)
def test_batch_norm_and_scale_fold_into_the_convolution_before_them(conv: str, kind: str) -> None:
    text = (CONV % conv).replace('"Convolution"', f'"{kind}"') + BN % ("conv", "conv") + SCALE % ("conv", "conv")
    result = folded(text + RELU % "conv")
    assert types(result) == [kind, "ReLU"]
    assert result.folded == (("bn", "conv"), ("scale", "conv"))


@pytest.mark.parametrize("transpose", ["false", "true"])
def test_they_fold_into_an_inner_product(transpose: str) -> None:
    text = f"""layer {{ name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
              inner_product_param {{ num_output: 5 transpose: {transpose} }} }}\n"""
    assert types(folded(text + BN % ("fc", "bn") + SCALE % ("bn", "out"))) == ["InnerProduct"]


def test_a_folded_layer_writes_the_last_name_of_the_run() -> None:
    result = folded(CONV % "num_output: 6 kernel_size: 1" + BN % ("conv", "norm") + SCALE % ("norm", "out"))
    assert result.network.node("conv").tops[0].name == "out"


def test_dropout_between_does_not_hinder() -> None:
    drop = 'layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }\n'
    result = folded(CONV % "num_output: 6 kernel_size: 1" + drop + BN % ("conv", "norm") + RELU % "norm")
    assert types(result) == ["Convolution", "Dropout", "ReLU"]


def test_a_convolution_that_another_layer_reads_keeps_its_output() -> None:
    also = 'layer { name: "also" type: "TanH" bottom: "conv" top: "also" }\n'
    result = folded(CONV % "num_output: 6 kernel_size: 1" + also + BN % ("conv", "norm") + SCALE % ("norm", "norm"))
    assert types(result) == ["Convolution", "TanH", "Scale"]
    assert dict(result.kept) == {"bn": "another layer also reads 'conv'"}


def test_pre_activation_is_collapsed_into_one_scale() -> None:
    text = (
        'layer { name: "first" type: "ReLU" bottom: "data" top: "first" }\n' + BN % ("first", "n") + SCALE % ("n", "n")
    )
    result = folded(
        text + RELU % "n" + (CONV % "num_output: 6 kernel_size: 3").replace('bottom: "data"', 'bottom: "out"')
    )
    assert types(result) == ["ReLU", "Scale", "ReLU", "Convolution"]
    assert result.kept[0][1] == "'first' (ReLU) before it is not linear in its channels"


@pytest.mark.parametrize(
    ("conv", "left"), [("kernel_size: 3", 1), ("kernel_size: 3 group: 2", 1), ("kernel_size: 3 pad: 1", 2)]
)
def test_a_map_before_a_convolution_folds_forward_only_without_padding(conv: str, left: int) -> None:
    text = BN % ("data", "n") + (CONV % f"num_output: 6 {conv}").replace('bottom: "data"', 'bottom: "n"')
    assert len(types(folded(text))) == left


def test_a_map_before_an_inner_product_folds_forward() -> None:
    text = (
        BN % ("data", "data")
        + 'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 5 } }'
    )
    assert types(folded(text)) == ["InnerProduct"]


@pytest.mark.parametrize(
    "layer",
    [
        BN.replace("}\n", "batch_norm_param { use_global_stats: false } }\n") % ("conv", "conv"),
        'layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { axis: 2 num_axes: 2 } }\n',
        'layer { name: "p" type: "Power" bottom: "conv" top: "conv" power_param { power: 2 } }\n',
        'layer { name: "gate" type: "Scale" bottom: "conv" bottom: "data" top: "gate" scale_param { axis: 0 } }\n',
    ],
)
def test_what_is_no_fixed_map_of_channels_stays(layer: str) -> None:
    result = folded(CONV % "num_output: 4 kernel_size: 1" + layer)
    assert len(types(result)) == 2
    assert result.folded == ()


def test_shared_blobs_stay_apart() -> None:
    twin = """layer { name: "%s" type: "Convolution" bottom: "data" top: "%s" param { name: "w" }
              convolution_param { num_output: 4 kernel_size: 1 bias_term: false } }\n"""
    net = Network.from_text(DATA + twin % ("a", "a") + twin % ("b", "b") + BN % ("b", "b"))
    blobs = {n.name: [np.ones(s, np.float32) for s in n.blob_shapes] for n in net.nodes}
    assert types(fold(net.with_weights(blobs))) == ["Convolution", "Convolution", "Scale"]


def test_a_blob_that_is_rewritten_before_the_reader_is_not_read_too_late() -> None:
    text = (
        BN % ("data", "n")
        + 'layer { name: "late" type: "ReLU" bottom: "data" top: "data" }\n'
        + (CONV % "num_output: 3 kernel_size: 1").replace('bottom: "data"', 'bottom: "n"')
        + RELU % "data"
    )
    assert "Scale" in types(folded(text))


def test_without_weights_there_is_nothing_to_fold() -> None:
    with pytest.raises(BindingError, match=r"'conv' \(Convolution\): has no weights"):
        fold(Network.from_text(DATA + CONV % "num_output: 3 kernel_size: 1"))
