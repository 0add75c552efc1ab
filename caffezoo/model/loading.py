"""``caffezoo.load``: from a name or files to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from caffezoo.errors import UsageError
from caffezoo.evaluation.classifier import Recipe
from caffezoo.model.engine_pool import RunOptions
from caffezoo.model.model import Model
from caffezoo.model.source import find_files
from caffezoo.net.graph import Network
from caffezoo.net.load_options import AS_DEPLOYED, LoadOptions
from caffezoo.zoo.synsets import read_names

Triple = tuple[float, float, float]


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
    mean: Triple | None = None,
    std: Triple | None = None,
    resize: str | None = None,
    base_size: int | None = None,
    crop_size: int | None = None,
    crops: int = 1,
    scores: str | None = None,
    labels: str | PathLike[str] | Sequence[str] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    phase: str = "TEST",
    level: int = 0,
    stages: Sequence[str] = (),
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
    mean, std : three floats, optional
        Blue, green, red, 0..255, of training. The zoo knows its own; a prototxt does not say.
    resize : {"short", "squash"}, optional
        Bring the short side, or both sides, to the base size.
    base_size, crop_size : int, optional
        In px, instead of the published ones.
    crops : {1, 12, 144}
        Views of an image whose probabilities are averaged.
    scores : str, optional
        The blob of a classifier's scores, where it is not the one that the network's shape tells.
    labels : path, sequence of str, "2012" or "2015", optional
        Names of the classes in the order of the outputs, or ImageNet's in one of its two orders.
    shapes : mapping of str to shape, optional
        Of inputs: instead of the prototxt's, and where a data layer has none.
    phase, level, stages
        Caffe's NetState: which layers of the prototxt there are.
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
    from caffezoo.evaluation.evaluator import default_workers

    options = LoadOptions.of(shapes, phase=phase, level=level, stages=tuple(stages))
    engine_options = {"threads": threads, "gpu": gpu, "caffe_python": caffe_python}
    run = RunOptions(
        engine=engine,
        precision=precision,
        outputs=None if outputs is None else tuple(outputs),
        batch_size=batch_size,
        scores=scores,
        base_size=base_size,
        crop_size=crop_size,
        crops=crops,
        workers=default_workers() if workers is None else workers,
        engine_options={key: value for key, value in engine_options.items() if value is not None},
    )
    sight: dict[str, Any] = {"mean": mean, "std": std, "resize": resize}
    sight = {key: value for key, value in sight.items() if value is not None}
    if isinstance(net, Network):
        if weights is not None or sight or labels is not None or options != AS_DEPLOYED:
            raise UsageError("a Network has its weights and shapes, and nobody says how it sees images")
        return Model(net, options=run)
    source, recipe = find_files(net, weights, options=options, index=index)
    if recipe is None and "mean" in sight:
        recipe = Recipe(source.name, source.prototxt, source.weights, mean=sight["mean"], std=(1.0, 1.0, 1.0))
    if recipe is not None:
        recipe = replace(recipe, options=options, **sight, **_labels(labels))
    elif sight or labels is not None:
        raise UsageError("a prototxt does not say what was subtracted in training", hint="give mean=(B, G, R)")
    network = options.load(source.prototxt, source.weights)
    return Model(network, recipe, run, source)


def _labels(labels: str | PathLike[str] | Sequence[str] | None) -> dict[str, Any]:
    """Return what a recipe knows of its classes: an order of ImageNet, or names."""
    if labels is None:
        return {}
    if labels in ("2012", "2015"):
        return {"label_order": str(labels), "class_names": None}
    names = read_names(Path(labels)) if isinstance(labels, str | PathLike) else tuple(map(str, labels))
    return {"label_order": "other", "class_names": names}
