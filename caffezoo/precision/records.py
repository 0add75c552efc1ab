"""A study's results as rows of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from caffezoo.evaluation.statistics import PairedDifference
from caffezoo.precision.study import PrecisionResult
from caffezoo.report.records import levels_text, publishable
from caffezoo.report.rows import PrecisionRow


def precision_rows(
    study: Sequence[PrecisionResult],
    provenance: Mapping[str, str],
    *,
    network: str,
    data: str,
    seeded: bool,
    calibration: str | None,
) -> list[PrecisionRow]:
    """Return a row for each precision of a network.

    Parameters
    ----------
    study : sequence of PrecisionResult
        Of one network; the first is what the others are compared with.
    provenance : mapping of str to str
        See :func:`caffezoo.report.provenance.provenance`.
    network : str
        As the index has it.
    data : str
        What the images are called.
    seeded : bool
        Whether the weights are by formula: labels then say nothing.
    calibration : str or None
        What the images that int8 was calibrated on are called, where they were named.

    Raises
    ------
    ResultsError
        A value that the store does not take.
    """
    rows = []
    for number, result in enumerate(study):
        values: dict[str, Any] = {
            **provenance,
            **{name: result.facts[name] for name in ("prototxt_sha256", "weights_sha256", "images_sha256")},
            **{name: result.facts[name] for name in ("engine", "device", "precision")},
            "network": network,
            "session": provenance["date"],
            "against": study[0].precision,
            "weights": "seeded" if seeded else "trained",
            "agreement": 100 * result.agreement,
            "largest_score_difference": result.largest,
            "images": result.images,
            "protocol": result.protocol.name,
            "mean": levels_text(result.protocol.mean),
            "std": levels_text(result.protocol.std),
            "channel_order": result.protocol.channel_order,
            "weight_bytes": result.weight_bytes,
            "images_per_second": result.images_per_second,
            "data": publishable(data),
            "versions": " ".join(f"{name}={version}" for name, version in result.facts["versions"].items()),
        }
        if not seeded:
            values |= _errors(result)
            if number:
                values |= _difference("top1", result.top1_difference) | _p("top5", result.top5_difference)
        if result.quantised is not None:
            values["calibration"] = publishable(calibration) if calibration is not None else None
            values["calibration_images"] = len(result.quantised.calibration.images)
            values["kept"] = ", ".join(result.quantised.kept) or None
        rows.append(PrecisionRow.make({k: v for k, v in values.items() if v is not None}, result.network))
    return rows


def _errors(result: PrecisionResult) -> dict[str, float | None]:
    low, high = result.top1.interval_percent
    five = result.top5.percent if result.top5 else None
    return {"top1_error": result.top1.percent, "top1_low": low, "top1_high": high, "top5_error": five}


def _difference(name: str, found: PairedDifference) -> dict[str, float]:
    low, high = found.interval_points
    return {
        f"{name}_difference": found.difference_points,
        f"{name}_difference_low": low,
        f"{name}_difference_high": high,
        f"{name}_p": found.p,
    }


def _p(name: str, found: PairedDifference | None) -> dict[str, float]:
    return {} if found is None else {f"{name}_difference": found.difference_points, f"{name}_p": found.p}
