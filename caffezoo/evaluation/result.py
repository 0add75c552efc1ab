"""What an evaluation found, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from caffezoo.evaluation.calibration import Calibration
from caffezoo.evaluation.metrics import ErrorRate
from caffezoo.evaluation.protocol import Protocol

TRANSIENT = ("seconds", "images_per_second", "threads", "streams", "workers", "batch_size", "interrupted")
"""Keys of the record that say how it ran: a run's summary leaves them out."""


@dataclass(frozen=True)
class Progress:
    """How far an evaluation is: ``done`` of ``total`` images, the first ``resumed`` of which an earlier run did."""

    done: int
    total: int
    resumed: int
    top1: ErrorRate | None
    top5: ErrorRate | None
    unreadable: int


@dataclass(frozen=True)
class SetRates:
    """Error rates by one label set; ``top5`` is None below five classes."""

    name: str
    top1: ErrorRate
    top5: ErrorRate | None

    def to_json(self) -> dict[str, Any]:
        """Return the rates in percent as plain JSON values."""
        return {
            "name": self.name,
            "images": self.top1.images,
            "top1_error": self.top1.percent,
            "top1_interval": list(self.top1.interval_percent),
            "top5_error": self.top5.percent if self.top5 else None,
            "top5_interval": list(self.top5.interval_percent) if self.top5 else None,
        }


@dataclass(frozen=True)
class EvaluationResult:
    """What an evaluation found, and everything that it depends on.

    Attributes
    ----------
    rates : tuple of SetRates
        By label set, the first one first.
    seconds : float
        From the first image to the last; loading is not in it.
    unreadable : tuple of (path, reason)
    interrupted : bool
        Stopped by the user: the rates are those of the images until then.
    total : int
        Images that were to be evaluated.
    output : str
        The blob of scores.
    label_order : str
        The order of the network's classes; see :class:`caffezoo.evaluation.classifier.Recipe`.
    drop_background : bool
        The first output was left out.
    workers : int or None
        Threads that decoded; None where members of a cluster did.
    class_subset : int or None
        How many classes took part, where not all did.
    calibration : Calibration or None
        By the first label set; None where scores are no probabilities.
    warnings : tuple of str
        What in these results looks like a mistake.
    notes : tuple of str
        What was ignored, decided or taken for granted in the network's files and in the data.
    confusion : tuple of (label, guess, images)
        How many images of a class were taken for which, by class; those that are right are among them.
    """

    rates: tuple[SetRates, ...]
    seconds: float
    unreadable: tuple[tuple[str, str], ...]
    interrupted: bool
    total: int
    network: str
    classes: int
    output: str
    label_order: str
    drop_background: bool
    prototxt_sha256: str
    weights_sha256: str
    protocol: Protocol
    engine: str
    device: str
    precision: str
    threads: int
    batch_size: int
    data: str
    label_list: str
    label_list_sha256: str
    images_sha256: str
    versions: dict[str, str]
    streams: int = 1
    workers: int | None = None
    class_subset: int | None = None
    calibration: Calibration | None = None
    confusion: tuple[tuple[int, int, int], ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def top1(self) -> ErrorRate:
        """Top-1 error of the readable images by the first label set."""
        return self.rates[0].top1

    @property
    def top5(self) -> ErrorRate | None:
        """Top-5 error likewise; None below five classes."""
        return self.rates[0].top5

    @property
    def images(self) -> int:
        """Images that were scored, by the first label set."""
        return self.top1.images

    @property
    def images_per_second(self) -> float:
        return (self.images + len(self.unreadable)) / max(self.seconds, 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain values; the same as :meth:`to_json`."""
        return self.to_json()

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON values; error rates and their 95 % intervals in percent."""
        first = self.rates[0].to_json()
        del first["name"]
        return {
            "network": self.network,
            **first,
            "label_sets": [rates.to_json() for rates in self.rates],
            "calibration_error": round(self.calibration.expected_error, 6) if self.calibration else None,
            "images_per_second": self.images_per_second,
            "seconds": self.seconds,
            "unreadable": [{"image": path, "reason": reason} for path, reason in self.unreadable],
            "interrupted": self.interrupted,
            "total": self.total,
            "classes": self.classes,
            "class_subset": self.class_subset,
            "output": self.output,
            "label_order": self.label_order,
            "drop_background": self.drop_background,
            "protocol": self.protocol.to_json(),
            "engine": self.engine,
            "device": self.device,
            "precision": self.precision,
            "threads": self.threads,
            "streams": self.streams,
            "workers": self.workers,
            "batch_size": self.batch_size,
            "data": self.data,
            "label_list": self.label_list,
            "sha256": {
                "prototxt": self.prototxt_sha256,
                "weights": self.weights_sha256,
                "label_list": self.label_list_sha256 or None,
                "images": self.images_sha256,
            },
            "versions": self.versions,
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "confusion": [list(taken) for taken in self.confusion],
        }

    def summary(self) -> dict[str, Any]:
        """Return what the images decide: the record without how long it took and what it ran on."""
        return {key: value for key, value in self.to_json().items() if key not in TRANSIENT}
