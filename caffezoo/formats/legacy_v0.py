"""Caffe's first layer format (2013): V0 layers upgraded to V1.

A V0 layer is one flat message for all types, nested in a `layers` entry that holds its bottoms and tops; padding is a
layer of its own, merged here into the convolution or pooling that follows it. Rules of Caffe's ``upgrade_proto.cpp``.
"""

from __future__ import annotations

from caffezoo.errors import PrototxtError
from caffezoo.formats import caffe_pb2 as pb

# V0 type -> (V1 enum name, V1 parameter message that takes the type's fields).
_TYPES = {
    "accuracy": ("ACCURACY", ""), "bnll": ("BNLL", ""), "concat": ("CONCAT", "concat_param"),
    "conv": ("CONVOLUTION", "convolution_param"), "data": ("DATA", "data_param"),
    "dropout": ("DROPOUT", "dropout_param"), "euclidean_loss": ("EUCLIDEAN_LOSS", ""), "flatten": ("FLATTEN", ""),
    "hdf5_data": ("HDF5_DATA", "hdf5_data_param"), "hdf5_output": ("HDF5_OUTPUT", "hdf5_output_param"),
    "im2col": ("IM2COL", "convolution_param"), "images": ("IMAGE_DATA", "image_data_param"),
    "infogain_loss": ("INFOGAIN_LOSS", "infogain_loss_param"),
    "innerproduct": ("INNER_PRODUCT", "inner_product_param"), "lrn": ("LRN", "lrn_param"),
    "multinomial_logistic_loss": ("MULTINOMIAL_LOGISTIC_LOSS", ""), "pool": ("POOLING", "pooling_param"),
    "relu": ("RELU", ""), "sigmoid": ("SIGMOID", ""), "softmax": ("SOFTMAX", ""),
    "softmax_loss": ("SOFTMAX_LOSS", ""), "split": ("SPLIT", ""), "tanh": ("TANH", ""),
    "window_data": ("WINDOW_DATA", "window_data_param"),
}  # fmt: skip

# V0 field -> name in the parameter message of the layer's type; a type whose message lacks the name does not take it.
_FIELDS = {
    "num_output": "num_output", "biasterm": "bias_term", "weight_filler": "weight_filler", "bias_filler": "bias_filler",
    "pad": "pad", "kernelsize": "kernel_size", "group": "group", "stride": "stride", "pool": "pool",
    "dropout_ratio": "dropout_ratio", "local_size": "local_size", "alpha": "alpha", "beta": "beta", "k": "k",
    "source": "source", "batchsize": "batch_size", "rand_skip": "rand_skip", "new_height": "new_height",
    "new_width": "new_width", "shuffle_images": "shuffle", "concat_dim": "concat_dim",
    "det_fg_threshold": "fg_threshold", "det_bg_threshold": "bg_threshold", "det_fg_fraction": "fg_fraction",
    "det_context_pad": "context_pad", "det_crop_mode": "crop_mode",
}  # fmt: skip
_TRANSFORM_FIELDS = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}
_COPIED = {"name", "type", "blobs", "blobs_lr", "weight_decay"}

V0_TYPES = {type_: enum for type_, (enum, _) in _TYPES.items()} | {"padding": ""}
"""V0 type to the name of its V1 enum value; `padding` has none."""


def upgrade_v0(net: pb.NetParameter, path: str, lines: list[int], warnings: list[str]) -> list[int]:
    """Replace the V0 layers of `net` by V1 layers, in place; return the lines of the layers that are left.

    Raises
    ------
    PrototxtError
        Unknown V0 type, or a padding layer in front of something that takes no padding.
    """
    layers, lines = _merge_padding(list(net.layers), path, lines)
    del net.layers[:]
    for old, line in zip(layers, lines, strict=True):
        if old.HasField("layer"):
            _upgrade_layer(old, net.layers.add(), _place(path, line), warnings)
        else:
            net.layers.add().CopyFrom(old)
    return lines


def _place(path: str, line: int) -> str:
    return f"{path}:{line}" if line else path


def _merge_padding(
    layers: list[pb.V1LayerParameter], path: str, lines: list[int]
) -> tuple[list[pb.V1LayerParameter], list[int]]:
    producers: dict[str, pb.V1LayerParameter] = {}
    kept, kept_lines = [], []
    for layer, line in zip(layers, lines, strict=True):
        if layer.layer.type != "padding":
            kept.append(layer)
            kept_lines.append(line)
        elif len(layer.bottom) != 1:
            raise PrototxtError(
                f"padding layer '{layer.layer.name}' has {len(layer.bottom)} bottoms, not 1", where=_place(path, line)
            )
        for index, bottom in enumerate(layer.bottom):
            source = producers.get(bottom)
            if source is None or source.layer.type != "padding":
                continue
            if layer.layer.type not in ("conv", "pool"):
                raise PrototxtError(
                    f"layer '{layer.layer.name}' of type '{layer.layer.type}' cannot take the padding of "
                    f"'{source.layer.name}'",
                    where=_place(path, line),
                )
            layer.layer.pad = source.layer.pad
            layer.bottom[index] = source.bottom[0]
        producers.update(dict.fromkeys(layer.top, layer))
    return kept, kept_lines


def _upgrade_layer(old: pb.V1LayerParameter, new: pb.V1LayerParameter, place: str, warnings: list[str]) -> None:
    v0 = old.layer
    new.bottom.extend(old.bottom)
    new.top.extend(old.top)
    if v0.HasField("name"):
        new.name = v0.name
    new.blobs.extend(v0.blobs)
    new.blobs_lr.extend(v0.blobs_lr)
    new.weight_decay.extend(v0.weight_decay)
    param_name = ""
    if v0.HasField("type"):
        if v0.type not in _TYPES:
            raise PrototxtError(f"layer '{v0.name}': unknown V0 layer type '{v0.type}'", where=place)
        enum_name, param_name = _TYPES[v0.type]
        new.type = pb.V1LayerParameter.LayerType.Value(enum_name)  # type: ignore[assignment]
    for field, value in v0.ListFields():
        if field.name in _COPIED:
            continue
        if not _set_field(new, param_name, field.name, value):
            warnings.append(f"{place}: layer '{v0.name}': field '{field.name}' means nothing for type '{v0.type}'")


def _set_field(new: pb.V1LayerParameter, param_name: str, name: str, value: object) -> bool:
    if name == "hdf5_output_param" and param_name == name:
        new.hdf5_output_param.CopyFrom(value)  # type: ignore[arg-type]
        return True
    is_data = param_name in ("data_param", "image_data_param", "window_data_param")
    if name in _TRANSFORM_FIELDS and is_data:
        setattr(new.transform_param, _TRANSFORM_FIELDS[name], value)
        return True
    target = _FIELDS.get(name)
    if target is None or not param_name:
        return False
    param = getattr(new, param_name)
    field = param.DESCRIPTOR.fields_by_name.get(target)
    if field is None:
        return False
    if field.message_type is not None:
        getattr(param, target).CopyFrom(value)
    elif param_name == "convolution_param" and target in ("pad", "kernel_size", "stride"):
        getattr(param, target).append(value)
    else:
        setattr(param, target, value)
    return True
