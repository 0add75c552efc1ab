"""A fine-tuning: what is wanted, and the files that say it to this program and to Caffe.

Importing this module does not import torch.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from caffezoo.errors import TrainingError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.binaryproto import write_binaryproto
from caffezoo.formats.image_size import Size
from caffezoo.formats.preprocessing import Preprocessing
from caffezoo.formats.prototxt import write_prototxt
from caffezoo.formats.solver_pb2 import SolverParameter
from caffezoo.net.graph import Network
from caffezoo.net.plain import to_plain
from caffezoo.training.precision_forms import Form, PrecisionChoice, make_form
from caffezoo.training.rewriting import copied, fill, freeze, head_layer, replace_head, widen
from caffezoo.training.splits import Split, split_folder, write_list
from caffezoo.training.train_val import DataLayers, class_weights_file, solver_param, train_val_net

KINDS = {
    "sgd": "SGD",
    "nesterov": "Nesterov",
    "adam": "Adam",
    "rmsprop": "RMSProp",
    "adagrad": "AdaGrad",
    "adadelta": "AdaDelta",
}
RATES = {"sgd": 0.001, "nesterov": 0.001, "adam": 0.0001, "rmsprop": 0.0001, "adagrad": 0.001, "adadelta": 1.0}
"""Learning rates for weights that are trained already."""

FROM_SCRATCH = {"sgd": 0.01, "nesterov": 0.01, "adam": 0.001, "rmsprop": 0.001, "adagrad": 0.01, "adadelta": 1.0}


@dataclass(frozen=True)
class Job:
    """What is to be trained, on what, and how.

    Attributes
    ----------
    name : str
        Of the trained network: its files and its entry in the index.
    network : Network
        A deploy file, with weights to begin with or without.
    preprocessing : Preprocessing
        With both sizes.
    data : str
        A folder of class folders, or of ``train`` and ``val`` with them.
    output : Path
        A folder for all files.
    epochs, batch_size : int
    solver : str
        A key of ``KINDS``.
    rate : float or None
        The default for the solver if None.
    policy : str
        Caffe's ``poly`` (linear down to 0) or ``fixed``.
    decay : float
        Weight decay.
    freeze : tuple of str
        Patterns of layers that keep their weights.
    head_mult : float
        How much faster a new classifier learns than the layers that are trained already.
    balance : bool
        Classes count alike in the loss, however many images each has.
    mirror : bool
    augment : str
        What else happens to training images: a name of :mod:`caffezoo.training.augmentation`.
    patience : int or None
        Epochs without a better validation accuracy after which the training ends.
    val_share : float
        Of every class, where the folder has no split of its own.
    width : float
        Of all layers but the classifier, for networks without weights.
    precision : PrecisionChoice
    seed : int
    threads : int
        That decode images.
    strict : bool
        An image that cannot be read ends the training.
    bfloat16 : bool
        Compute forward passes in bfloat16 where torch holds it safe.
    device : str
        Of torch.
    """

    name: str
    network: Network
    preprocessing: Preprocessing
    data: str
    output: Path
    epochs: int = 10
    batch_size: int = 32
    solver: str = "sgd"
    rate: float | None = None
    policy: str = "poly"
    decay: float = 0.0005
    freeze: tuple[str, ...] = ()
    head_mult: float = 10.0
    balance: bool = False
    mirror: bool = True
    augment: str = "none"
    patience: int | None = None
    val_share: float = 0.2
    width: float = 1.0
    precision: PrecisionChoice = field(default_factory=PrecisionChoice)
    seed: int = 0
    threads: int = 2
    strict: bool = False
    bfloat16: bool = False
    device: str = "cpu"


@dataclass(frozen=True)
class Plan:
    """A job's files and numbers.

    Attributes
    ----------
    split : Split
    form : Form
        The deploy file's layers at the job's precision, with their input.
    head : str
        Name of the classifier.
    solver : SolverParameter
        As the file ``solver.prototxt`` has it.
    epoch : int
        Iterations of an epoch.
    frozen : tuple of str
        Layers that keep their weights.
    net : NetParameter
        What is trained here: ``train_val.prototxt`` holds the same in BVLC's own layers.
    """

    split: Split
    form: Form
    head: str
    solver: SolverParameter
    epoch: int
    frozen: tuple[str, ...]
    net: pb.NetParameter

    def deploy(self, name: str) -> pb.NetParameter:
        """Return the deploy file."""
        net = pb.NetParameter(name=name)
        net.layer.extend(self.form.layers)
        for layer in net.layer:
            del layer.param[:]
            for param in (layer.convolution_param, layer.inner_product_param):
                param.ClearField("weight_filler")
                param.ClearField("bias_filler")
            for kind, one in (("Convolution", "convolution_param"), ("InnerProduct", "inner_product_param")):
                if layer.type != kind:
                    layer.ClearField(one)
        return net


def make_plan(job: Job) -> Plan:
    """Read the folder and write lists, ``train_val.prototxt``, ``solver.prototxt`` and ``labels.txt``.

    Raises
    ------
    DataError, TrainingError, UsageError
        The folder or the network cannot be trained with.
    """
    split = split_folder(job.data, job.val_share, job.seed)
    pretrained = bool(job.network.weights)
    if pretrained and job.width != 1:
        raise TrainingError(
            "a network with weights cannot be widened", hint="leave --width out, or give --from-scratch"
        )
    layers = copied(job.network.prototxt.net.layer)
    head = head_layer(job.network)
    if job.width != 1:
        widen(layers, job.width, head)
    frozen = freeze(layers, job.freeze)
    head = replace_head(layers, head, len(split.classes), job.head_mult if pretrained else 1.0)
    for layer in layers:
        if layer.type == "BatchNorm" and pretrained:  # small batches of other images would ruin the statistics
            layer.batch_norm_param.use_global_stats = True
        elif layer.type == "BatchNorm":  # deploy files of some set it, and there are no statistics yet
            layer.batch_norm_param.ClearField("use_global_stats")
    fill(layers)
    crop = job.preprocessing.crop_size or Size.of(224)
    for layer in layers:
        if layer.type == "Input":
            shape = layer.input_param.shape[0]
            shape.dim[:] = [1, job.preprocessing.channels, crop.height, crop.width]
    form = make_form(layers, head, job.precision)
    if job.precision.kind != "full":
        fill(form.layers)
    output = job.output
    output.mkdir(parents=True, exist_ok=True)
    lists = {part: str(output / f"{part}.txt") for part in ("train", "val")}
    batch, val_batch = min(job.batch_size, len(split.train)), min(job.batch_size, len(split.val))
    data = DataLayers(lists["train"], lists["val"], batch, val_batch, job.preprocessing, job.mirror)
    write_list(lists["train"], split.train)
    write_list(lists["val"], split.val)
    weights = split.weights() if job.balance else None
    if weights is not None:
        write_binaryproto(class_weights_file(data), np.diag(weights)[None])
    epoch = math.ceil(len(split.train) / batch)
    solver = solver_param(
        str(output / "train_val.prototxt"),
        kind=KINDS[job.solver],
        rate=job.rate if job.rate is not None else (RATES if pretrained else FROM_SCRATCH)[job.solver],
        iterations=epoch * job.epochs,
        val_batches=math.ceil(len(split.val) / val_batch),
        epoch=epoch,
        decay=job.decay,
        seed=job.seed,
        prefix=str(output / "checkpoints" / job.name),
        policy=job.policy,
    )
    net = train_val_net(job.name, form.layers, data, weights)
    whole = pb.NetParameter(name=job.name)
    whole.layer.extend(form.layers)
    plain = to_plain(Network.from_proto(whole, path=job.network.path)).prototxt.net
    (output / "train_val.prototxt").write_text(
        write_prototxt(train_val_net(job.name, list(plain.layer), data, weights))
    )
    (output / "solver.prototxt").write_text(write_prototxt(solver))
    (output / "labels.txt").write_text("".join(f"{name}\n" for name in split.classes))
    os.makedirs(output / "checkpoints", exist_ok=True)
    return Plan(split, form, head, solver, epoch, tuple(frozen), net)
