"""Export with proof: what was written is run from its files against the source before it takes its place."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from caffezoo.engines.freed_memory import give_back_memory
from caffezoo.engines.seeding import hashed_uniform, seeded_inputs
from caffezoo.errors import EngineError, UnknownNameError, UsageError, WeightsFileError, ZooError
from caffezoo.evaluation.export_formats import FORMATS, ExportFormat
from caffezoo.evaluation.export_options import Blobs, ExportOptions, run_network
from caffezoo.net.graph import Network

TOLERANCE = 1e-4
"""Of an output's largest value: rounding of another order of sums stays below it in networks of hundreds of layers."""
SAMPLES = 2


@dataclass(frozen=True)
class Exported:
    """What was written, and how it compares.

    Attributes
    ----------
    format : str
    files : tuple of Path
    what : str
        What is in them, in words.
    samples : int
        Inputs that both were run on.
    largest : float
        Largest difference of an output, relative to its largest value.
    """

    format: str
    files: tuple[Path, ...]
    what: str
    samples: int
    largest: float

    @property
    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)


def export_verified(
    network: Network, format_name: str, target: Path, options: ExportOptions, *, force: bool = False
) -> Exported:
    """Write a network in a format, run what was written, and put it in place if it gives the source's outputs.

    Parameters
    ----------
    network : Network
        With weights.
    format_name : str
        One of ``FORMATS``.
    target : Path
        The file; files that belong to it lie beside it under the same stem.
    options : ExportOptions
    force : bool, optional
        Replace files that are there.

    Raises
    ------
    UsageError
        The file's ending is not the format's, its folder is not there, or a file is there already.
    LoweringError
        The format cannot hold the network.
    EngineError
        What was written gives other outputs; nothing is put in place.
    WeightsFileError
        It cannot be written.
    """
    if format_name not in FORMATS:
        raise UnknownNameError("format", format_name, FORMATS)
    form = FORMATS[format_name]
    check_target(form, target, options, force=force)
    inputs = export_inputs(network, options)
    wanted = run_network(network, options.outputs, _source_inputs(inputs, options), transform=options.transform)
    try:
        with TemporaryDirectory(prefix=f".{target.stem}.", dir=target.parent) as folder:
            written = Path(folder) / target.name
            give_back_memory()
            what = form.write(network, written, options)
            give_back_memory()
            largest = _difference(form, network, written, options, inputs, wanted)
            if not largest <= TOLERANCE:
                raise EngineError(
                    f"what was written gives other outputs: {largest:.2g} of the largest value; it is not kept",
                    where=f"{target} ({format_name})",
                )
            files = [written, *(written.with_suffix(ending) for ending in form.companions)]
            placed = tuple(target.with_name(file.name) for file in files)
            for file, place in zip(reversed(files), reversed(placed), strict=True):
                shutil.move(file, place)
    except OSError as error:
        raise WeightsFileError(f"cannot be written: {error.strerror or error}", where=str(target)) from None
    return Exported(format_name, placed, what, len(next(iter(inputs.values()))), largest)


def check_target(form: ExportFormat, target: Path, options: ExportOptions, *, force: bool = False) -> None:
    """Refuse, before anything is fetched or computed, what could not be written."""
    if target.suffix.lower() not in form.suffixes:
        raise UsageError(f"is no {' or '.join(form.suffixes)} file", where=str(target))
    if not target.parent.is_dir():
        raise UsageError("no such folder", where=str(target.parent))
    if not form.takes_inside and (options.batch is not None or options.transform is not None):
        raise UsageError("--batch and --preprocessing are for formats that hold a graph", where=str(target))
    for place in (target, *(target.with_suffix(ending) for ending in form.companions)):
        if place.exists() and not force:
            raise UsageError("is there already", where=str(place), hint="--force replaces it")


def export_inputs(network: Network, options: ExportOptions) -> Blobs:
    """Return drawn inputs of the exported model: blobs within -2..2, or images of bytes."""
    batch = options.batch or network.batch or SAMPLES
    if options.transform is None:
        return dict(seeded_inputs(network, batch=batch))
    ((name, shape),) = network.inputs.items()
    drawn = hashed_uniform("export:images", (batch, *shape[2:], 3))
    return {name: np.clip((drawn + 1) * 128, 0, 255).astype(np.uint8)}


def _source_inputs(inputs: Blobs, options: ExportOptions) -> Blobs:
    """Return the inputs as the source takes them: in its own channel order."""
    if not options.reverse:
        return inputs
    return {name: np.ascontiguousarray(x[..., ::-1]) for name, x in inputs.items()}


def _difference(
    form: ExportFormat, network: Network, written: Path, options: ExportOptions, inputs: Blobs, wanted: Blobs
) -> float:
    try:
        found = form.run(network, written, options, inputs)
    except ZooError:
        raise
    except Exception as error:  # the runtimes' own, of many kinds
        reason = str(error).splitlines()[0][:200]
        raise EngineError(
            f"what was written does not run, and is not kept: {reason}", where=str(written.name)
        ) from None
    largest = 0.0
    for name in options.outputs:
        scale = float(np.abs(wanted[name]).max(initial=0)) or 1.0
        difference = np.abs(np.asarray(found[name], np.float64) - wanted[name]).max(initial=0)
        largest = float(np.maximum(largest, difference / scale))
    return largest
