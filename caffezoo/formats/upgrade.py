"""Old NetParameters brought to the form that Caffe's layers read: the rules of Caffe's ``upgrade_proto.cpp``.

V0 (`layers { layer { type: "conv" } }`) becomes V1 (`layers { type: CONVOLUTION }`), and that becomes
`layer { type: "Convolution" }`; transformation fields of data layers move into `transform_param`; `input` fields
become an `Input` layer in front; BatchNorm's statistics get learning rate 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caffezoo.errors import PrototxtError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.extra_fields import attach, extra_texts
from caffezoo.formats.legacy_v0 import upgrade_v0

# Caffe's names of the V1 types (upgrade_proto.cpp, UpgradeV1LayerType).
V1_TYPE_NAMES = {
    "NONE": "", "ABSVAL": "AbsVal", "ACCURACY": "Accuracy", "ARGMAX": "ArgMax", "BNLL": "BNLL", "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss", "CONVOLUTION": "Convolution", "DATA": "Data",
    "DECONVOLUTION": "Deconvolution", "DROPOUT": "Dropout", "DUMMY_DATA": "DummyData",
    "EUCLIDEAN_LOSS": "EuclideanLoss", "ELTWISE": "Eltwise", "EXP": "Exp", "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output", "HINGE_LOSS": "HingeLoss", "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData", "INFOGAIN_LOSS": "InfogainLoss", "INNER_PRODUCT": "InnerProduct", "LRN": "LRN",
    "MEMORY_DATA": "MemoryData", "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss", "MVN": "MVN",
    "POOLING": "Pooling", "POWER": "Power", "RELU": "ReLU", "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss", "SILENCE": "Silence", "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split", "SLICE": "Slice", "TANH": "TanH", "WINDOW_DATA": "WindowData",
    "THRESHOLD": "Threshold",
    # Forks of that time; their enums gave the same numbers to different types, so here they have numbers of their own.
    "BN": "BN", "CONVOLUTION3D": "Convolution3D", "CROP": "Crop", "DECONVOLUTION3D": "Deconvolution3D",
    "DENSE_CRF": "DenseCRF", "IMAGE_SEG_DATA": "ImageSegData", "INTERP": "Interp", "L2_NORM": "L2Norm",
    "LOCAL": "LocalConvolution", "MAT_READ": "MatRead", "MAT_WRITE": "MatWrite",
    "MULTI_STAGE_MEANFIELD": "MultiStageMeanfield", "NORMALIZE": "Normalize", "PADDING": "Padding",
    "PERMUTE": "Permute", "POOLING3D": "Pooling3D", "PRELU": "PReLU", "RESHAPE": "Reshape",
    "SEG_ACCURACY": "SegAccuracy", "UNPOOLING": "Unpooling", "UPSAMPLE": "Upsample", "VIDEO_DATA": "VideoData",
}  # fmt: skip
TYPE_OF_V1_NUMBER = {pb.V1LayerParameter.LayerType.Value(name): type_ for name, type_ in V1_TYPE_NAMES.items()}

_DATA_PARAMS = {
    pb.V1LayerParameter.DATA: "data_param",
    pb.V1LayerParameter.IMAGE_DATA: "image_data_param",
    pb.V1LayerParameter.WINDOW_DATA: "window_data_param",
}
_TRANSFORM_FIELDS = ("scale", "mean_file", "crop_size", "mirror")
_INPUT_DIMS = 4


@dataclass(frozen=True)
class UpgradedNet:
    """An upgraded copy of a net; `lines` and `warnings` as in `Prototxt`."""

    net: pb.NetParameter
    lines: tuple[int, ...]
    warnings: tuple[str, ...]


def upgrade_net(net: pb.NetParameter, path: str, lines: Sequence[int] = ()) -> UpgradedNet:
    """Return an upgraded copy of `net`, as text or binary file had it.

    Parameters
    ----------
    net : NetParameter
        Left as it is.
    path : str
        File that it came from, for messages.
    lines : sequence of int, optional
        Source line of each entry of `layer` or `layers`; none for a binary net.

    Raises
    ------
    PrototxtError
        `layer` and `layers` are mixed, a V0 layer type is unknown, or inputs and their shapes do not match in number.
    """
    if net.layers and net.layer:
        raise PrototxtError("the net mixes 'layer' and 'layers' entries", where=path, hint="use one form")
    count = len(net.layers) or len(net.layer)
    line_list = list(lines) if lines else [0] * count
    warnings: list[str] = []
    result = pb.NetParameter()
    result.CopyFrom(net)
    if any(v1.HasField("layer") for v1 in result.layers):
        line_list = upgrade_v0(result, path, line_list, warnings)
    for v1 in result.layers:
        _move_transform_fields(v1)
        _upgrade_v1_layer(v1, result.layer.add())
    del result.layers[:]
    if _upgrade_inputs(result, path, warnings):
        line_list.insert(0, 0)
    for layer in result.layer:
        if layer.type == "BatchNorm" and len(layer.param) == 3:
            for spec in layer.param:
                spec.lr_mult = 0
                spec.decay_mult = 0
    return UpgradedNet(result, tuple(line_list), tuple(warnings))


def _move_transform_fields(layer: pb.V1LayerParameter) -> None:
    param_name = _DATA_PARAMS.get(layer.type)
    if param_name is None or not layer.HasField(param_name):
        return
    source = getattr(layer, param_name)
    for name in _TRANSFORM_FIELDS:
        if source.HasField(name):
            setattr(layer.transform_param, name, getattr(source, name))
            source.ClearField(name)


def _upgrade_v1_layer(v1: pb.V1LayerParameter, layer: pb.LayerParameter) -> None:
    for field, value in v1.ListFields():
        if field.name.endswith("_param") and field.message_type is not None:
            getattr(layer, field.name).CopyFrom(value)
    for name in ("bottom", "top", "blobs", "include", "exclude", "loss_weight"):
        getattr(layer, name).extend(getattr(v1, name))
    for text in extra_texts(v1):
        attach(layer, text)
    if v1.HasField("name"):
        layer.name = v1.name
    if v1.HasField("type"):
        layer.type = TYPE_OF_V1_NUMBER[v1.type]
    for index in range(max(len(v1.param), len(v1.blob_share_mode), len(v1.blobs_lr), len(v1.weight_decay))):
        spec = layer.param.add()
        if index < len(v1.param):
            spec.name = v1.param[index]
        if index < len(v1.blob_share_mode):
            spec.share_mode = pb.ParamSpec.DimCheckMode.Name(int(v1.blob_share_mode[index]))  # type: ignore[assignment]
        if index < len(v1.blobs_lr):
            spec.lr_mult = v1.blobs_lr[index]
        if index < len(v1.weight_decay):
            spec.decay_mult = v1.weight_decay[index]


def _upgrade_inputs(net: pb.NetParameter, path: str, warnings: list[str]) -> bool:
    """Turn `input` and its shapes into a first Input layer; return whether one was made."""
    names, shapes, dims = list(net.input), list(net.input_shape), list(net.input_dim)
    made = False
    if names and shapes:
        if len(shapes) != len(names):
            raise PrototxtError(f"{len(names)} 'input' names but {len(shapes)} 'input_shape'", where=path)
        made = True
    elif names and dims:
        if len(dims) != _INPUT_DIMS * len(names):
            wanted = _INPUT_DIMS * len(names)
            raise PrototxtError(f"{len(names)} 'input' names need {wanted} 'input_dim', not {len(dims)}", where=path)
        made = True
        for start in range(0, len(dims), _INPUT_DIMS):
            shapes.append(pb.BlobShape(dim=dims[start : start + _INPUT_DIMS]))
    elif names:
        warnings.append(f"{path}: input '{names[0]}' has no shape and is ignored, as in Caffe")
    elif shapes or dims:
        warnings.append(f"{path}: input shapes without an 'input' name are ignored")
    if made:
        layers = list(net.layer)
        del net.layer[:]
        layer = net.layer.add(name="input", type="Input", top=names)
        layer.input_param.shape.extend(shapes)
        net.layer.extend(layers)
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)
    return made
