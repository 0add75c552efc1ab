"""One or two configurations of every layer type: what the golden files record and the oracle checks first.

Each case is the fields of a LayerParameter (without name) and the shapes of its bottoms, in order; axis 0 is the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A layer and its bottoms.

    Attributes
    ----------
    layer : str
        LayerParameter text.
    shapes : dict of str to shape
        Bottoms, in the layer's order.
    low, high : float
        Range of the bottoms' values.
    classes : int
        If positive, a bottom holds labels 0 .. classes - 1.
    labels : int
        Index of that bottom; the last by default.
    """

    layer: str
    shapes: dict[str, Shape]
    low: float = -1.0
    high: float = 1.0
    classes: int = 0
    labels: int = -1


def _one(layer_type: str, param: str = "", shape: Shape = (3, 4, 7, 9), *, top: str = "y", **values: float) -> Case:
    tops = " ".join(f'top: "{t}"' for t in top.split())
    return Case(f'name: "layer" type: "{layer_type}" bottom: "x" {tops} {param}', {"x": shape}, **values)  # type: ignore[arg-type]


def _many(
    layer_type: str,
    param: str,
    *shapes: Shape,
    top: str = "y",
    classes: int = 0,
    labels: tuple[int, int] | None = None,
    low: float = -1.0,
) -> Case:
    names = [f"x{i}" for i in range(len(shapes))]
    bottoms = " ".join(f'bottom: "{n}"' for n in names)
    tops = " ".join(f'top: "{t}"' for t in top.split())
    text = f'name: "layer" type: "{layer_type}" {bottoms} {tops} {param}'
    place, classes = labels or (-1, classes)
    return Case(text, dict(zip(names, shapes, strict=True)), low, classes=classes, labels=place)


IMAGE = (3, 4, 7, 9)

