"""Forks' layers against real Caffe, which runs the same function as a composition of BVLC's own layers.

A composition reads the blobs ``x``, ``x1`` ... and writes ``y``, ``y1`` ...; what the fork's layer learns is given to
its layers by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from tests.net.layers.draws import SEEDS, cases
from tests.oracle import (
    assert_close,
    caffe_outputs,
    layer_proto,
    one_layer_net,
    onnx_outputs,
    requires_caffe,
    seeded_blobs,
)

Blobs = Sequence[np.ndarray]


@dataclass(frozen=True)
class Composition:
    """A fork's layer at drawn parameters, and the BVLC layers that compute the same."""

    fork: str
    plain: Sequence[str]
    shapes: Mapping[str, tuple[int, ...]]
    blobs: Callable[[Blobs], Mapping[str, Blobs]] = field(default=lambda blobs: {})
    labels: int = 0
    low: float = -4.0


def layer(kind: str, bottoms: str, tops: str, param: str = "") -> str:
    """Return a layer's text; its name is that of its first top."""
    ports = [f'bottom: "{b}"' for b in bottoms.split()] + [f'top: "{t}"' for t in tops.split()]
    return f'name: "{tops.split()[0]}" type: "{kind}" {" ".join(ports)} {param}'


def clipped(bottom: str, top: str, low: float, high: float) -> list[str]:
    """Return ``min(max(x, low), high)`` of rectifiers and affine maps."""
    return [
        layer("Power", bottom, f"{top}_a", f"power_param {{ shift: {-low} }}"),
        layer("ReLU", f"{top}_a", f"{top}_b"),
        layer("Power", f"{top}_b", f"{top}_c", f"power_param {{ scale: -1 shift: {high - low} }}"),
        layer("ReLU", f"{top}_c", f"{top}_d"),
        layer("Power", f"{top}_d", top, f"power_param {{ scale: -1 shift: {high} }}"),
    ]


def judge(composition: Composition, seed: int) -> None:
    """Hold the fork's layer, by both runtimes and by torch where it is, against Caffe's composition."""
    rng = np.random.default_rng(seed)
    inputs = {n: rng.uniform(composition.low, 4, s).astype(np.float32) for n, s in composition.shapes.items()}
    if composition.labels:
        last = list(inputs)[-1]
        inputs[last] = rng.integers(0, composition.labels, composition.shapes[last]).astype(np.float32)
    proto = layer_proto(composition.fork)
    network = Network.from_proto(one_layer_net(proto, composition.shapes))
    node = network.nodes[-1]
    blobs = [2 * b - np.float32(1) for b in seeded_blobs(node.blob_shapes, seed)]
    network = network.with_weights({node.key: blobs} if blobs else {})
    heads = [
        f'layer {{ name: "{n}" type: "Input" top: "{n}" input_param {{ shape {{ '
        + " ".join(f"dim: {d}" for d in s)
        + " } } }"
        for n, s in composition.shapes.items()
    ]
    text = "\n".join([*heads, *(f"layer {{ {plain} }}" for plain in composition.plain)])
    tops = list(proto.top)
    wanted = caffe_outputs(text, composition.blobs(blobs), inputs, tops)
    found = onnx_outputs(to_onnx(network), inputs)
    try:
        import torch

        from caffezoo.net.torch_module import to_torch

        with torch.no_grad():
            made = to_torch(network, outputs=tops)(*(torch.from_numpy(x) for x in inputs.values()))
        found["torch"] = {top: made[top].numpy() for top in tops}
    except ImportError:
        pass
    for runtime, values in found.items():
        for top in tops:
            assert_close(values[top], wanted[top].reshape(values[top].shape), f"{runtime}, top {top}")


def _x(*dims: int) -> dict[str, tuple[int, ...]]:
    return {"x": dims}


ACTIVATIONS = ("relu6", "brelu", "truncation", "crelu", "selu", "mish", "hard sigmoid", "hard swish")


