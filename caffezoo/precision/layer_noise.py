"""Which layer loses it: the noise that float16 adds to every blob, in four ways of using it.

The ways tell causes apart. Where rounding every layer costs much and the same with batch norm in float32 costs little,
batch norm is the cause; where the folded network loses little too, folding is the cure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from caffezoo.engines.program import EVERYTHING, STORAGE, network_to_run
from caffezoo.engines.torch import round_every_layer, runtime
from caffezoo.errors import NetworkError
from caffezoo.net.folding import fold
from caffezoo.net.graph import Network

EVERY_LAYER = "every layer"
NORM_IN_FLOAT32 = "batch norm in float32"
FOLDED = "folded, every layer"
WEIGHTS_ONLY = "weights only"
FORMS = (EVERY_LAYER, NORM_IN_FLOAT32, FOLDED, WEIGHTS_ONLY)
"""``every layer`` is the precision float16-all, ``weights only`` float16-storage; in the others every parameter and
every layer's output is rounded as well, but those of BatchNorm and Scale, or of the folded network."""
NORM_TYPES = frozenset({"BatchNorm", "Scale"})


@dataclass(frozen=True)
class BlobNoise:
    """What a form does to one blob.

    Attributes
    ----------
    blob : str
    layers : tuple of str
        That write it, in order (in-place layers share a blob).
    decibel : float
        Signal to noise: 10 log10 of the blob's mean square over that of its difference. Infinite where nothing
        differs, minus infinity where the form gave a value that is not finite.
    """

    blob: str
    layers: tuple[str, ...]
    decibel: float


@dataclass(frozen=True)
class FormNoise:
    """What a form does to a network.

    Attributes
    ----------
    form : str
        One of ``FORMS``.
    samples : int
    top1_differs : int
        Samples whose largest output is another one, or not finite.
    largest : float
        Of the differences of the output; NaN where a value is not finite.
    blobs : tuple of BlobNoise
        In the network's order.
    """

    form: str
    samples: int
    top1_differs: int
    largest: float
    blobs: tuple[BlobNoise, ...]

    def worst(self) -> list[BlobNoise]:
        """Return the blobs, the noisiest first."""
        return sorted(self.blobs, key=lambda b: b.decibel)


def form_noise(
    network: Network, batches: Iterable[Mapping[str, np.ndarray]], forms: Sequence[str] = FORMS
) -> list[FormNoise]:
    """Run a network in float32 and in every form on the same inputs (extra ``torch``).

    Parameters
    ----------
    network : Network
        With weights.
    batches : iterable of mapping of str to ndarray
        Input blobs, float32.
    forms : sequence of str

    Raises
    ------
    NetworkError
        The network computes nothing.
    EngineUnavailableError
        PyTorch is not installed.
    """
    torch = runtime()
    from caffezoo.net.torch_module import to_torch

    writers: dict[str, list[str]] = {}
    for node in network.nodes:
        for top in () if node.layer.is_input else node.tops:
            writers.setdefault(top.name, []).append(node.name)
    if not writers:
        raise NetworkError("has no layer that computes anything", where=network.path)
    output = next((name for name in reversed(network.outputs) if name in writers), list(writers)[-1])
    reference = to_torch(network, outputs=list(writers))
    modules = {}
    for form in forms:
        program, but = _program(network, form)
        made = {top.name for node in program.nodes for top in node.tops}
        modules[form] = to_torch(program, outputs=[name for name in writers if name in made])
        if form != WEIGHTS_ONLY:
            round_every_layer(modules[form], but)
    sums = {form: _Sums(tuple(module.outputs), output) for form, module in modules.items()}
    samples = 0
    with torch.inference_mode():
        for batch in batches:
            feed = [torch.from_numpy(np.ascontiguousarray(batch[name])) for name in reference.inputs]
            wanted = reference(*feed)
            samples += len(feed[0])
            for form, module in modules.items():
                sums[form].add(
                    {name: wanted[name].double().numpy() for name in module.outputs},
                    {name: x.double().numpy() for name, x in module(*feed).items()},
                )
    return [sums[form].noise(form, samples, writers) for form in forms]


def _program(network: Network, form: str) -> tuple[Network, frozenset[str]]:
    """Return the network of a form, and the layer types in it that are not rounded."""
    if form == FOLDED:
        return fold(network).network, frozenset()
    if form == WEIGHTS_ONLY:
        return network_to_run(network, network.outputs, STORAGE), frozenset()
    return network_to_run(network, network.outputs, EVERYTHING), NORM_TYPES if form == NORM_IN_FLOAT32 else frozenset()


class _Sums:
    """Squares of the blobs and of their differences, summed over batches."""

    def __init__(self, blobs: tuple[str, ...], output: str) -> None:
        self.signal = dict.fromkeys(blobs, 0.0)
        self.noise_ = dict.fromkeys(blobs, 0.0)
        self.output = output
        self.differs = 0
        self.largest = 0.0

    def add(self, wanted: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> None:
        with np.errstate(invalid="ignore", over="ignore"):
            for name in self.signal:
                self.signal[name] += float(np.square(wanted[name]).sum())
                self.noise_[name] += float(np.square(wanted[name] - found[name]).sum())
            a, b = (x[self.output].reshape(len(x[self.output]), -1) for x in (wanted, found))
            rows, top = np.arange(len(a)), a.argmax(axis=1)
            kept = np.isfinite(b[rows, top]) & (b[rows, top] >= b.max(axis=1))
            self.differs += int((~kept).sum())
            self.largest = float(np.maximum(self.largest, np.abs(a - b).max(initial=0)))

    def noise(self, form: str, samples: int, writers: Mapping[str, Sequence[str]]) -> FormNoise:
        blobs = tuple(
            BlobNoise(name, tuple(writers[name]), decibel(self.signal[name], self.noise_[name])) for name in self.signal
        )
        return FormNoise(form, samples, self.differs, self.largest, blobs)


def decibel(signal: float, noise: float) -> float:
    """Return 10 log10 of two sums of squares."""
    if not math.isfinite(noise):
        return -math.inf
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf
