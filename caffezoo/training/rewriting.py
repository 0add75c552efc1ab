"""A deploy file's layers changed for training: a blob a layer, another classifier, widths, fillers, frozen layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatch

from caffezoo.errors import TrainingError, UsageError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network
from caffezoo.net.scores import classifier_head

WEIGHTED = ("Convolution", "InnerProduct")
"""Types whose weights are widened, filled and quantised."""

Layers = list[pb.LayerParameter]


def copied(layers: Sequence[pb.LayerParameter]) -> Layers:
    """Return copies."""
    found = []
    for layer in layers:
        copy = pb.LayerParameter()
        copy.CopyFrom(layer)
        found.append(copy)
    return found


def one_blob_a_layer(layers: Sequence[pb.LayerParameter]) -> Layers:
    """Return layers of which none works in place: what did writes a blob of its own name."""
    current: dict[str, str] = {}
    taken = {top for layer in layers for top in layer.top}
    found = copied(layers)
    for layer in found:
        given = list(layer.bottom)
        layer.bottom[:] = [current.get(b, b) for b in given]
        for i, top in enumerate(layer.top):
            if top in given:
                name = layer.name if layer.name not in taken else f"{layer.name}/out"
                while name in taken:
                    name += "/out"
                taken.add(name)
                layer.top[i] = current[top] = name
            else:
                current[top] = top
    return found


def readers(layers: Sequence[pb.LayerParameter], blob: str) -> list[pb.LayerParameter]:
    """Return the layers that read a blob."""
    return [layer for layer in layers if blob in layer.bottom]


def redirect(layers: Sequence[pb.LayerParameter], old: str, new: str) -> None:
    """Let every layer that reads a blob read another."""
    for layer in layers:
        for i, bottom in enumerate(layer.bottom):
            if bottom == old:
                layer.bottom[i] = new


def weighted(layers: Sequence[pb.LayerParameter]) -> Iterator[tuple[pb.LayerParameter, pb.ConvolutionParameter]]:
    """Yield the layers of weights, each with its parameters (those of an inner product have the same field names)."""
    for layer in layers:
        if layer.type == "Convolution":
            yield layer, layer.convolution_param
        elif layer.type == "InnerProduct":
            yield layer, layer.inner_product_param  # type: ignore[misc]


def head_layer(network: Network) -> str:
    """Return the name of the layer whose outputs are the classes.

    Raises
    ------
    TrainingError
        The network has no classifier that could be replaced.
    """
    name = classifier_head(network).layer
    kind = network.node(name).layer.type if name is not None else ""
    if name is None or kind not in WEIGHTED:
        raise TrainingError(
            "no layer of weights makes the scores, so no classifier can be replaced", where=network.path
        )
    return name


def replace_head(layers: Layers, head: str, classes: int, mult: float) -> str:
    """Give the classifier a number of classes, another name and a larger learning rate; return the name.

    Raises
    ------
    TrainingError
        Its outputs are in groups.
    """
    for layer, param in weighted(layers):
        if layer.name == head:
            if layer.type == "Convolution" and param.group > 1:
                raise TrainingError(f"classifier '{head}' works in groups")
            param.num_output = classes
            layer.name = f"{head}-{classes}"
            has_bias = param.bias_term
            del layer.param[:]
            layer.param.add(lr_mult=mult, decay_mult=1)
            if has_bias:
                layer.param.add(lr_mult=2 * mult, decay_mult=0)
            return layer.name
    raise TrainingError(f"there is no layer '{head}'")


def freeze(layers: Layers, patterns: Sequence[str]) -> list[str]:
    """Give the layers of these names a learning rate of 0; return them.

    Raises
    ------
    UsageError
        A pattern holds for no layer.
    """
    found = []
    for pattern in patterns:
        names = [layer.name for layer in layers if fnmatch(layer.name, pattern)]
        if not names:
            raise UsageError(f"no layer is named '{pattern}'", hint="see `caffezoo show NET`")
        found += names
    for layer in layers:
        if layer.name in found:
            while len(layer.param) < 2:
                layer.param.add()
            for spec in layer.param:
                spec.lr_mult = spec.decay_mult = 0
    return list(dict.fromkeys(found))


def fill(layers: Layers) -> None:
    """Give weights without a filler He's (``msra``): the weights of layers that nothing provides."""
    for _, param in weighted(layers):
        if not param.HasField("weight_filler"):
            param.weight_filler.type = "msra"


def widen(layers: Layers, factor: float, head: str) -> None:
    """Multiply the outputs of all layers of weights but the classifier; groups keep their inputs.

    Depthwise convolutions follow their bottoms, whose width is not known here, and are refused.

    Raises
    ------
    TrainingError
        A layer's groups cannot be kept.
    """
    for layer, param in weighted(layers):
        if layer.name == head:
            continue
        group = param.group if layer.type == "Convolution" else 1
        if group > 1:
            raise TrainingError(f"layer '{layer.name}' works in groups: it cannot be widened", hint="leave --width out")
        param.num_output = max(round(param.num_output * factor), 1)


def without_softmax(layers: Layers) -> tuple[Layers, str]:
    """Return the layers up to the scores, and the blob of the scores.

    Raises
    ------
    TrainingError
        The network does not end in one blob.
    """
    kept = [layer for layer in layers if layer.type != "Softmax"]
    read = {b for layer in kept for b in layer.bottom}
    ends = [top for layer in kept for top in layer.top if top not in read]
    if len(ends) != 1:
        raise TrainingError(f"the network ends in {len(ends)} blobs ({', '.join(ends)}): one is needed for the loss")
    return kept, ends[0]
