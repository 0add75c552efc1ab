"""Tensor maps of PyTorch models, written as the model is: convolution, norm, linear layer, one after the other.

PyTorch's names are a module's path and ``weight``, ``bias``, ``running_mean`` or ``running_var``. The first convolution
reads RGB there and BGR here. Networks that torchvision, timm or Cadene's pretrained-models.pytorch publish all number
classes in the order of 2012 and take pixels normalised by one of the pairs below.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffezoo.zoo.tensor_map import (
    BlobSource,
    Change,
    Conventions,
    TensorMap,
    batch_norm_and_scale,
    epsilon_moved,
    rgb_to_bgr,
)

# Times 255 and in the order BGR: torchvision's documentation of its models' transforms, timm/data/constants.py.
IMAGENET = Conventions((0.406 * 255, 0.456 * 255, 0.485 * 255), (0.225 * 255, 0.224 * 255, 0.229 * 255), "2012")
INCEPTION = Conventions((127.5,) * 3, (127.5,) * 3, "2012")
DPN = Conventions((104.0, 117.0, 124.0), (1 / 0.0167,) * 3, "2012")
TORCH_EPSILON = 1e-5


class TorchLayers:
    """Collects the blobs of one network.

    Parameters
    ----------
    bn_names : (str, str)
        How BatchNorm and Scale are named after the layer that they follow.
    epsilon : (float, float), optional
        BatchNorm's epsilon in the source and here, where they differ.
    bgr : bool
        The source reads BGR too.
    """

    def __init__(
        self,
        bn_names: tuple[str, str] = ("{}_bn", "{}_scale"),
        *,
        epsilon: tuple[float, float] | None = None,
        bgr: bool = False,
    ) -> None:
        self.layers: dict[str, tuple[BlobSource, ...]] = {}
        self.bn_names = bn_names
        self._variance = (epsilon_moved(*epsilon),) if epsilon else ()
        self._first: tuple[Change, ...] = () if bgr else (rgb_to_bgr,)

    def conv(self, layer: str, module: str, *, bias: bool = False, changes: tuple[Change, ...] = ()) -> None:
        """A convolution; the first one of a network reads the image."""
        first, self._first = self._first, ()
        sources = [BlobSource(f"{module}.weight", (*first, *changes))]
        if bias:
            sources.append(BlobSource(f"{module}.bias", changes))
        self.layers[layer] = tuple(sources)

    def norm(self, layer: str, module: str, *, names: tuple[str, str] | None = None) -> None:
        """The BatchNorm and the Scale that are named after ``layer``, or ``names`` of the two."""
        bn, scale = names or (pattern.format(layer) for pattern in self.bn_names)
        tensors = (f"{module}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
        (mean, variance, factor), self.layers[scale] = batch_norm_and_scale(*tensors)
        self.layers[bn] = (mean, BlobSource(variance.tensor, self._variance), factor)

    def conv_norm(self, layer: str, conv: str, norm: str, *, bias: bool = False) -> None:
        """A convolution and what is named after it."""
        self.conv(layer, conv, bias=bias)
        self.norm(layer, norm)

    def fc(self, layer: str, module: str, *, changes: tuple[Change, ...] = ()) -> None:
        """A linear layer, with bias."""
        self.layers[layer] = (BlobSource(f"{module}.weight", changes), BlobSource(f"{module}.bias"))

    def finish(self, conventions: Conventions, *models: str, unused: tuple[str, ...] = (), **options: Any) -> TensorMap:
        """Return the map; ``options`` are fields of :class:`TensorMap`."""
        patterns = ("*.num_batches_tracked", *unused)
        return TensorMap(self.layers, unused=patterns, conventions=conventions, models=models, **options)


def flattened(kernel: np.ndarray) -> np.ndarray:
    """Make a convolution, (out, in, height, width), the matrix of an InnerProduct."""
    return kernel.reshape(len(kernel), -1)


def as_1x1(matrix: np.ndarray) -> np.ndarray:
    """Make a matrix, (out, in), the kernel of a 1x1 convolution."""
    return matrix[:, :, None, None]
