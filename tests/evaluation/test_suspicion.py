"""What in the answers looks like a mistake."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.evaluation.suspicion import suspicions
from caffezoo.zoo.synsets import label_permutation


def confusion(pairs):
    counts = {}
    for pair in pairs:
        counts[pair] = counts.get(pair, 0) + 1
    return [(int(label), int(guess), count) for (label, guess), count in sorted(counts.items())]


def answers(change, images=40, classes=1000, good=0.7, seed=0):
    """Pairs of a network that is right for ``good`` of the images, its answers changed by a mistake."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, classes - 2, images)
    right = rng.random(images) < good
    return confusion((k, change(k) if r else rng.integers(0, classes)) for k, r in zip(labels, right, strict=True))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda k: k - 1, "answers are one below the label.*--labels-from 1"),
        (lambda k: k + 1, "answers are one above the label.*--drop-background"),
        (lambda k: label_permutation("2012", "2015")[k], "--network-order 2015"),
        (lambda k: label_permutation("2015", "2012")[k], "--network-order 2012"),
        (lambda k: 999 - k, "no better than guessing among 1000 classes"),
        (lambda k: 7, "no better than guessing"),
    ],
    ids=["from 1", "background", "2015", "2012", "alien", "one answer"],
)
@pytest.mark.parametrize("images", [6, 40, 500])
def test_mistakes_that_show(change, said, images):
    (warning,) = suspicions(answers(change, images), 1000)
    assert re.search(said, warning)


@pytest.mark.parametrize("classes", [10, 1000])
@pytest.mark.parametrize("good", [0.5, 0.9])
def test_good_networks_are_not_suspected(classes, good):
    for images in (20, 200, 50_000):
        assert suspicions(answers(lambda k: k, images, classes, good), classes) == ()


def test_two_classes_are_suspected_only_at_chance():
    assert suspicions([(0, 0, 40), (0, 1, 10), (1, 1, 45), (1, 0, 5)], 2) == ()
    assert len(suspicions([(0, 0, 25), (0, 1, 25), (1, 1, 25), (1, 0, 25)], 2)) == 1
    assert len(suspicions([(0, 1, 50), (1, 0, 50)], 2)) == 1


@given(st.integers(0, 4), st.integers(2, 1000))
def test_a_handful_proves_nothing(images, classes):
    assert suspicions([(0, 1, images)] if images else [], classes) == ()
