"""The files of a fine-tuning as Caffe takes them: train_val and solver prototxts, made from a deploy file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from caffezoo.errors import TrainingError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.preprocessing import Preprocessing
from caffezoo.formats.solver_pb2 import SolverParameter
from caffezoo.training.rewriting import Layers, without_softmax

INPUT = "input_transform"
"""Layer that brings pixels into the order and scale of networks that Caffe's transform_param cannot serve."""


@dataclass(frozen=True)
class DataLayers:
    """What the two data layers read.

    Attributes
    ----------
    train_list, val_list : str
        ``path label`` lines.
    batch, val_batch : int
    preprocessing : Preprocessing
        Base size (which images are squashed to), crop size, mean, std, order of channels.
    mirror : bool
    """

    train_list: str
    val_list: str
    batch: int
    val_batch: int
    preprocessing: Preprocessing
    mirror: bool = True


def train_val_net(
    name: str, layers: Layers, data: DataLayers, class_weights: Sequence[float] | None
) -> pb.NetParameter:
    """Return the net of a training.

    Parameters
    ----------
    name : str
    layers : list of LayerParameter
        Of the deploy file, with its input layer.
    data : DataLayers
    class_weights : sequence of float, optional
        How much a label of each class counts in the loss: an InfogainLoss with them on the diagonal, whose matrix is in
        :func:`class_weights_file`.

    Raises
    ------
    TrainingError
        The deploy file has another number of inputs than one.
    """
    inputs = [layer for layer in layers if layer.type == "Input"]
    if len(inputs) != 1 or len(inputs[0].top) != 1:
        raise TrainingError("a deploy file with one input is needed")
    net = pb.NetParameter(name=name)
    blob = inputs[0].top[0]
    transform = input_transform(data.preprocessing)
    read = "pixels" if transform is not None else blob
    for phase, listed, batch in ((pb.TRAIN, data.train_list, data.batch), (pb.TEST, data.val_list, data.val_batch)):
        net.layer.append(_image_data(phase, listed, batch, data, read))
    if transform is not None:
        transform.top[0] = blob
        net.layer.append(transform)
    kept, scores = without_softmax([layer for layer in layers if layer.type != "Input"])
    net.layer.extend(kept)
    kind = "SoftmaxWithLoss" if class_weights is None else "InfogainLoss"
    loss = net.layer.add(name="loss", type=kind, bottom=[scores, "label"], top=["loss"])
    if class_weights is not None:
        loss.infogain_loss_param.source = class_weights_file(data)
    prob = net.layer.add(name="prob", type="Softmax", bottom=[scores], top=["prob"])
    prob.include.add(phase="TEST")
    accuracy = net.layer.add(name="accuracy", type="Accuracy", bottom=[scores, "label"], top=["accuracy"])
    accuracy.include.add(phase="TEST")
    return net


def class_weights_file(data: DataLayers) -> str:
    """Return the file of an InfogainLoss's matrix."""
    return f"{data.train_list}.weights.binaryproto"


def input_transform(preprocessing: Preprocessing) -> pb.LayerParameter | None:
    """Return a 1x1 convolution for networks that take RGB, or another std for every channel; None for the others."""
    std = preprocessing.std
    if preprocessing.channel_order != "RGB" and len(set(std)) == 1:
        return None
    layer = pb.LayerParameter(name=INPUT, type="Convolution", bottom=["pixels"], top=["data"])
    layer.param.add(lr_mult=0, decay_mult=0)
    layer.convolution_param.num_output = 3
    layer.convolution_param.kernel_size.append(1)
    layer.convolution_param.bias_term = False
    return layer


def input_weights(preprocessing: Preprocessing) -> np.ndarray:
    """Return the weights of :func:`input_transform`: (pixel - mean) in BGR to what the network takes."""
    scale = np.diag(1 / np.asarray(preprocessing.std, np.float64))
    order = [2, 1, 0] if preprocessing.channel_order == "RGB" else [0, 1, 2]
    return scale[order].astype(np.float32).reshape(3, 3, 1, 1)


def _image_data(phase: int, listed: str, batch: int, data: DataLayers, top: str) -> pb.LayerParameter:
    p = data.preprocessing
    if p.base_size is None or p.crop_size is None:
        raise TrainingError("base size and crop size are not known", hint="give --base-size and --crop-size")
    crop, base = p.crop_size, p.base_size
    if crop.height != crop.width:
        raise TrainingError(f"Caffe's crops are square, not {crop}")
    layer = pb.LayerParameter(name="data", type="ImageData", top=[top, "label"])
    layer.include.add(phase=pb.Phase.Name(phase))
    transform = layer.transform_param
    transform.crop_size = crop.height
    transform.mean_value.extend(p.mean)
    if len(set(p.std)) == 1 and p.channel_order != "RGB" and p.std[0] != 1:
        transform.scale = 1 / p.std[0]
    image = layer.image_data_param
    image.source = listed
    image.batch_size = batch
    image.new_height, image.new_width = base.height, base.width
    if p.channel_order == "grey":
        image.is_color = False
    if phase == pb.TRAIN:
        transform.mirror = data.mirror
        image.shuffle = True
    return layer


def solver_param(
    net: str,
    *,
    kind: str,
    rate: float,
    iterations: int,
    val_batches: int,
    epoch: int,
    decay: float,
    seed: int,
    prefix: str,
    policy: str = "poly",
) -> SolverParameter:
    """Return the solver of a fine-tuning; ``epoch`` is in iterations."""
    param = SolverParameter(
        net=net,
        type=kind,
        base_lr=rate,
        lr_policy=policy,
        max_iter=iterations,
        display=max(min(epoch // 5, 50), 1),
        test_interval=epoch,
        test_initialization=False,
        weight_decay=decay,
        random_seed=seed,
        snapshot_prefix=prefix,
        snapshot_after_train=True,
    )
    param.test_iter.append(val_batches)
    param.solver_mode = SolverParameter.CPU
    if policy == "poly":
        param.power = 1.0
    if kind in ("SGD", "Nesterov"):
        param.momentum = 0.9
    elif kind in ("Adam", "AdaDelta"):
        param.momentum = 0.9
        param.delta = 1e-8 if kind == "Adam" else 1e-6
    return param
