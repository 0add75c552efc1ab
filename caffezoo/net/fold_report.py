"""What folding did to the numbers: ours against float64, and weights that another tool has folded against ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from caffezoo.errors import BindingError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.folding import Folding, fold
from caffezoo.net.graph import Network

Weights = Mapping[str, Sequence[np.ndarray]]

RELATIVE_TOLERANCE = 1e-4
"""Of a layer's largest value: float32 rounding lies far below it, every mistake that folding tools make far above."""


@dataclass(frozen=True)
class LayerDelta:
    """How far the blobs of one layer lie apart.

    Attributes
    ----------
    layer : str
    weight, bias : float
        Largest absolute difference of the first blob, and of the second (0 where there is none).
    weight_scale, bias_scale : float
        Largest absolute value that these are to be seen against.
    """

    layer: str
    weight: float
    bias: float
    weight_scale: float
    bias_scale: float

    @property
    def relative(self) -> float:
        """The larger of both, each relative to the largest value of its blob."""
        pairs = ((self.weight, self.weight_scale), (self.bias, self.bias_scale))
        return max(delta / scale if scale else (0.0 if delta == 0 else np.inf) for delta, scale in pairs)


@dataclass(frozen=True)
class MergedLayer:
    """A layer whose blobs another tool has written.

    Attributes
    ----------
    delta : LayerDelta
        Against our own folding.
    cause : str
        Empty where they agree; else the mistake that gives just these values, or that none of the known ones does.
    """

    delta: LayerDelta
    cause: str = ""


def rounding(network: Network, folding: Folding) -> list[LayerDelta]:
    """Return, for every layer that took another one in, how far its float32 blobs lie from those of float64.

    Parameters
    ----------
    network : Network
        With weights; what was folded.
    folding : Folding
        Of that network.
    """
    exact = fold(network.with_weights({k: [np.asarray(b, np.float64) for b in v] for k, v in network.weights.items()}))
    took = dict.fromkeys(into for _, into in (*folding.folded, *folding.collapsed))
    weights, reference = folding.network.weights, exact.network.weights
    return [_delta(name, weights[name], reference[name]) for name in took if name in weights]


def compare_merged(network: Network, merged: Weights) -> list[MergedLayer]:
    """Hold weights that another tool has folded against a folding of the original.

    Parameters
    ----------
    network : Network
        The original, with its batch norms and its weights.
    merged : mapping of str to sequence of ndarray
        The other tool's blobs by layer name.

    Returns
    -------
    list of MergedLayer
        Every layer of the folded network that has blobs, in order.

    Raises
    ------
    BindingError
        A layer that the folded network has is not among them, or its blobs are of other sizes.
    """
    ours = fold(network).network
    hypotheses: dict[str, Network] = {}
    layers = []
    for node in ours.nodes:
        if not node.blob_shapes:
            continue
        theirs = merged.get(node.name)
        if theirs is None:
            raise BindingError("is not among the folded weights", where=node.layer.label)
        theirs = _padded(theirs, ours.weights[node.name])
        sizes = [b.size for b in theirs], [b.size for b in ours.weights[node.name]]
        if sizes[0] != sizes[1]:
            raise BindingError(
                f"has {sizes[0]} values in the folded weights, wanted are {sizes[1]}", where=node.layer.label
            )
        delta = _delta(node.name, theirs, ours.weights[node.name])
        cause = ""
        if delta.relative > RELATIVE_TOLERANCE:
            cause = _cause(network, node.name, theirs, merged[node.name], hypotheses)
        layers.append(MergedLayer(delta, cause))
    return layers


def _padded(theirs: Sequence[np.ndarray], ours: Sequence[np.ndarray]) -> list[np.ndarray]:
    """A layer that was left without a bias computes with one of zeros."""
    missing = [np.zeros(b.shape, np.float32) for b in ours[len(theirs) :]]
    return [*(np.asarray(b) for b in theirs), *missing]