@st.composite
def activations(draw: st.DrawFn) -> Composition:
    shape = _x(*draw(st.lists(st.integers(1, 5), min_size=2, max_size=4)))
    kind = draw(st.sampled_from(ACTIVATIONS))
    a, b = sorted(draw(st.lists(st.sampled_from([-2.0, -0.5, 0.0, 0.75, 3.0]), min_size=2, max_size=2, unique=True)))
    if kind == "relu6":
        top = draw(st.sampled_from([1.5, 6.0]))
        fork = layer("ReLU6", "x", "y", "" if top == 6 else f"relu6_param {{ threshold: {top} }}")
        return Composition(fork, clipped("x", "y", 0, top), shape, low=-9)
    if kind == "brelu":
        fork = layer("BReLU", "x", "y", f"brelu_param {{ minval: {a} maxval: {b} }}")
        return Composition(fork, clipped("x", "y", a, b), shape)
    if kind == "truncation":
        fork = layer("Truncation", "x", "y", f"truncation_param {{ truncation_min: {a} truncation_max: {b} }}")
        return Composition(fork, clipped("x", "y", a, b), shape)
    if kind == "crelu":
        slope = draw(st.sampled_from([0.0, 0.25]))
        axis = draw(st.integers(0, len(shape["x"]) - 1))
        rectified = f"relu_param {{ negative_slope: {slope} }}"
        plain = [
            layer("ReLU", "x", "a", rectified), layer("Power", "x", "b", "power_param { scale: -1 }"),
            layer("ReLU", "b", "c", rectified), layer("Concat", "a c", "y", f"concat_param {{ axis: {axis} }}"),
        ]  # fmt: skip
        fork = layer("CReLU", "x", "y", f"crelu_param {{ concat_axis: {axis} negative_slope: {slope} }}")
        return Composition(fork, plain, shape)
    if kind == "selu":
        plain = [
            layer("ELU", "x", "a", "elu_param { alpha: 1.6732632423543772 }"),
            layer("Power", "a", "y", "power_param { scale: 1.0507009873554805 }"),
        ]
        return Composition(layer(draw(st.sampled_from(["SELU", "SeLu"])), "x", "y"), plain, shape)
    if kind == "mish":
        plain = [
            layer("BNLL", "x", "a"), layer("TanH", "a", "b"),
            layer("Eltwise", "x b", "y", "eltwise_param { operation: PROD }"),
        ]  # fmt: skip
        return Composition(layer("Mish", "x", "y"), plain, shape)
    scale, product = ("0.2", []) if kind == "hard sigmoid" else (str(1 / 6), ["x"])
    plain = [layer("Power", "x", "a", f"power_param {{ scale: {scale} shift: 0.5 }}"), *clipped("a", "b", 0, 1)]
    if product:
        plain.append(layer("Eltwise", "x b", "y", "eltwise_param { operation: PROD }"))
        return Composition(layer("HardSwish", "x", "y"), plain, shape)
    plain.append(layer("Power", "b", "y"))
    return Composition(layer("HardSigmoid", "x", "y"), plain, shape)


