"""``debug_info``: the magnitudes of all blobs and gradients, in the words of Caffe's log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from caffezoo.net.torch_layer import LearnedBlob
from caffezoo.training.net import TrainingNet, mean_magnitude, norms

Log = Callable[[str], None]


def log_passes(net: TrainingNet, log: Log) -> None:
    """Log the last pass forward and backward; the net must have kept its blobs."""
    for layer, _, tops, _ in net.module.steps():
        for top in tops:
            value = mean_magnitude(net.values[top])
            log(f"    [Forward] Layer {layer.layer_name}, top blob {top.name} data: {value:.6g}")
        for i in range(len(layer.node.blob_shapes)):
            value = mean_magnitude(layer.blob(i))
            log(f"    [Forward] Layer {layer.layer_name}, param blob {i} data: {value:.6g}")
    for layer, bottoms, _, _ in reversed(list(net.module.steps())):
        name = f"    [Backward] Layer {layer.layer_name}"
        for bottom in bottoms:
            x = net.values[bottom]
            if x.requires_grad and x.grad is not None:
                log(f"{name}, bottom blob {bottom.name} diff: {mean_magnitude(x.grad):.6g}")
        for i in range(len(layer.node.blob_shapes)):
            blob = layer.blob(i)
            if blob.grad is not None:
                log(f"{name}, param blob {i} diff: {mean_magnitude(blob.grad):.6g}")
    (data1, data2), (diff1, diff2) = norms(net.blobs())
    log(
        f"    [Backward] All net params (data, diff): L1 norm = ({data1:.6g}, {diff1:.6g}); "
        f"L2 norm = ({data2:.6g}, {diff2:.6g})"
    )


def log_update(blobs: Sequence[LearnedBlob], log: Log) -> None:
    """Log the magnitudes of blobs and gradients before an update."""
    for blob in blobs:
        data, diff = mean_magnitude(blob.tensor), mean_magnitude(blob.tensor.grad)
        log(f"    [Update] Layer {blob.layer}, param {blob.index} data: {data:.6g}; diff: {diff:.6g}")
