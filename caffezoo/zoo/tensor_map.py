"""Which tensor of another framework's weights file is which blob of a network here.

A map stands beside the generator of its architecture and is built from the same description, so that the two cannot
drift apart. It says nothing about files: :mod:`caffezoo.weights.convert` reads those and holds the map against
them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Change = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class BlobSource:
    """Where one blob comes from.

    Attributes
    ----------
    tensor : str or None
        Name in the foreign file; None for a blob that Caffe alone has, which is one number, ``constant``.
    changes : tuple of callable
        Applied in order.
    constant : float
    """

    tensor: str | None
    changes: tuple[Change, ...] = ()
    constant: float = 0.0


@dataclass(frozen=True)
class TensorMap:
    """All blobs of one network.

    Attributes
    ----------
    layers : mapping of str to tuple of BlobSource
        By layer name, in Caffe's order of blobs.
    unused : tuple of str
        Shell patterns of tensors that the file has and no blob needs. Any other unused tensor is an error.
    """

    layers: Mapping[str, tuple[BlobSource, ...]]
    unused: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """A hash of what the map does: a file converted by another map is known as such."""
        digest = hashlib.sha256()
        for layer, sources in self.layers.items():
            for s in sources:
                names = [change.__name__ for change in s.changes]
                digest.update(f"{layer}\0{s.tensor}\0{names}\0{s.constant}\n".encode())
        return digest.hexdigest()


def rgb_to_bgr(kernel: np.ndarray) -> np.ndarray:
    """Reverse the input channels of a first convolution, shape (out, 3, height, width)."""
    return kernel[:, ::-1]


def zero_extended(kernel: np.ndarray) -> np.ndarray:
    """Put one row and one column of zeros before a kernel, shape (out, in, height, width).

    A convolution that pads ``p`` before and ``p + 1`` behind (TensorFlow's 'same' with stride 2 on an even size)
    equals the convolution with this kernel and ``p + 1`` on both sides: the extra row and column meet the zeros.
    """
    return np.pad(kernel, ((0, 0), (0, 0), (1, 0), (1, 0)))


def batch_norm_and_scale(weight: str, bias: str, mean: str, variance: str) -> tuple[tuple[BlobSource, ...], ...]:
    """Return the blobs of a BatchNorm (mean, variance, factor 1) and of the Scale behind it (weight, bias)."""
    statistics = (BlobSource(mean), BlobSource(variance), BlobSource(None, constant=1.0))
    return statistics, (BlobSource(weight), BlobSource(bias))


_TABLE: dict[tuple[str, str], Callable[[], TensorMap]] = {}


def tensor_map(network: str, framework: str, build: Callable[[], TensorMap]) -> None:
    """Register how weights of ``framework`` (a weights format of the index) become ``network``'s.

    Raises
    ------
    ValueError
        If it is registered already.
    """
    if (network, framework) in _TABLE:
        raise ValueError(f"the {framework} map of {network} is registered twice")
    _TABLE[network, framework] = build


def find_tensor_map(network: str, framework: str) -> TensorMap | None:
    """Return a registered map, or None."""
    from caffezoo.zoo.architectures.registry import architectures

    architectures()  # imports the modules, which register their maps
    build = _TABLE.get((network, framework))
    return build() if build is not None else None