@st.composite
def norms(draw: st.DrawFn) -> Composition:
    count, groups, deep, high, wide = (draw(st.integers(1, 3)) for _ in range(5))
    # MVN adds its eps to the deviation, not to the variance: values spread so far that none matters
    shape = _x(count, groups * deep, high + 2, wide + 2)
    channels = groups * deep
    kind = draw(st.sampled_from(["group", "instance", "affine", "length", "normalize"]))
    if kind == "group":
        plain = [
            layer("Reshape", "x", "a", f"reshape_param {{ shape {{ dim: 0 dim: {groups} dim: -1 dim: 1 }} }}"),
            layer("MVN", "a", "b"),
            layer("Reshape", "b", "y", "reshape_param { shape { " + " ".join(f"dim: {d}" for d in shape["x"]) + " } }"),
        ]
        fork = layer("GroupNorm", "x", "y", f"group_norm_param {{ group_num: {groups} eps: 1e-9 }}")
        return Composition(fork, plain, shape)
    if kind == "instance":
        fork = layer("InstanceNorm", "x", "y", "instance_norm_param { eps: 1e-9 }")
        return Composition(fork, [layer("MVN", "x", "y")], shape)
    if kind == "affine":
        plain = [layer("MVN", "x", "a"), layer("Scale", "a", "y", "scale_param { bias_term: true }")]
        fork = layer("InstanceNorm", "x", "y", "instance_norm_param { affine: true eps: 1e-9 }")
        return Composition(fork, plain, shape, lambda blobs: {"y": blobs})
    kernels = "convolution_param { num_output: %d kernel_size: 1 bias_term: false }"
    square = layer("Power", "x", "a", "power_param { power: 2 }")
    ones = np.ones((channels, channels, 1, 1), np.float32)
    if kind == "length":
        root = layer("Power", "b", "y", "power_param { power: 0.5 }")
        plain = [square, layer("Convolution", "a", "b", kernels % 1), root]
        return Composition(layer("ChannelNorm", "x", "y"), plain, shape, lambda blobs: {"b": [ones[:1]]})
    plain = [
        square,
        layer("Convolution", "a", "b", kernels % channels),
        layer("Power", "b", "c", "power_param { power: -0.5 }"),
        layer("Eltwise", "x c", "d", "eltwise_param { operation: PROD }"),
        layer("Scale", "d", "y"),
    ]
    fork = layer("Normalize", "x", "y", "norm_param { across_spatial: false channel_shared: false }")
    return Composition(fork, plain, shape, lambda blobs: {"b": [ones], "y": blobs})


@st.composite
def maps(draw: st.DrawFn) -> Composition:
    count, channels, high, wide = (draw(st.integers(1, 4)) for _ in range(4))
    shape = _x(count, channels, high, wide)
    kind = draw(st.sampled_from(["upsample", "tile", "ave", "bn", "halves", "reduction"]))
    step = draw(st.integers(2, 3))
    grown = f"num_output: {channels} group: {channels} kernel_size: {step} stride: {step} bias_term: false"
    grown = f"convolution_param {{ {grown} }}"
    kernel = np.ones((channels, 1, step, step), np.float32)
    if kind == "upsample":
        fork = layer("Upsample", "x", "y", f"upsample_param {{ scale: {step} }}")
        return Composition(fork, [layer("Deconvolution", "x", "y", grown)], shape, lambda blobs: {"y": [kernel]})
    if kind in ("tile", "ave"):
        param = f"unpool: {kind.upper()} kernel_size: {step} stride: {step}"
        fork = layer("Unpooling", "x", "y", f"unpooling_param {{ {param} }}")
        weight = kernel if kind == "tile" else kernel / step**2
        return Composition(fork, [layer("Deconvolution", "x", "y", grown)], shape, lambda blobs: {"y": [weight]})
    if kind == "bn":
        fork = layer("BN", "x", "y", "bn_param { bn_mode: INFERENCE }")
        plain = [layer("Scale", "x", "y", "scale_param { bias_term: true }")]
        return Composition(fork, plain, shape, lambda blobs: {"y": [b.reshape(-1) for b in blobs]})
    if kind == "halves":
        axis = draw(st.integers(1, 3))
        dims = [count, channels, high, wide]
        dims[axis] *= 2
        plain = [layer("Slice", "x", "y y1", f"slice_param {{ axis: {axis} }}")]
        return Composition(layer("SliceHalf", "x", "y y1", f"slice_half_param {{ axis: {axis} }}"), plain, _x(*dims))
    reduced = f"reduction_param {{ axis: 3 operation: {draw(st.sampled_from(['MEAN', 'SUM']))} }}"
    fork = layer("BatchReduction", "x", "y", f"batch_reduction_param {{ {reduced} }}")
    return Composition(fork, [layer("Reduction", "x", "y", reduced)], shape)


