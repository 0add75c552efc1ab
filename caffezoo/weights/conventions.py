"""Give weights the conventions of the network that they are for: normalisation, order of classes, no background class.

The network's input is x = (pixel - m) / s, the source's was y = (pixel - n) / t, so y = a x + d with a = s / t and
d = (m - n) / t, channel by channel. A first convolution that reads y becomes one that reads x by scaling its kernel by
a, which is exact, and adding the kernel's sum over d to its output. Where that convolution pads, the padding is 0 in x
and in y, which is another pixel: the sum is then right but for the outermost windows, and the report says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from caffezoo.errors import BindingError, UsageError
from caffezoo.net.scores import classifier_head
from caffezoo.zoo.resources import data_path
from caffezoo.zoo.tensor_map import Conventions, TensorMap

if TYPE_CHECKING:
    from caffezoo.net.graph import Network, Node

CLASSES = 1000
# Published means are rounded to a hundredth of a grey level, and standard deviations to four digits.
MEAN_TOLERANCE, STD_TOLERANCE = 0.02, 1e-4

Blobs = dict[str, list[np.ndarray]]


def adapt(blobs: Blobs, net: Network, source: Conventions, wanted: Conventions) -> tuple[str, ...]:
    """Change blobs in place from one set of conventions to another, and return what was done.

    Parameters
    ----------
    blobs : dict of str to list of ndarray
        By layer name; arrays are replaced, never written into.
    net : Network
    source, wanted : Conventions
        What is None in either stays as it is.

    Raises
    ------
    BindingError
        The network has no first convolution or no classifier of 1000 rows that could be changed.
    """
    notes = []
    if source.mean and source.std and wanted.mean and wanted.std:
        values = (wanted.mean, wanted.std, source.mean, source.std)
        notes += _renormalise(blobs, net, *(np.array(v, np.float64) for v in values))
    if source.labels and wanted.labels and source.labels != wanted.labels:
        layer = classifier(net).name
        order = class_order(source.labels, wanted.labels)
        if len(blobs[layer][0]) != CLASSES:
            raise BindingError(f"layer '{layer}' has {len(blobs[layer][0])} outputs, not ImageNet's {CLASSES} classes")
        blobs[layer] = [blob[order] for blob in blobs[layer]]
        notes.append(f"rows of '{layer}' put from the order of {source.labels} into that of {wanted.labels}")
    return tuple(notes)


def class_order(source: str, wanted: str) -> np.ndarray:
    """Return the indices that put rows in the ``source`` order of classes into the ``wanted`` order.

    Raises
    ------
    UsageError
        No such order.
    """
    place = {wnid: i for i, wnid in enumerate(_wnids(source))}
    return np.array([place[wnid] for wnid in _wnids(wanted)])


@cache
def _wnids(order: str) -> tuple[str, ...]:
    if order not in ("2012", "2015"):
        raise UsageError(f"no such order of classes: {order}", hint="2012 and 2015 are known")
    lines = data_path(f"cls/synsets_{order}.txt").read_text(encoding="utf-8").splitlines()
    return tuple(line.split(" ", 1)[0] for line in lines)


def classifier(net: Network) -> Node:
    """Return the layer whose rows are the classes.

    Raises
    ------
    BindingError
        No layer below the scores has blobs.
    NetworkError
        The network is no classifier.
    """
    layer = classifier_head(net).layer
    if layer is None:
        raise BindingError("no layer has blobs", where=net.name)
    return net.node(layer)


def drop_background(
    state: Mapping[str, np.ndarray], mapping: TensorMap, net: Network, *, asked: bool, where: str
) -> tuple[Mapping[str, np.ndarray], tuple[str, ...]]:
    """Leave the first class out of the classifier's tensors where the map knows of it or the caller asks for it.

    Returns
    -------
    tensors, notes

    Raises
    ------
    BindingError
        It was asked for, and the classifier has not one row too many.
    """
    if not (asked or mapping.background):
        return state, ()
    node = classifier(net)
    classes = node.blob_shapes[0][0]
    names = [s.tensor for s in mapping.layers[node.name] if s.tensor is not None]
    if not all(state[name].ndim and state[name].shape[0] == classes + 1 for name in names):
        if asked:
            found = state[names[0]].shape[:1]
            message = f"no background class to leave out: tensor {names[0]} has {list(found)} rows, not {classes + 1}"
            raise BindingError(message, where=where)
        return state, ()
    kept = {name: state[name][1:] for name in names}
    return {**state, **kept}, (f"the background class, first of {classes + 1}, was left out",)


def _renormalise(blobs: Blobs, net: Network, m: np.ndarray, s: np.ndarray, n: np.ndarray, t: np.ndarray) -> list[str]:
    """Go from mean ``n`` and std ``t`` to ``m`` and ``s``; letters as in the module's docstring."""
    same_std = bool(np.all(np.abs(s / t - 1) < STD_TOLERANCE))
    same_mean = bool(np.all(np.abs(m - n) < MEAN_TOLERANCE))
    if same_std and same_mean:
        return []
    node, follower = _first_convolution(net)
    kernel = blobs[node.name][0].astype(np.float64)
    if kernel.ndim != 4 or kernel.shape[1] != len(m):
        raise BindingError(f"layer '{node.name}' does not read an image of 3 channels", where=net.name)
    shift = np.zeros(len(kernel)) if same_mean else (kernel.sum(axis=(2, 3)) * ((m - n) / t)).sum(axis=1)
    scale = np.ones(3) if same_std else s / t
    blobs[node.name] = [(kernel * scale[:, None, None]).astype(np.float32), *blobs[node.name][1:]]
    note = f"normalisation of the source, {_text(n, t)}, made the network's, {_text(m, s)}, in '{node.name}'"
    if same_mean:
        return [note]
    if len(blobs[node.name]) > 1:
        blobs[node.name][1] = (blobs[node.name][1] + shift).astype(np.float32)
    elif follower is not None and follower.layer.type == "BatchNorm":
        mean, variance, factor = blobs[follower.name][:3]
        blobs[follower.name] = [(mean - shift * factor[0]).astype(np.float32), variance, factor]
    else:
        raise BindingError(f"layer '{node.name}' has neither bias nor BatchNorm to take another mean", where=net.name)
    if any(node.layer.proto.convolution_param.pad) or node.layer.proto.convolution_param.pad_h:
        largest = float(np.max(np.abs(m - n)))
        note += f"; its padding stays 0, which is up to {largest:.2g} grey levels off at the image's border"
    return [note]


def _first_convolution(net: Network) -> tuple[Node, Node | None]:
    """Return the only convolution that reads the input, and the layer that alone reads its top."""
    readers = [node for node in net.nodes if node.bottoms and node.bottoms[0].name in net.inputs]
    if len(readers) != 1 or not readers[0].layer.type.startswith("Convolution"):
        raise BindingError("its input is not read by one convolution, which could take another mean", where=net.name)
    after = [node for node in net.nodes if readers[0].tops[0] in node.bottoms]
    return readers[0], after[0] if len(after) == 1 else None


def _text(mean: np.ndarray, std: np.ndarray) -> str:
    return f"mean {' '.join(f'{v:.6g}' for v in mean)} std {' '.join(f'{v:.6g}' for v in std)}"
