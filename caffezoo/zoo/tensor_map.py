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

# Where a published Caffe network is known to compute otherwise than the models its weights are imported from.
DIFFERENCES = {
    "average-counts-padding": "the 3x3 averages count padding as zeros, as Caffe does; the source leaves it out",
    "pool2-unpadded": "the maximum of block 2 starts at the first pixel, as in the published Caffe network; the source "
    "pads one pixel before it",
}


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
class Conventions:
    """What weights take for granted beside the graph.

    Attributes
    ----------
    mean, std : (float, float, float) or None
        The input is (pixel - mean) / std, of pixels 0..255 in the order blue, green, red. None where not known.
    labels : str or None
        Order of the 1000 ImageNet classes: ``2012`` or ``2015``.
    """

    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    labels: str | None = None


AS_THEY_ARE = Conventions()


@dataclass(frozen=True)
class TensorMap:
    """All blobs of one network.

    Attributes
    ----------
    layers : mapping of str to tuple of BlobSource
        By layer name, in Caffe's order of blobs.
    unused : tuple of str
        Shell patterns of tensors that the file has and no blob needs. Any other unused tensor is an error.
    conventions : Conventions
        Of the files with these names; the conversion changes them to the network's where both are known.
    models : tuple of str
        Models of the framework that have these names, as ``package:function``.
    background : bool
        Some of the files have 1001 classes, the background first, which is then left out.
    differences : tuple of str
        Keys of :data:`DIFFERENCES`: where the network here computes otherwise than those models.
    explicit : bool
        The names do not tell this scheme from one that is not convertible: it must be asked for.
    """

    layers: Mapping[str, tuple[BlobSource, ...]]
    unused: tuple[str, ...] = ()
    conventions: Conventions = AS_THEY_ARE
    models: tuple[str, ...] = ()
    background: bool = False
    differences: tuple[str, ...] = ()
    explicit: bool = False

    @property
    def reads_rgb(self) -> bool:
        """Whether the source reads red, green, blue: its first convolution is reversed."""
        return any(rgb_to_bgr in source.changes for sources in self.layers.values() for source in sources)

    @property
    def fingerprint(self) -> str:
        """A hash of what the map does: a file converted by another map is known as such."""
        digest = hashlib.sha256()
        for layer, sources in self.layers.items():
            for s in sources:
                names = [change.__name__ for change in s.changes]
                digest.update(f"{layer}\0{s.tensor}\0{names}\0{s.constant}\n".encode())
        digest.update(f"{self.conventions}{self.background}".encode())
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


def rows(start: int, stop: int) -> Change:
    """Return the change that keeps rows ``start`` to ``stop`` (exclusive) of axis 0."""

    def kept(array: np.ndarray) -> np.ndarray:
        if array.ndim == 0 or array.shape[0] < stop:
            raise ValueError("too few rows")
        return array[start:stop]

    kept.__name__ = f"rows_{start}_to_{stop}"
    return kept


def epsilon_moved(source: float, target: float) -> Change:
    """Return the change of a variance that makes BatchNorm with epsilon ``target`` equal one with ``source``.

    Variance + epsilon is all that BatchNorm uses of either, so a small variance may become negative.
    """

    def moved(variance: np.ndarray) -> np.ndarray:
        return (variance.astype(np.float64) + (source - target)).astype(np.float32)

    moved.__name__ = f"epsilon_{source:g}_to_{target:g}"
    return moved


_TABLE: dict[tuple[str, str], dict[str, Callable[[], TensorMap]]] = {}
_REFUSALS: dict[tuple[str, str], str] = {}


def tensor_map(network: str, framework: str, build: Callable[[], TensorMap], scheme: str = "") -> None:
    """Register how weights of ``framework`` (a weights format of the index) become ``network``'s.

    Parameters
    ----------
    scheme : str
        Whose names the tensors have, where a framework has several: ``timm``, ``torchvision``, ``cadene``.

    Raises
    ------
    ValueError
        If it is registered already.
    """
    schemes = _TABLE.setdefault((network, framework), {})
    if scheme in schemes:
        raise ValueError(f"the {framework} map {scheme!r} of {network} is registered twice")
    schemes[scheme] = build


def no_tensor_map(network: str, framework: str, reason: str) -> None:
    """Register why weights of ``framework`` that seem to be ``network``'s cannot become exactly that."""
    _REFUSALS[network, framework] = reason


def find_tensor_map(network: str, framework: str, scheme: str = "") -> TensorMap | None:
    """Return a registered map, or None."""
    maps = tensor_maps(network, framework)
    return maps.get(scheme)


def tensor_maps(network: str, framework: str) -> dict[str, TensorMap]:
    """Return a network's maps by scheme, in the order they were registered."""
    _load()
    return {scheme: build() for scheme, build in _TABLE.get((network, framework), {}).items()}


def mapped_networks(framework: str) -> tuple[str, ...]:
    """Return the networks that weights of a framework can be converted for."""
    _load()
    return tuple(sorted(network for network, known in _TABLE if known == framework))


def refusal(network: str, framework: str) -> str | None:
    """Return why there is no map, where that was registered."""
    _load()
    return _REFUSALS.get((network, framework))


def _load() -> None:
    from caffezoo.zoo.architectures.registry import architectures

    architectures()  # imports the modules, which register their maps
