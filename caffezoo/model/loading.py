"""``caffezoo.load``: from a name or files to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from caffezoo.errors import UsageError
from caffezoo.evaluation.asked import Asked
from caffezoo.formats.image_size import Size
from caffezoo.formats.preprocessing import Levels
from caffezoo.model.engine_pool import RunOptions
from caffezoo.model.model import Model
from caffezoo.model.source import find_files
from caffezoo.net.graph import Network
from caffezoo.net.load_options import AS_DEPLOYED, LoadOptions
from caffezoo.zoo.synsets import read_names


def load(
    net: str | PathLike[str] | Network,
    weights: str | PathLike[str] | None = None,
    *,
    engine: str = "openvino",
    precision: str = "float32",
    outputs: Sequence[str] | None = None,
    batch_size: int = 8,
    threads: int | None = None,
    gpu: int | None = None,
    caffe_python: str | None = None,
    mean: Levels | float | str | PathLike[str] | None = None,
    std: Levels | float | None = None,
    scale: float | None = None,
    raw_scale: float | None = None,
    channel_order: str | None = None,
    resize: str | None = None,
    base_size: int | str | None = None,
    crop_size: int | str | None = None,
    crops: int = 1,
    scores: str | None = None,
    labels: str | PathLike[str] | Sequence[str] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    phase: str = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
    lenient: bool = False,
    workers: int | None = None,
    index: str | PathLike[str] | None = None,
) -> Model:
    """Return a network that is ready to run.

    Parameters
    ----------
    net : str, path or Network
        A name of the zoo, a prototxt file, or a network with its weights.
    weights : path, optional
        caffemodel or HDF5 file. A network of the zoo fetches its own where none is given.
    engine : {"openvino", "onnxruntime", "torch", "caffe"}
    precision : {"float32", "float16", "bfloat16", ...}
        Of the arithmetic; see :mod:`caffezoo.engines.program`.
    outputs : sequence of str, optional
        Blobs that :meth:`Model.forward` and :meth:`Model.export` return; the network's outputs if not given.
    batch_size : int
        Images in a batch.
    threads, gpu, caffe_python
        See :func:`caffezoo.engines.registry.create_engine`.
    mean, std : float or three floats, optional
        Blue, green, red, 0..255, of training; ``mean`` may be a binaryproto or npy file. The zoo knows its own, a
        data layer may say; other prototxts do not.
    scale : float, optional
        What is multiplied by after the mean, instead of ``std``.
    raw_scale : float, optional
        What white is in ``mean``, ``std`` and ``scale``: 255, or 1.
    channel_order : {"BGR", "RGB", "grey"}, optional
        What the network takes.
    resize : {"short", "squash"}, optional
        Bring the short side, or both sides, to the base size.
    base_size, crop_size : int or "HxW", optional
        In px, instead of the published ones.
    crops : int
        1, 10, 12, 144 or a grid: views of an image whose probabilities are averaged.
    scores : str, optional
        The blob of a classifier's scores, where it is not the one that the network's shape tells.
    labels : path, sequence of str, "2012" or "2015", optional
        Names of the classes in the order of the outputs, or ImageNet's in one of its two orders.
    shapes : mapping of str to shape, optional
        Of inputs: instead of the prototxt's, and where a data layer has none.
    phase, level, stages
        Caffe's NetState: which layers of the prototxt there are.
    lenient : bool
        Pass over fields of the prototxt that Caffe does not have, with a note.
    workers : int, optional
        Threads that decode images.
    index : path, optional
        Your own index, merged over the built-in one.

    Raises
    ------
    UsageError
        An unknown name, a prototxt without weights, an option that cannot be.
    FetchError
        The zoo's weights cannot be had.
    FormatError, NetworkError
        The files.

    Examples
    --------
    >>> import caffezoo
    >>> model = caffezoo.load("deploy.prototxt", "net.caffemodel")
    >>> sorted(model.weights)
    ['conv', 'fc']
    >>> model.forward(data=[[[[0.5] * 32] * 32] * 3])["prob"].shape
    (1, 10)
    """
    from caffezoo.evaluation.concurrency import default_workers

    options = LoadOptions.of(shapes, phase=phase, level=level, stages=tuple(stages), lenient=lenient)
    engine_options = {"threads": threads, "gpu": gpu, "caffe_python": caffe_python}
    run = RunOptions(
        engine=engine,
        precision=precision,
        outputs=None if outputs is None else tuple(outputs),
        batch_size=batch_size,
        scores=scores,
        crops=crops,
        workers=default_workers() if workers is None else workers,
        engine_options={key: value for key, value in engine_options.items() if value is not None},
    )
    asked = Asked(
        mean=_levels(mean),
        std=None if std is None else _numbers(std),
        scale=scale,
        raw_scale=raw_scale,
        resize=resize,
        channel_order=channel_order,
        base_size=Size.of(base_size, "base size") if base_size is not None else None,
        crop_size=Size.of(crop_size, "crop size") if crop_size is not None else None,
    )
    if isinstance(net, Network):
        if weights is not None or labels is not None or asked != Asked() or options != AS_DEPLOYED:
            raise UsageError("a Network has its weights and shapes, and nobody says how it sees images")
        return Model(net, options=run)
    source, recipe = find_files(net, weights, asked=asked, options=options, index=index)
    if recipe is not None:
        recipe = replace(recipe, options=options, **_labels(labels))
    elif labels is not None:
        raise UsageError("a prototxt does not say what was subtracted in training", hint="give mean=(B, G, R)")
    return Model(source.read(run.outputs), recipe, run, source)


def _levels(mean: Levels | float | str | PathLike[str] | None) -> Levels | Path | None:
    if mean is None:
        return None
    return Path(mean) if isinstance(mean, str | PathLike) else _numbers(mean)


def _numbers(values: Levels | float) -> Levels:
    return tuple(map(float, values)) if isinstance(values, Sequence) else (float(values),)


def _labels(labels: str | PathLike[str] | Sequence[str] | None) -> dict[str, Any]:
    """Return what a recipe knows of its classes: an order of ImageNet, or names."""
    if labels is None:
        return {}
    if labels in ("2012", "2015"):
        return {"label_order": str(labels), "class_names": None}
    names = read_names(Path(labels)) if isinstance(labels, str | PathLike) else tuple(map(str, labels))
    return {"label_order": "other", "class_names": names}
