"""A classifier's scores: which output of a network holds them, as probabilities."""

from __future__ import annotations

from caffezoo.errors import NetworkError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network


def with_scores(network: Network, output: str | None = None) -> tuple[Network, str]:
    """Return a network whose scores are probabilities, and the blob that holds them.

    Parameters
    ----------
    network : Network
    output : str, optional
        The blob of scores; ``prob`` if that is an output, else the last output (auxiliary heads stand before it).

    Returns
    -------
    network : Network
        The same network, or, where the scores are logits (several DenseNets, ShuffleNets), one with a Softmax after
        them, named ``<output>_softmax``.
    output : str
        Blob of shape (N, classes, ...).

    Raises
    ------
    NetworkError
        If the scores are more than one value a class, as a segmentation net's are.
    """
    name = output or ("prob" if "prob" in network.outputs else network.outputs[-1])
    shape = network.shape(name)
    if len(shape) < 2 or any(d != 1 for d in shape[2:]):
        raise NetworkError(
            f"output '{name}' of shape {list(shape)} is not one score a class",
            where=network.path,
            hint=f"outputs are {', '.join(network.outputs)}; check the input size" if len(shape) > 2 else None,
        )
    producer = next(n for n in reversed(network.nodes) if any(t.name == name for t in n.tops))
    if producer.layer.type == "Softmax":
        return network, name
    net = pb.NetParameter()
    net.CopyFrom(network.prototxt.net)
    net.layer.append(pb.LayerParameter(name=f"{name}_softmax", type="Softmax", bottom=[name], top=[f"{name}_softmax"]))
    lines = (*network.prototxt.lines, 0)
    longer = network.rewritten(net, lines, network.weights, inputs=network.inputs)
    return longer, f"{name}_softmax"
