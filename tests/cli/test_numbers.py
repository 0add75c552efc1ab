"""Several numbers behind one option."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.cli.numbers import joined


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (
            "classify a.png --mean 104 117 123 --std 1 2 3",
            ["classify", "a.png", "--mean", "104 117 123", "--std", "1 2 3"],
        ),
        ("--mean 33.3 a.png", ["--mean", "33.3", "a.png"]),
        ("--mean mean.npy 7", ["--mean", "mean.npy", "7"]),
        ("--mean -1 -2 -3 x", ["--mean", "-1 -2 -3", "x"]),
        ("--mean=1 2 3 x", ["--mean", "1 2 3", "x"]),
        ("--mean=1 x", ["--mean=1", "x"]),
        ("--mean=mean.npy 1 2", ["--mean=mean.npy", "1", "2"]),
        ("--mean 1 2 3 4", ["--mean", "1 2 3", "4"]),
        ("--top 1 2 -- --mean 1 2 3", ["--top", "1", "2", "--", "--mean", "1", "2", "3"]),
        ("--mean", ["--mean"]),
    ],
)
def test_numbers_behind_mean_and_std_are_one_value(given, wanted):
    assert joined(given.split()) == wanted


@given(st.lists(st.sampled_from(["--mean", "--std", "--mean=1", "1", "2.5", "-3", "nan", "a.png", "--", "--top"])))
def test_nothing_is_lost(arguments):
    again = [word for argument in joined(arguments) for word in argument.split()]
    assert [part for word in again for part in word.split("=")] == [p for word in arguments for p in word.split("=")]
