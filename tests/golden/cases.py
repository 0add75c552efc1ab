"""What is recorded of real Caffe: layer configurations and whole networks, all inputs and weights by formula.

``tools/record_golden.py`` writes ``layers/<Type>.json`` and ``networks/<name>.json`` beside this file; the tests replay
them where Caffe cannot run. A layer case is its bottoms' shapes and its fields; bottoms are a, b, ... and tops y, z.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffezoo.engines.seeding import hashed_uniform, seeded_inputs, seeded_weights
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network
from caffezoo.zoo.architectures.registry import architectures
from caffezoo.zoo.index import load_index
from tests.oracle import ROOT, layer_proto, one_layer_net

FOLDER = Path(__file__).parent
IMAGE = (2, 4, 7, 6)


@dataclass(frozen=True)
class LayerCase:
    """One layer, with bottoms of these shapes."""

    type: str
    fields: str
    shapes: tuple[tuple[int, ...], ...] = (IMAGE,)
    tops: int = 1

    def proto(self) -> pb.LayerParameter:
        proto = layer_proto(self.fields)
        proto.name, proto.type = "layer", self.type
        proto.bottom.extend("abcd"[: len(self.shapes)])
        proto.top.extend("yzw"[: self.tops])
        return proto

    def inputs(self) -> dict[str, np.ndarray]:
        """Return bottoms in [-2, 2), positive where the layer needs it."""
        low = 2.5 if self.type == "Log" else 0.0
        key = f"{self.type} {self.fields} {self.shapes}"
        return {
            name: hashed_uniform(f"{key}:{name}", shape) * np.float32(2) + np.float32(low)
            for name, shape in zip("abcd", self.shapes, strict=False)
        }

    def network(self) -> Network:
        """Return the layer as a network, with weights."""
        shapes = dict(zip("abcd", self.shapes, strict=False))
        network = Network.from_proto(one_layer_net(self.proto(), shapes))
        return network.with_weights(seeded_weights(network, 1, {})[0])


@dataclass(frozen=True)
class NetworkCase:
    """A network of the zoo at ``size`` x ``size`` px, or at its own small size where that is None.

    Recorded are the logits: the network runs without its softmax.
    """

    name: str
    path: str
    size: int | None = None
    batch: int = 1

    @property
    def file(self) -> Path:
        """Where its recording lies."""
        return FOLDER / ("networks" if self.size else "zoo") / f"{self.name}.json"

    def network(self, exponents: dict[str, int] | None = None) -> tuple[Network, dict[str, int]]:
        """Return the network up to its logits, with seeded weights, and the exponents of those."""
        whole = Network.load(ROOT / self.path)
        network = without_softmax(whole.resized(self.size) if self.size else whole.reshaped(batch=1))
        weights, exponents = seeded_weights(network, 2, exponents)
        return network.with_weights(weights), exponents

    def inputs(self, network: Network) -> dict[str, np.ndarray]:
        return seeded_inputs(network, 3, batch=self.batch)


def without_softmax(network: Network) -> Network:
    """Return the network up to its logits."""
    net = pb.NetParameter(name=network.name)
    net.layer.extend(node.layer.proto for node in network.nodes if node.layer.type != "Softmax")
    return Network.from_proto(net, inputs=network.inputs, weights=network.weights)


LAYERS = [
    LayerCase("Convolution", "convolution_param { num_output: 6 kernel_size: 3 pad: 1 stride: 2 }"),
    LayerCase(
        "Convolution", "convolution_param { num_output: 4 kernel_h: 1 kernel_w: 3 pad_w: 1 group: 2 bias_term: false }"
    ),
    LayerCase("Convolution", "convolution_param { num_output: 3 kernel_size: 2 dilation: 3 pad: 2 stride: 3 }"),
    LayerCase(
        "Deconvolution", "convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 group: 2 }", ((2, 4, 3, 2),)
    ),
    LayerCase("ConvolutionDepthwise", "convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 }"),
    LayerCase("Pooling", "pooling_param { kernel_size: 3 stride: 2 }"),
    LayerCase("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
    LayerCase("Pooling", "pooling_param { kernel_size: 2 stride: 2 ceil_mode: false }"),
    LayerCase("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"),
    LayerCase("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 3 pad: 2 }"),
    LayerCase("Pooling", "pooling_param { pool: AVE kernel_h: 2 kernel_w: 3 stride: 2 round_mode: FLOOR }"),
    LayerCase("Pooling", "pooling_param { pool: AVE global_pooling: true }"),
    LayerCase("InnerProduct", "inner_product_param { num_output: 5 }"),
    LayerCase("InnerProduct", "inner_product_param { num_output: 5 transpose: true bias_term: false axis: 2 }"),
    LayerCase("BatchNorm", "batch_norm_param { use_global_stats: true eps: 0.001 }"),
    LayerCase("Scale", "scale_param { bias_term: true }"),
    LayerCase("Scale", "scale_param { axis: 0 }", (IMAGE, (2, 4))),
    LayerCase("Bias", ""),
    LayerCase("LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 k: 2 }"),
    LayerCase("LRN", "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }"),
    LayerCase("Eltwise", "eltwise_param { operation: PROD }", (IMAGE, IMAGE)),
    LayerCase("Eltwise", "eltwise_param { coeff: 2 coeff: -0.5 coeff: 1 }", (IMAGE, IMAGE, IMAGE)),
    LayerCase("Eltwise", "eltwise_param { operation: MAX }", (IMAGE, IMAGE)),
    LayerCase("Axpy", "", ((2, 4, 1, 1), IMAGE, IMAGE)),
    LayerCase("Concat", "concat_param { axis: 2 }", (IMAGE, (2, 4, 3, 6))),
    LayerCase("Slice", "slice_param { axis: 1 slice_point: 1 }", tops=2),
    LayerCase("Flatten", "flatten_param { axis: 2 }"),
    LayerCase("Reshape", "reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 6 } }"),
    LayerCase("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }"),
    LayerCase("Crop", "crop_param { axis: 2 offset: 1 offset: 2 }", (IMAGE, (2, 4, 5, 3))),
    LayerCase("Tile", "tile_param { axis: 1 tiles: 2 }", ((2, 3, 2, 2),)),
    LayerCase("Reduction", "reduction_param { operation: SUMSQ axis: 1 coeff: 0.5 }"),
    LayerCase("ArgMax", "argmax_param { top_k: 2 out_max_val: true }"),
    LayerCase("MVN", "mvn_param { normalize_variance: true across_channels: false }"),
    LayerCase("Softmax", ""),
    LayerCase("Softmax", "softmax_param { axis: 2 }"),
    LayerCase("ReLU", "relu_param { negative_slope: 0.125 }"),
    LayerCase("PReLU", ""),
    LayerCase("ELU", "elu_param { alpha: 0.5 }"),
    LayerCase("Sigmoid", ""),
    LayerCase("TanH", ""),
    LayerCase("Swish", "swish_param { beta: 1.5 }"),
    LayerCase("Clip", "clip_param { min: 0 max: 1 }"),
    LayerCase("AbsVal", ""),
    LayerCase("BNLL", ""),
    LayerCase("Power", "power_param { power: 2 scale: 0.5 shift: 1 }"),
    LayerCase("Exp", "exp_param { base: 2 scale: 0.5 }"),
    LayerCase("Log", "log_param { base: 10 }"),
    LayerCase("Threshold", "threshold_param { threshold: 0.5 }"),
    LayerCase("ShuffleChannel", "shuffle_channel_param { group: 2 }"),
    LayerCase("LSTM", "recurrent_param { num_output: 3 }", ((4, 2, 5), (4, 2))),
    LayerCase(
        "LSTM", "recurrent_param { num_output: 3 expose_hidden: true }", ((3, 2, 4), (3, 2), *[(1, 2, 3)] * 2), tops=3
    ),
    LayerCase("RNN", "recurrent_param { num_output: 3 }", ((4, 2, 5), (4, 2), (2, 3))),
    LayerCase("Im2col", "convolution_param { kernel_h: 3 kernel_w: 2 stride: 2 pad: 1 }"),
    LayerCase("SPP", "spp_param { pyramid_height: 3 }"),
    LayerCase("Parameter", "parameter_param { shape { dim: 2 dim: 3 } }", ()),
    LayerCase("SigmoidCrossEntropyLoss", "", ((3, 4), (3, 4))),
    LayerCase("ContrastiveLoss", "contrastive_loss_param { margin: 2 }", ((4, 3), (4, 3), (4,))),
]

QUICK = [
    NetworkCase("resnet18-priv", "prototxt/resnet/deploy_resnet18-priv.prototxt", 64, 2),
    NetworkCase("dpn-68-extra", "prototxt/dpn/deploy_dpn-68-extra.prototxt", 64, 2),
    NetworkCase("googlenet", "prototxt/inception/deploy_googlenet.prototxt", 224, 2),
    NetworkCase("se-inception-v2", "prototxt/senet/deploy_se-inception-v2.prototxt", 64, 2),
    NetworkCase("mobilenet-v2", "prototxt/mobilenet/deploy_mobilenet-v2.prototxt", 64, 2),
    NetworkCase("densenet121", "prototxt/densenet/deploy_densenet121.prototxt", 64, 2),
    NetworkCase("efficientnet-lite0", "prototxt/efficientnet-lite/deploy_efficientnet-lite0.prototxt", 64, 2),
]
"""One of each shape, small enough to run on every change."""

_INDEX = load_index()
_DETECTORS = {e.prototxt for e in map(_INDEX.network, _INDEX.names("*")) if e.task != "classification"}
ZOO = [
    NetworkCase(a.path.split("deploy_")[1].removesuffix(".prototxt"), a.path)
    for a in architectures().values()
    if a.path not in _DETECTORS
]
"""Every classifier of the zoo at its declared size; detectors are held in tests/detection."""

CLASS_STEP = 5
"""Every fifth class of a network's logits is recorded, and the whole top-5."""
