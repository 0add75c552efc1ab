"""Batch norm with the statistics of given inputs, as training on them would leave it.

What float16 loses depends on the sizes that training gave mean and variance, and these on the scale of the inputs:
seeded weights say nothing of it until their statistics are those of data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from caffezoo.engines.torch import runtime
from caffezoo.net.graph import Network


def with_data_statistics(network: Network, batch: Mapping[str, np.ndarray]) -> Network:
    """Return the network with the mean and biased variance of every BatchNorm's bottom on a batch, at factor 1.

    Layers are taken in order, so each sees what the ones before it give with their new statistics (extra ``torch``).

    Parameters
    ----------
    network : Network
        With weights, in phase TEST.
    batch : mapping of str to ndarray
        Input blobs, float32.

    Raises
    ------
    EngineUnavailableError
        PyTorch is not installed.
    """
    torch = runtime()
    from caffezoo.net.torch_module import to_torch

    module = to_torch(network)
    for layer in module.layers:
        if layer.layer_type == "BatchNorm":
            layer.register_forward_pre_hook(_set_statistics)
    with torch.inference_mode():
        module(*(torch.from_numpy(np.ascontiguousarray(batch[name])) for name in module.inputs))
    return network.with_weights(module.weights())


def _set_statistics(layer: Any, bottoms: Any) -> None:
    x = bottoms[0].double().transpose(0, 1).flatten(1)
    layer.blob0.copy_(x.mean(1))
    layer.blob1.copy_(x.var(1, unbiased=False))
    layer.blob2.fill_(1)
