"""Parity: the same image through a source model and through the network that was imported from it.

Both sides see the same pixels, each normalised as its own conventions say, and their logits are compared class by
class. The measure is the largest difference, relative to the largest logit of the source.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from caffezoo.engines.registry import DEFAULT_ENGINE, create_engine
from caffezoo.engines.seeding import seeded_inputs
from caffezoo.errors import NetworkError
from caffezoo.net.graph import Network
from caffezoo.net.scores import classifier_head
from caffezoo.weights.conventions import adapt, class_order
from caffezoo.weights.convert import ConversionReport, convert_state_dict
from caffezoo.weights.safetensors_file import read_torch_tensors
from caffezoo.weights.schemes import choose_scheme, maps_of
from caffezoo.weights.torch_process import SourceModel, SourceRun, run_source_model
from caffezoo.zoo.tensor_map import AS_THEY_ARE, Conventions, TensorMap


@dataclass(frozen=True)
class Parity:
    """How far the logits of a source model and of the imported network lie apart.

    Attributes
    ----------
    model : str
        Of the source, ``package:function``.
    aligned : tuple of str
        Differences (keys of ``DIFFERENCES``) that were undone in the source.
    relative : float
        Largest difference over the source's largest absolute logit.
    same_top5 : bool
        The five highest classes are the same, in the same order.
    """

    model: str
    aligned: tuple[str, ...]
    relative: float
    same_top5: bool


@dataclass(frozen=True)
class ParityRun:
    """A comparison with its circumstances; ``results`` without and, where needed, with the differences undone."""

    report: ConversionReport
    source: SourceModel
    size_px: int
    results: tuple[Parity, ...]


def source_input(blob: np.ndarray, mapping: TensorMap, wanted: Conventions) -> np.ndarray:
    """Turn a network's input blob into what the source model reads of the same image, NCHW float32."""
    source = mapping.conventions
    out = blob.astype(np.float64)
    if source.mean and source.std and wanted.mean and wanted.std:
        m, s, n, t = (
            np.array(v, np.float64)[None, :, None, None] for v in (wanted.mean, wanted.std, source.mean, source.std)
        )
        out = (out * s + m - n) / t
    return np.ascontiguousarray(out[:, ::-1] if mapping.reads_rgb else out, np.float32)


def seeded_images(network: Network, wanted: Conventions, seed: int = 0) -> dict[str, np.ndarray]:
    """Return two inputs of noise within 0..255, normalised as ``wanted`` says (within -2..2 if it says nothing)."""
    if not (wanted.mean and wanted.std):
        return seeded_inputs(network, seed, batch=2)
    pixels = seeded_inputs(network, seed, batch=2, low=0.0, high=255.0)
    mean, std = (np.array(v, np.float32)[None, :, None, None] for v in (wanted.mean, wanted.std))
    return {name: (x - mean) / std for name, x in pixels.items()}


def check_parity(
    network: str,
    prototxt: Path,
    *,
    model: str | None = None,
    file: Path | None = None,
    scheme: str | None = None,
    wanted: Conventions = AS_THEY_ARE,
    size_px: int | None = None,
    python: str | None = None,
    engine: str = DEFAULT_ENGINE,
    background: bool = False,
) -> ParityRun:
    """Compare a network with the source model of a file, or with a source model of random weights.

    Parameters
    ----------
    network : str
        Name in the zoo.
    prototxt : path
    model : str, optional
        ``package:function``; the first that the file's naming scheme knows, where a file is given.
    file : path, optional
        State dict; not given, ``model`` gets random weights.
    scheme : str, optional
        Naming scheme, where the names do not tell.
    wanted : Conventions
        Of the imported weights.
    size_px : int, optional
        Side of the image; the prototxt's if not given.
    python : str, optional
        Python that has the source's packages.
    background : bool
        The source has 1001 classes, the background first.

    Raises
    ------
    EngineUnavailableError
        No Python with these packages.
    SourceError, BindingError, WeightsFileError
    NetworkError
        No model of the source is known for the file.
    """
    net = Network.load(prototxt).reshaped(batch=1)
    if size_px is not None:
        net = net.resized(size_px)
    logits = classifier_head(net).logits
    maps = maps_of(network, "torch", ("torch",))
    ((_, images),) = seeded_images(net, wanted).items()
    blob = images[:1]
    classes = net.shape(logits)[1]
    with tempfile.TemporaryDirectory(prefix="caffezoo-parity-") as folder:
        here = Path(folder)
        state = read_torch_tensors(file) if file else None
        if state is not None:
            scheme = choose_scheme(network, maps, state, scheme, where=str(file))
        mapping = maps[scheme] if scheme is not None else next(m for m in maps.values() if model in m.models)
        if model is None:
            if not mapping.models:
                raise NetworkError(f"no model of torch is known to have the names of scheme '{scheme}'", where=network)
            model = mapping.models[0]
        if state is not None and mapping.background:
            background = background or any(len(t) == classes + 1 for t in state.values() if t.ndim)
        plain, aligned = here / "plain.npy", here / "aligned.npy"
        np.save(here / "images.npy", source_input(images, mapping, wanted))
        np.save(here / "input.npy", source_input(blob, mapping, wanted))
        runs = [SourceRun(here / "input.npy", plain)]
        if mapping.differences:
            runs.append(SourceRun(here / "input.npy", aligned, mapping.differences))
        saved = here / "random.pth"
        source = run_source_model(
            model,
            runs,
            classes=classes + background,
            python=python,
            load=file,
            save=None if file else saved,
            calibrate=here / "images.npy",
        )
        state = state if state is not None else read_torch_tensors(saved)
        blobs, report = convert_state_dict(state, mapping, net, where=str(file or model), background=background)
        adapt(blobs, net, mapping.conventions, wanted)
        with create_engine(engine, net.with_weights(blobs), outputs=[logits]) as running:
            ours = running.run(blob)[logits].reshape(1, -1)
        theirs = [np.load(run.output)[:, int(background) :] for run in runs]
    if wanted.labels and mapping.conventions.labels and wanted.labels != mapping.conventions.labels:
        order = class_order(mapping.conventions.labels, wanted.labels)
        theirs = [scores[:, order] for scores in theirs]
    results = tuple(_compare(model, run.align, ours, found) for run, found in zip(runs, theirs, strict=True))
    return ParityRun(report, source, blob.shape[2], results)


def _compare(model: str, align: Sequence[str], ours: np.ndarray, theirs: np.ndarray) -> Parity:
    largest = float(np.max(np.abs(theirs)))
    relative = float(np.max(np.abs(ours - theirs))) / largest if largest else float("inf")
    best = [np.argsort(-scores[0], kind="stable")[:5].tolist() for scores in (ours, theirs)]
    return Parity(model, tuple(align), relative, best[0] == best[1])
