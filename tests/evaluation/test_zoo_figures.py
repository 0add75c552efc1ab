"""The zoo's own figures do not change: error rates, to the class that an image was taken for, and open-nsfw's."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from caffezoo.evaluation.classification import Classification, classify
from caffezoo.evaluation.classifier import open_classifier
from caffezoo.evaluation.recipe import Recipe
from caffezoo.weights.cache import Cache
from caffezoo.weights.fetch import fetch_network
from caffezoo.weights.sample import sample_images
from caffezoo.zoo.index import load_index
from tests.weights.registry import shared_cache

pytestmark = pytest.mark.registry
RESULTS = Path(__file__).resolve().parents[2] / "results"

# Of "not safe for work", for the twenty sample images: as caffezoo classified them before preprocessing was one type.
OPEN_NSFW = [
    *(0.000204, 0.000262, 0.000308, 2.8e-05, 0.000895, 1e-06, 0.002678, 1.3e-05, 3e-06, 0.000632),
    *(0.000616, 0.018861, 0.002062, 4e-05, 0.00633, 7e-06, 0.003373, 0.002087, 0.005092, 3.3e-05),
]


def recorded(network: str) -> dict[str, str]:
    """The newest row of float32 at one crop of the sample."""
    with (RESULTS / "accuracy.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["network"] == network]
    rows = [r for r in rows if (r["data"], r["crops"], r["precision"]) == ("sample", "1", "float32")]
    return max(rows, key=lambda row: row["date"])


def taken_for(run: str) -> list[tuple[int, int, int]]:
    with (RESULTS / "confusion.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["run"] == run]
    return sorted((int(r["label"]), int(r["guess"]), int(r["images"])) for r in rows)


def outcomes(network: str, cache: Cache) -> list[Classification]:
    entry = load_index().network(network)
    classifier = open_classifier(Recipe.from_entry(entry, fetch_network(entry, cache=cache)), engine="onnxruntime")
    try:
        found = list(classify(classifier, [path for path, _ in sample_images(cache)], top=5))
    finally:
        classifier.close()
    return [outcome for outcome in found if isinstance(outcome, Classification)]


@pytest.mark.parametrize("network", ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"])
def test_error_rates_are_those_of_the_record(network, tmp_path_factory):
    cache = Cache(shared_cache(tmp_path_factory))
    row, found = recorded(network), outcomes(network, cache)
    labels = [label for _, label in sample_images(cache)]
    assert len(found) == int(row["images"])
    for top, column in ((1, "top1_error"), (5, "top5_error")):
        right = sum(
            label in [guess.index for guess in outcome.top[:top]] for outcome, label in zip(found, labels, strict=True)
        )
        assert 100 * (1 - right / len(found)) == pytest.approx(float(row[column]))
    pairs = sorted((label, outcome.top[0].index) for outcome, label in zip(found, labels, strict=True))
    if taken := taken_for(row["run"]):
        assert pairs == sorted((label, guess) for label, guess, images in taken for _ in range(images))


def test_open_nsfw_gives_the_same_probabilities(tmp_path_factory):
    found = outcomes("open-nsfw", Cache(shared_cache(tmp_path_factory)))
    np.testing.assert_allclose([o.probabilities[1] for o in found], OPEN_NSFW, atol=1e-5)
