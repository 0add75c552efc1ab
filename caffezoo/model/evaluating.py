"""``caffezoo.evaluate``: error rates of a model on labelled images."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import TYPE_CHECKING, Any

from caffezoo.errors import UsageError
from caffezoo.evaluation.dataset import open_dataset
from caffezoo.evaluation.evaluator import evaluate as run_evaluation
from caffezoo.evaluation.matching import match_labels
from caffezoo.evaluation.result import EvaluationResult
from caffezoo.model.loading import load
from caffezoo.model.model import Model

if TYPE_CHECKING:
    from caffezoo.data.opening import DataOptions
    from caffezoo.evaluation.result import Progress


def evaluate(
    net: str | PathLike[str] | Model,
    data: str | PathLike[str] | None = None,
    *,
    val_file: str | PathLike[str] | None = None,
    limit: int | None = None,
    label_order: str | None = None,
    labels_from: int = 0,
    data_options: DataOptions | None = None,
    strict: bool = False,
    on_image: Callable[[Progress], None] | None = None,
    **options: Any,
) -> EvaluationResult:
    """Measure a network's top-1 and top-5 error, by the protocol that it is published with.

    Parameters
    ----------
    net : str, path or Model
        A name of the zoo, a prototxt, or a model that was read from files.
    data : path or "sample", optional
        Images and labels as ``caffezoo evaluate --data`` takes them: a folder, a tar, a zip, an LMDB, Parquet or
        WebDataset shards, a pickle, a list of ``path label`` lines, or the 20 built-in ones. Default:
        ``CAFFEZOO_DATA``, else ``~/Database/ILSVRC2012``.
    val_file : path, optional
        ``path label`` lines.
    limit : int, optional
        Only the first so many images.
    label_order : {"2012", "2015", "listed"} or path, optional
        Order of the ImageNet classes in the list; default: what names prove, else the network's.
    labels_from : {0, 1}
        What the list counts its labels from.
    data_options : caffezoo.data.opening.DataOptions, optional
        Columns and classes of containers.
    strict : bool
        Raise for the first unreadable image instead of counting it.
    on_image : callable, optional
        Called after every image with the progress.
    **options
        Of :func:`caffezoo.load`: ``weights``, ``crops``, ``engine``, ``precision``, ``mean`` and so on.

    Returns
    -------
    EvaluationResult
        ``top1`` and ``top5`` with their intervals; ``to_dict()`` gives all as plain values. After a KeyboardInterrupt
        it holds the images until then, and ``interrupted`` says so.

    Raises
    ------
    UsageError, FetchError
        See :func:`caffezoo.load`.
    DataError
        No labels, labels that the network cannot have, or no image that can be read.

    Examples
    --------
    >>> import caffezoo
    >>> files = {"weights": "net.caffemodel", "mean": (104, 117, 123), "base_size": 64}
    >>> result = caffezoo.evaluate("deploy.prototxt", "labels.txt", **files)
    >>> result.to_dict()["images"]
    3
    """
    model = net if isinstance(net, Model) else load(net, **options)
    if isinstance(net, Model) and options:
        raise UsageError(f"a model has been made without {', '.join(options)}", hint="give them to caffezoo.load")
    try:
        dataset = open_dataset(
            data,
            val_file=val_file,
            limit=limit,
            list_order=label_order,
            labels_from=labels_from,
            options=data_options,
        )
        o = model.options
        classifier = model.classifier(min(o.batch_size, len(dataset.images) * o.crops))
        dataset = match_labels(dataset, classifier.recipe.label_order, classifier.classes)
        return run_evaluation(classifier, dataset, workers=o.workers, strict=strict, on_image=on_image)
    finally:
        if model is not net:
            model.close()