@st.composite
def volumes(draw: st.DrawFn) -> Composition:
    kernel, deep = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    pad, front = draw(st.integers(0, kernel - 1)), draw(st.integers(0, deep - 1))
    stride, step = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    outputs, bias = draw(st.integers(1, 3)), draw(st.booleans())
    sides = [draw(st.integers(3, 5)) for _ in range(3)]
    shape = _x(draw(st.integers(1, 2)), draw(st.integers(1, 3)), *sides)
    term = "" if bias else "bias_term: false"
    window = (
        f"convolution_param {{ num_output: {outputs} {term} kernel_size: [{deep}, {kernel}, {kernel}] "
        f"pad: [{front}, {pad}, {pad}] stride: [{step}, {stride}, {stride}] }}"
    )
    volume = (
        f"convolution3d_param {{ num_output: {outputs} {term} kernel_size: {kernel} kernel_depth: {deep} pad: {pad} "
        f"temporal_pad: {front} stride: {stride} temporal_stride: {step} }}"
    )
    fork = layer("Convolution3D", "x", "y", volume)
    plain = [layer("Convolution", "x", "y", window)]
    return Composition(fork, plain, shape, lambda blobs: {"y": [blobs[0], *(b.reshape(-1) for b in blobs[1:])]})


@st.composite
def recurrences(draw: st.DrawFn) -> Composition:
    steps, samples, values, width = (draw(st.integers(1, 4)) for _ in range(4))
    text = f"num_output: {width}"
    shapes = {"x": (steps, samples, values), "x1": (steps, samples)}
    plain = [layer("LSTM", "x x1", "y", f"recurrent_param {{ {text} }}")]
    return Composition(
        layer("Lstm", "x x1", "y", f"lstm_param {{ {text} }}"),
        plain,
        shapes,
        lambda blobs: {"y": [blobs[0], blobs[2], blobs[1]]},
        labels=2,
    )


@st.composite
def losses(draw: st.DrawFn) -> Composition:
    count, values = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    kind = draw(st.sampled_from(["l1", "softmax", "single margin"]))
    if kind == "l1":
        shapes = {"x": (count, values, 2), "x1": (count, values, 2)}
        plain = [
            layer("Eltwise", "x x1", "a", "eltwise_param { coeff: 1 coeff: -1 }"),
            layer("Reduction", "a", "y", f"reduction_param {{ operation: ASUM coeff: {1 / count!r} }}"),
        ]
        return Composition(layer(draw(st.sampled_from(["L1Loss", "AbsLoss"])), "x x1", "y"), plain, shapes)
    if kind == "softmax":
        rule = draw(st.sampled_from(["VALID", "FULL", "BATCH_SIZE", "NONE"]))
        ignored = draw(st.sampled_from(["", "ignore_label: 0"]))
        param = f"loss_param {{ normalization: {rule} {ignored} }}"
        shapes = {"x": (count, values + 1, 2, 1), "x1": (count, 1, 2, 1)}
        fork = layer("SoftmaxWithLossOHEM", "x x1", "y y1", f"loss_weight: 1 loss_weight: 0 {param}")
        plain = [layer("SoftmaxWithLoss", "x x1", "y", param), layer("Softmax", "x", "y1")]
        return Composition(fork, plain, shapes, labels=values + 1)
    fork = layer("MarginInnerProduct", "x x1", "y", f"margin_inner_product_param {{ num_output: {values + 1} }}")
    plain = [
        layer("InnerProduct", "x", "y", f"inner_product_param {{ num_output: {values + 1} bias_term: false }}"),
        'name: "s" type: "Silence" bottom: "x1"',
    ]
    return Composition(
        fork,
        plain,
        {"x": (count, 3), "x1": (count,)},
        lambda blobs: {"y": [blobs[0] / np.linalg.norm(blobs[0], axis=1, keepdims=True)]},
        labels=values + 1,
    )


FAMILIES = {
    "activations": activations(),
    "norms": norms(),
    "maps": maps(),
    "volumes": volumes(),
    "recurrences": recurrences(),
    "losses": losses(),
}


@requires_caffe
@pytest.mark.parametrize("family", FAMILIES)
def test_a_forks_layer_is_its_composition(family: str) -> None:
    @cases(20 if family == "activations" else 10)
    @given(FAMILIES[family], SEEDS)
    def drawn(composition: Composition, seed: int) -> None:
        judge(composition, seed)

    drawn()
