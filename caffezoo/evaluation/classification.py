"""Classify images: what a network sees in each, most probable first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from caffezoo.errors import EngineError, ImageError, UsageError
from caffezoo.evaluation.classifier import Classifier
from caffezoo.evaluation.image_objects import ImageLike
from caffezoo.evaluation.pipeline import score_images


@dataclass(frozen=True)
class Guess:
    """One class with its probability, 0..1."""

    index: int
    label: str
    probability: float


@dataclass(frozen=True, eq=False)
class Classification:
    """What a network sees in an image.

    Attributes
    ----------
    image : str
        Path.
    top : tuple of Guess
        Most probable first; equal ones in the order of the classes.
    probabilities : float64 array (classes,)
    output : str
        The blob that holds them.
    kind : {"probabilities", "sigmoid", "unknown"}
        What they are: of a Softmax over the classes, of a Sigmoid each, or a blob's values as they stand.
    """

    image: str
    top: tuple[Guess, ...]
    probabilities: NDArray[np.float64]
    output: str = ""
    kind: str = "probabilities"

    def __repr__(self) -> str:
        named = ", ".join(f"{g.label} {g.probability:.3g}" for g in self.top)
        return f"Classification({self.image!r}: {named})"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {
            "image": self.image,
            "top": [{"index": g.index, "label": g.label, "probability": g.probability} for g in self.top],
            "probabilities": self.probabilities.tolist(),
            "output": self.output,
            "kind": self.kind,
        }


def classify(
    classifier: Classifier, images: Iterable[ImageLike], *, top: int = 5, workers: int = 2
) -> Iterator[Classification | ImageError]:
    """Classify images, in order.

    Parameters
    ----------
    classifier : Classifier
    images : iterable of path-like, bytes, array or PIL.Image.Image
    top : int, optional
        Classes to name; all where the network has fewer.
    workers : int, optional
        Threads that decode and crop.

    Yields
    ------
    Classification or ImageError
        The error where an image cannot be read; the others go on.

    Raises
    ------
    EngineError
        The engine failed, or its scores are not finite.
    """
    if top < 1:
        raise UsageError(f"the {top} most probable classes are none", hint="give --top 1 or more")
    engine = classifier.engine
    scored = score_images(
        engine,
        images,
        classifier.protocol,
        batch_size=engine.batch_size,
        output=classifier.output,
        first_class=classifier.first_class,
        workers=workers,
    )
    for image in scored:
        if image.error is not None:
            yield image.error
        elif image.scores is not None:
            if not np.isfinite(image.scores).all():
                raise EngineError("the network's scores are not finite", where=image.path)
            best = np.argsort(-image.scores, kind="stable")[:top]
            guesses = (
                Guess(int(i), classifier.recipe.class_name(int(i), classifier.classes), float(image.scores[i]))
                for i in best
            )
            yield Classification(image.path, tuple(guesses), image.scores, classifier.output, classifier.head.kind)
