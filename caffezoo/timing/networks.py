"""Which networks are timed, at which sizes and batches, with weights by formula."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from caffezoo.engines.seeding import seeded_weights
from caffezoo.errors import UsageError
from caffezoo.formats.image_size import Size
from caffezoo.net.batch import at_batch
from caffezoo.net.graph import Network
from caffezoo.net.load_options import AS_DEPLOYED, LoadOptions
from caffezoo.zoo.index import Index

PRESETS = ("small", "large")
WEIGHT_PERIOD = 65521
"""Weights repeat after so many values (a prime): making them must not take longer than timing them."""


@dataclass(frozen=True)
class Job:
    """One network at one size and batch.

    Attributes
    ----------
    network : str
    prototxt : Path
    crop_size : Size or None
        Of the input in px; the prototxt's own if None.
    batch_size : int
    options : LoadOptions
        How the prototxt is read.
    """

    network: str
    prototxt: Path
    crop_size: Size | None
    batch_size: int
    options: LoadOptions = AS_DEPLOYED

    @property
    def prototxt_sha256(self) -> str:
        return hashlib.sha256(self.prototxt.read_bytes()).hexdigest()

    def load(self, weights: bool = True) -> Network:
        """Return the network at the job's shapes.

        Raises
        ------
        UsageError
            It cannot run at this size: its fully connected layers are made for another.
        """
        own = self.options.load(self.prototxt)
        network = own.resized(*self.crop_size) if self.crop_size is not None else own
        for before, after in zip(own.nodes, network.nodes, strict=True):
            if before.blob_shapes != after.blob_shapes:
                raise UsageError(
                    f"it does not run at {self.crop_size} px: the weights of layer '{after.name}' are made for "
                    f"{list(before.bottom_shapes[0])}",
                    where=f"network '{self.network}'",
                )
        network = at_batch(network, self.batch_size)
        if not weights:
            return network
        return network.with_weights(seeded_weights(network, exponents={}, period=WEIGHT_PERIOD)[0])


def zoo_jobs(index: Index, names: Sequence[str], presets: Sequence[str], batches: Sequence[int]) -> list[Job]:
    """Return the jobs of networks of the index; sizes that a network has not are left out unless it is the only one.

    Raises
    ------
    UsageError
        No such network or preset, or the only network asked for has no such size.
    """
    for preset in presets:
        if preset not in PRESETS:
            raise UsageError(f"unknown preset '{preset}'", hint=f"there are {' and '.join(PRESETS)}")
    jobs = []
    for name in names:
        entry = index.network(name)
        for preset in presets:
            if len(names) > 1 and getattr(entry.preprocessing, preset) is None:
                continue
            size = entry.preset(cast(Literal["small", "large"], preset)).crop_size
            jobs += [Job(entry.name, entry.prototxt_path, size, batch) for batch in batches]
    return list(dict.fromkeys(jobs))


def mixed(jobs: Sequence[Job]) -> list[Job]:
    """Return jobs in an order that spreads families, sizes and batches over the whole run, the same one every time.

    A machine that drifts must not make one family slower than another.
    """
    return sorted(jobs, key=lambda j: hashlib.sha256(f"{j.network} {j.crop_size} {j.batch_size}".encode()).digest())


def input_size(network: Network) -> Size:
    """Return the size of a network's image input in px.

    Raises
    ------
    UsageError
        It has no image input.
    """
    for shape in network.inputs.values():
        if len(shape) == 4:
            return Size(shape[2], shape[3])
    raise UsageError("it has no image input to be timed with", where=network.path)
