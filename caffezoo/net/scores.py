"""A classifier's scores: which blob of a network holds them, and whether they are probabilities already.

Both are decided from the whole graph, once, for everything that asks: evaluation, parity, checks, seeded weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from caffezoo.errors import NetworkError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.cutting import cut
from caffezoo.net.graph import Network, Node
from caffezoo.net.layer import BlobId

ASKED = "asked for"
Kind = Literal["probabilities", "sigmoid", "logits", "unknown"]


@dataclass(frozen=True)
class Head:
    """The classifier of a network.

    Attributes
    ----------
    blob : str
        Holds the scores, (N, classes) with axes of 1 behind.
    classes : int
    kind : {"probabilities", "sigmoid", "logits", "unknown"}
        ``probabilities`` come from a Softmax over the classes, ``sigmoid`` values from a Sigmoid each; ``logits`` have
        neither behind the last layer with weights; ``unknown`` are values that a Softmax or Sigmoid has gone into but
        that are not simply its values any more, or a single value.
    reason : str
        Why this blob was taken.
    candidates : tuple of str
        All blobs that hold one score a class, this one among them.
    decided : bool
        False where several candidates are alike, and the last one was taken for want of a rule.
    logits : str
        What the Softmax or Sigmoid reads; ``blob`` where there is none.
    layer : str or None
        The last layer below with blobs of its own: the classifier whose rows are the classes.
    """

    blob: str
    classes: int
    kind: Kind
    reason: str
    candidates: tuple[str, ...]
    decided: bool
    logits: str
    layer: str | None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user has to know of the choice; empty where there was none."""
        notes = []
        others = [f"'{name}'" for name in self.candidates if name != self.blob]
        if not others and self.reason == ASKED:
            notes.append(f"scores are taken from '{self.blob}' ({self.reason})")
        elif others and self.decided:
            notes.append(f"scores are taken from '{self.blob}' ({self.reason}), not from {', '.join(others)}")
        elif others:
            notes.append(
                f"scores are taken from '{self.blob}' because it stands last; nothing tells it from"
                f" {', '.join(others)} (--output BLOB chooses)"
            )
        if self.kind == "unknown":
            why = "it is a single value" if self.classes == 1 else "what normalised it cannot be told"
            notes.append(f"values of '{self.blob}' are shown as they are: {why}")
        return tuple(notes)


def classifier_head(network: Network, output: str | None = None) -> Head:
    """Return the classifier of a network.

    Parameters
    ----------
    network : Network
    output : str, optional
        The blob of scores. If not given, of the outputs (and of what losses and accuracies read) that hold one value a
        class: the one named ``prob``; else those that a Softmax made; of these the one with most layers that have
        weights below it, since an auxiliary head leaves the trunk early; else the last.

    Raises
    ------
    NetworkError
        No blob holds one score a class, as in a segmentation net, or ``output`` does not.
    UnknownNameError
        No blob of this name.
    """
    producers = {top: node for node in network.nodes for top in node.tops}
    newest = {top.name: top for node in network.nodes for top in node.tops}
    candidates = tuple(name for name in _outputs(network) if _is_scores(network, name))
    decided = True
    if output is not None:
        network.shape(output)  # raises with the nearest names
        if not _is_scores(network, output):
            raise _no_scores(network, output)
        name, reason = output, ASKED
    elif not candidates:
        raise _no_scores(network, network.outputs[-1] if network.outputs else "")
    else:
        name, reason, decided = _choose(network, candidates, newest, producers)
    classes = network.shape(name)[1]
    kind, end = _kind(newest[name], classes, producers)
    if classes == 1 and kind == "logits":
        kind = "unknown"
    owner = next((node for node in _below(end, producers) if node.blob_shapes), None)
    logits = end.name if newest[end.name] == end else name  # an in-place Softmax leaves no blob of logits
    return Head(name, classes, kind, reason, candidates, decided, logits, owner.name if owner else None)


def with_scores(network: Network, output: str | None = None) -> tuple[Network, Head]:
    """Return a network whose scores are what is to be shown, and its head.

    Parameters
    ----------
    network : Network
    output : str, optional
        See :func:`classifier_head`.

    Returns
    -------
    network : Network
        The same network; or, where its scores are logits (several DenseNets, ShuffleNets), one with a Softmax after
        them, named ``<blob>_softmax``. What the scores do not depend on (labels, losses) is left out where the network
        has other inputs than images.
    head : Head
        Of that network.

    Raises
    ------
    NetworkError, UnknownNameError
        As :func:`classifier_head`.
    """
    head = classifier_head(network, output)
    if head.kind != "logits" and len(network.inputs) == 1:
        return network, head
    changed, blob = cut(network, [head.blob]) if len(network.inputs) > 1 else network, head.blob
    if head.kind == "logits":
        net, blob = pb.NetParameter(), f"{head.blob}_softmax"
        net.CopyFrom(changed.prototxt.net)
        net.layer.append(pb.LayerParameter(name=blob, type="Softmax", bottom=[head.blob], top=[blob]))
        changed = changed.rewritten(net, [*changed.prototxt.lines, 0], changed.weights, inputs=changed.inputs)
    kind: Kind = "probabilities" if head.kind == "logits" else head.kind
    candidates = tuple(blob if name == head.blob else name for name in head.candidates)
    return changed, Head(blob, head.classes, kind, head.reason, candidates, head.decided, head.logits, head.layer)


def _outputs(network: Network) -> list[str]:
    """Return the blobs that may hold a network's answer, in order: outputs, and what losses and accuracies read."""
    last = {top.name: top for node in network.nodes for top in node.tops}
    found: list[str] = []
    for node in network.nodes:
        if node.layer.is_input:
            continue
        names = [t.name for t in node.tops if t.name in network.outputs and last[t.name] == t]
        if node.layer.judges:
            names = [node.bottoms[0].name] if node.bottoms[0] == last[node.bottoms[0].name] else []
        found += [name for name in names if name not in found]
    return found


def _is_scores(network: Network, name: str) -> bool:
    shape = network.shape(name)
    return len(shape) >= 2 and all(d == 1 for d in shape[2:])


def _no_scores(network: Network, name: str) -> NetworkError:
    shape = network.shape(name) if name else ()
    return NetworkError(
        f"output '{name}' of shape {list(shape)} is not one score a class" if name else "it has no output",
        where=network.path,
        hint=f"outputs are {', '.join(network.outputs)}; check the input size" if len(shape) > 2 else None,
    )


def _choose(
    network: Network, candidates: tuple[str, ...], newest: dict[str, BlobId], producers: dict[BlobId, Node]
) -> tuple[str, str, bool]:
    """Return the candidate to take, why, and whether a rule told it from the others."""
    if len(candidates) == 1:
        return candidates[0], "the only output with one score a class", True
    if "prob" in candidates:
        return "prob", "named so", True
    made = [n for n in candidates if _kind(newest[n], network.shape(n)[1], producers)[0] == "probabilities"]
    if len(made) == 1:
        return made[0], "the only output of a Softmax", True
    left = made or list(candidates)
    depths = _depths(network)
    deepest = max(depths[newest[name]] for name in left)
    left = [name for name in left if depths[newest[name]] == deepest]
    return left[-1], "most layers with weights lie below it", len(left) == 1


def _depths(network: Network) -> dict[BlobId, int]:
    """Return the largest number of layers that multiply by weights on a way from the input to each blob."""
    depths: dict[BlobId, int] = {}
    for node in network.nodes:
        depth = max((depths[b] for b in node.bottoms), default=0) + (node.macs > 0)
        depths.update(dict.fromkeys(node.tops, depth))
    return depths


def _kind(blob: BlobId, classes: int, producers: dict[BlobId, Node]) -> tuple[Kind, BlobId]:
    """Return what values a blob holds, and the blob that its Softmax or Sigmoid reads (itself, if there is none)."""
    node = producers[blob]
    if node.layer.squashes is not None:
        bottom = node.bottoms[0]
        if node.layer.squashes == "sigmoid":
            return "sigmoid", bottom
        return ("probabilities" if node.layer.squashed(node.bottom_shapes) == classes else "unknown"), bottom
    if node.bottoms and node.layer.carries(node.bottom_shapes):
        kinds = [_kind(bottom, classes, producers) for bottom in node.bottoms]
        kind, end = kinds[0]
        if all(other == kind for other, _ in kinds):
            return kind, blob if kind == "logits" else end
        return "unknown", blob
    return ("unknown" if _squashed_since_product(node, producers) else "logits"), blob


def _squashed_since_product(node: Node, producers: dict[BlobId, Node]) -> bool:
    """Whether a Softmax or Sigmoid lies between a layer and the nearest layers below it that multiply by weights."""
    left, seen = [node], set()
    while left:
        node = left.pop()
        if node.layer.squashes is not None:
            return True
        if node.macs or node.name in seen:
            continue
        seen.add(node.name)
        left += [producers[bottom] for bottom in node.bottoms]
    return False


def _below(blob: BlobId, producers: dict[BlobId, Node]) -> list[Node]:
    """Return the nodes from a blob's producer down along first bottoms, until the input."""
    nodes = [producers[blob]]
    while nodes[-1].bottoms:
        nodes.append(producers[nodes[-1].bottoms[0]])
    return nodes