def _delta(name: str, found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> LayerDelta:
    pairs = [
        (
            float(np.abs(np.asarray(a, np.float64).reshape(-1) - np.asarray(b, np.float64).reshape(-1)).max(initial=0)),
            float(np.abs(b).max(initial=0)),
        )
        for a, b in zip(found, wanted, strict=True)
    ]
    pairs += [(0.0, 0.0)] * (2 - len(pairs))
    return LayerDelta(name, pairs[0][0], pairs[1][0], pairs[0][1], pairs[1][1])


def _cause(
    network: Network,
    layer: str,
    theirs: Sequence[np.ndarray],
    written: Sequence[np.ndarray],
    hypotheses: dict[str, Network],
) -> str:
    """Name the mistake whose result these blobs are."""
    for name, mistake in MISTAKES.items():
        if name not in hypotheses:
            hypotheses[name] = fold(mistake(network)).network
        wrong = hypotheses[name].weights.get(layer, ())
        same_sizes = [b.size for b in wrong] == [b.size for b in theirs]
        if same_sizes and _delta(layer, theirs, wrong).relative <= RELATIVE_TOLERANCE:
            return name
    if len(written) == 1 and len(theirs) == 2:
        return "the bias is missing"
    return "no known mistake gives these values"


def _with_epsilon(eps: float) -> Callable[[Network], Network]:
    def mistaken(network: Network) -> Network:
        net = pb.NetParameter()
        net.CopyFrom(network.prototxt.net)
        for layer in net.layer:
            if layer.type == "BatchNorm":
                layer.batch_norm_param.eps = eps
        return Network.from_proto(net, inputs=network.inputs, weights=network.weights, path=network.path)

    return mistaken


def _without_factor(network: Network) -> Network:
    return _changed_blobs(network, "BatchNorm", lambda blobs: [*blobs[:2], np.ones_like(blobs[2]), *blobs[3:]])


def _divided_by_batch_factor(network: Network) -> Network:
    """999.98 is the factor of a long training with Caffe's default fraction: some tools have it written in."""
    return _changed_blobs(network, "BatchNorm", lambda b: [*b[:2], np.full_like(b[2], 999.982), *b[3:]])


def _without_gamma(network: Network) -> Network:
    return _changed_blobs(network, "Scale", lambda blobs: [np.ones_like(blobs[0]), *blobs[1:]])


def _without_beta(network: Network) -> Network:
    return _changed_blobs(network, "Scale", lambda blobs: [blobs[0], *(np.zeros_like(b) for b in blobs[1:])])


def _without_mean(network: Network) -> Network:
    return _changed_blobs(network, "BatchNorm", lambda blobs: [np.zeros_like(blobs[0]), *blobs[1:]])


def _without_old_bias(network: Network) -> Network:
    weights = {
        node.name: [blobs[0], *(np.zeros_like(b) for b in blobs[1:])] if node.macs else blobs
        for node in network.nodes
        if (blobs := network.weights.get(node.name))
    }
    return network.with_weights(weights)


MISTAKES: Mapping[str, Callable[[Network], Network]] = {
    "epsilon is 1e-3": _with_epsilon(1e-3),
    "epsilon is 2e-5": _with_epsilon(2e-5),
    "epsilon is 1e-5": _with_epsilon(1e-5),
    "epsilon is 0": _with_epsilon(1e-30),
    "the factor blob is left out": _without_factor,
    "the factor is taken as 999.982": _divided_by_batch_factor,
    "the convolution's own bias is left out": _without_old_bias,
    "gamma is left out": _without_gamma,
    "beta is left out": _without_beta,
    "the mean is left out": _without_mean,
}
"""What folding tools are known to get wrong, and the network on which our folding gives the same result."""


def _changed_blobs(
    network: Network, kind: str, change: Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]
) -> Network:
    weights = {
        node.name: change(blobs) if node.layer.type == kind else blobs
        for node in network.nodes
        if (blobs := network.weights.get(node.name))
    }
    return network.with_weights(weights)