CASES: dict[str, Case] = {
    "absval": _one("AbsVal"),
    "accuracy": _many("Accuracy", "accuracy_param { top_k: 2 }", (6, 5), (6,), classes=5),
    "accuracy_per_class": _many("Accuracy", "", (3, 4, 2, 3), (3, 1, 2, 3), top="y z", classes=4),
    "argmax": _one("ArgMax", "argmax_param { top_k: 3 out_max_val: true }", (3, 10)),
    "argmax_axis": _one("ArgMax", "argmax_param { top_k: 2 axis: 1 }", IMAGE),
    "axpy": _many("Axpy", "", (3, 4, 1, 1), IMAGE, IMAGE),
    "axpy_flat_gate": _many("Axpy", "", (3, 4), IMAGE, IMAGE),
    "batch_norm": _one("BatchNorm"),
    "batch_norm_nvcaffe": _one("BatchNorm", "batch_norm_param { scale_bias: true }"),
    "bias": _one("Bias"),
    "bias_two_bottoms": _many("Bias", "bias_param { axis: 1 }", IMAGE, (4, 7)),
    "bnll": _one("BNLL", low=-50, high=50),
    "clip": _one("Clip", "clip_param { min: 0 max: 6 }", low=-3, high=9),
    "clip_shifted": _one("Clip", "clip_param { min: -0.5 max: 0.25 }"),
    "concat": _many("Concat", "", IMAGE, (3, 2, 7, 9), (3, 5, 7, 9)),
    "concat_legacy": _many("Concat", "concat_param { concat_dim: 2 }", IMAGE, (3, 4, 2, 9)),
    "convolution": _one("Convolution", "convolution_param { num_output: 6 kernel_size: 3 pad: 1 stride: 2 }"),
    "convolution_group": _one(
        "Convolution",
        "convolution_param { num_output: 6 group: 2 kernel_h: 3 kernel_w: 2 pad_w: 1 dilation: 2 bias_term: false }",
    ),
    "convolution_depthwise": _one("ConvolutionDepthwise", "convolution_param { kernel_size: 3 pad: 1 }"),
    "depthwise_convolution": _one(
        "DepthwiseConvolution", "convolution_param { num_output: 4 group: 4 kernel_size: 3 stride: 2 }"
    ),
    "crop": _many("Crop", "crop_param { axis: 2 offset: 1 offset: 2 }", IMAGE, (3, 1, 5, 6)),
    "deconvolution": _one(
        "Deconvolution", "convolution_param { num_output: 6 group: 2 kernel_size: 4 stride: 2 pad: 1 }"
    ),
    "dropout": _one("Dropout"),
    "eltwise_sum": _many("Eltwise", "eltwise_param { coeff: 1 coeff: -0.5 coeff: 2 }", IMAGE, IMAGE, IMAGE),
    "eltwise_prod": _many("Eltwise", "eltwise_param { operation: PROD }", IMAGE, IMAGE),
    "eltwise_max": _many("Eltwise", "eltwise_param { operation: MAX }", IMAGE, IMAGE),
    "elu": _one("ELU", "elu_param { alpha: 0.7 }"),
    "euclidean_loss": _many("EuclideanLoss", "", (3, 4, 2), (3, 8)),
    "exp": _one("Exp", "exp_param { base: 2 scale: 0.5 shift: 1 }"),
    "flatten": _one("Flatten", "flatten_param { axis: 1 end_axis: 2 }"),
    "inner_product": _one("InnerProduct", "inner_product_param { num_output: 5 }"),
    "inner_product_transpose": _one(
        "InnerProduct", "inner_product_param { num_output: 5 axis: 2 transpose: true bias_term: false }"
    ),
    "interp": _one("Interp", "interp_param { height: 11 width: 5 }"),
    "interp_zoom": _one("Interp", "interp_param { shrink_factor: 2 zoom_factor: 3 pad_beg: -1 }"),
    "log": _one("Log", "log_param { base: 10 scale: 2 shift: 0.5 }", low=0, high=4),
    "lrn_across": _one("LRN", "lrn_param { local_size: 3 alpha: 0.5 k: 2 }"),
    "lrn_within": _one("LRN", "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }"),
    "mvn": _one("MVN"),
    "mvn_across": _one("MVN", "mvn_param { across_channels: true eps: 0.01 }"),
    "normalize": _one("Normalize", "norm_param { across_spatial: false channel_shared: false }"),
    "normalize_across": _one("Normalize", "norm_param { }"),
    "permute": _one("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }"),
    "pooling_max": _one("Pooling", "pooling_param { kernel_size: 3 stride: 2 }", (3, 4, 8, 9)),
    "pooling_max_index": _one("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }", top="y z"),
    "pooling_ave": _one("Pooling", "pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }", (3, 4, 8, 9)),
    "pooling_floor": _one("Pooling", "pooling_param { kernel_size: 2 stride: 2 ceil_mode: false }"),
    "pooling_global": _one("Pooling", "pooling_param { pool: AVE global_pooling: true }"),
    "power": _one("Power", "power_param { power: 2 scale: 0.5 shift: 1 }"),
    "power_constant": _one("Power", "power_param { power: 3 scale: 0 shift: 2 }"),
    "prelu": _one("PReLU"),
    "prelu_shared": _one("PReLU", "prelu_param { channel_shared: true }", (3, 8)),
    "reduction_sum": _one("Reduction", "reduction_param { axis: 1 coeff: 0.5 }"),
    "reduction_asum": _one("Reduction", "reduction_param { operation: ASUM axis: 2 }"),
    "reduction_sumsq": _one("Reduction", "reduction_param { operation: SUMSQ }"),
    "reduction_mean": _one("Reduction", "reduction_param { operation: MEAN axis: -1 }"),
    "relu": _one("ReLU"),
    "relu_leaky": _one("ReLU", "relu_param { negative_slope: 0.1 }"),
    "reshape": _one("Reshape", "reshape_param { shape { dim: 0 dim: 2 dim: -1 } }"),
    "reshape_part": _one("Reshape", "reshape_param { shape { dim: 2 dim: 2 } axis: 1 num_axes: 1 }"),
    "scale": _one("Scale", "scale_param { bias_term: true }"),
    "scale_gate": _many("Scale", "scale_param { axis: 0 }", IMAGE, (3, 4)),
    "shuffle_channel": _one("ShuffleChannel", "shuffle_channel_param { group: 3 }", (3, 12, 2, 3)),
    "sigmoid": _one("Sigmoid", low=-8, high=8),
    "slice": _one("Slice", "slice_param { slice_point: 1 slice_point: 3 }", top="y z w"),
    "slice_equal": _one("Slice", "slice_param { axis: 3 }", top="y z w"),
    "softmax": _one("Softmax", "", (3, 10), low=-4, high=4),
    "softmax_spatial": _one("Softmax", "softmax_param { axis: -1 }", low=-4, high=4),
    "softmax_with_loss": _many("SoftmaxWithLoss", "", (4, 5), (4,), classes=5),
    "softmax_with_loss_ignore": _many(
        "SoftmaxWithLoss", "loss_param { ignore_label: 1 normalization: FULL }", (2, 3, 4, 5), (2, 1, 4, 5), classes=3
    ),
    "split": _one("Split", top="y z"),
    "swish": _one("Swish", "swish_param { beta: 1.5 }"),
    "tanh": _one("TanH"),
    "threshold": _one("Threshold", "threshold_param { threshold: 0.25 }"),
    "batch_reindex": _many("BatchReindex", "", IMAGE, (5,), classes=3),
    "contrastive_loss": _many(
        "ContrastiveLoss", "contrastive_loss_param { margin: 2 }", (4, 3), (4, 3), (4,), classes=2
    ),
    "contrastive_loss_legacy": _many(
        "ContrastiveLoss",
        "contrastive_loss_param { legacy_version: true }",
        (4, 3, 1, 1),
        (4, 3, 1, 1),
        (4,),
        classes=2,
    ),
    "embed": _many("Embed", "embed_param { input_dim: 6 num_output: 4 }", (3, 2), classes=6),
    "embed_without_bias": _many(
        "Embed", "embed_param { input_dim: 6 num_output: 4 bias_term: false }", (3,), classes=6
    ),
    "filter": _many("Filter", "", IMAGE, (3, 2), (3,), top="y z", classes=2),
    "hinge_loss": _many("HingeLoss", "", (4, 5), (4,), classes=5),
    "hinge_loss_l2": _many("HingeLoss", "hinge_loss_param { norm: L2 }", (3, 4, 1, 1), (3,), classes=4),
    "im2col": _one("Im2col", "convolution_param { kernel_h: 3 kernel_w: 2 stride: 2 pad_h: 1 pad_w: 0 }"),
    "infogain_loss": _many("InfogainLoss", "", (2, 3, 4, 2), (2, 1, 4, 2), (1, 1, 3, 3), labels=(1, 3)),
    "infogain_loss_axis": _many(
        "InfogainLoss",
        "infogain_loss_param { axis: -1 } loss_param { ignore_label: 1 normalization: BATCH_SIZE }",
        *((2, 3, 4), (2, 3), (4, 4)),
        labels=(1, 4),
    ),
    "lstm": _many("LSTM", "recurrent_param { num_output: 3 }", (4, 2, 5), (4, 2), classes=2),
    "lstm_static": _many("LSTM", "recurrent_param { num_output: 3 }", (4, 2, 5), (4, 2), (2, 2, 3), labels=(1, 2)),
    "lstm_unit": _many("LSTMUnit", "", (1, 3, 4), (1, 3, 16), (1, 3), top="c h", classes=2),
    "lstm_exposed": _many(
        "LSTM",
        "recurrent_param { num_output: 3 expose_hidden: true }",
        *((4, 2, 5), (4, 2), (1, 2, 3), (1, 2, 3)),
        top="y h c",
        labels=(1, 2),
    ),
    "multinomial_logistic_loss": _many("MultinomialLogisticLoss", "", (4, 5), (4,), classes=5, low=0.0),
    "parameter": Case('name: "layer" type: "Parameter" top: "y" parameter_param { shape { dim: 2 dim: 3 } }', {}),
    "continuation_indicator": Case(
        'name: "layer" type: "ContinuationIndicator" top: "y"'
        " continuation_indicator_param { time_step: 3 batch_size: 2 }",
        {},
    ),
    "reverse": _one("Reverse", "reverse_param { axis: 0 }"),
    "reverse_inner": _one("Reverse", "reverse_param { axis: 2 }"),
    "rnn": _many("RNN", "recurrent_param { num_output: 3 }", (4, 2, 5), (4, 2), classes=2),
    "rnn_exposed": _many(
        "RNN",
        "recurrent_param { num_output: 3 expose_hidden: true }",
        *((4, 2, 2, 3), (4, 2), (2, 3), (1, 2, 3)),
        top="y h",
        labels=(1, 2),
    ),
    "sigmoid_cross_entropy_loss": _many("SigmoidCrossEntropyLoss", "", (3, 4, 2), (3, 8), classes=2),
    "sigmoid_cross_entropy_loss_ignore": _many(
        "SigmoidCrossEntropyLoss", "loss_param { ignore_label: 2 normalization: VALID }", (3, 4), (3, 4), classes=3
    ),
    "spp": _one("SPP", "spp_param { pyramid_height: 3 }"),
    "spp_ave": _one("SPP", "spp_param { pyramid_height: 2 pool: AVE }"),
    "spp_one_level": _one("SPP", "spp_param { pyramid_height: 1 }"),
    "tile": _one("Tile", "tile_param { axis: 2 tiles: 3 }"),
}
