"""The strict YAML reader."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import IndexFileError
from caffezoo.zoo.document import MAX_DEPTH, read_document
from caffezoo.zoo.resources import MAX_INDEX_BYTES


def read(text: str) -> Any:
    return read_document(text.encode(), "index.yaml").data


def test_scalars_are_what_they_look_like() -> None:
    text = "[1, -2, 0.5, 1e-3, .5, 12345678901234567890, 0x10, 2018-03-07, 1:30, yes, on, true, ~, null, '1', \"a: b\"]"
    assert read(text) == [
        1, -2, 0.5, 0.001, 0.5, "12345678901234567890", "0x10", "2018-03-07", "1:30", "yes", "on", True, None, None,
        "1", "a: b",
    ]  # fmt: skip


def test_every_key_and_item_has_its_line() -> None:
    document = read_document(b"a:\n  b: 1\n  c:\n    - x\n    - {d: 2,\n       e: 3}\n", "f")
    assert document.data == {"a": {"b": 1, "c": ["x", {"d": 2, "e": 3}]}}
    assert document.lines[("a", "b")] == 2
    assert document.lines[("a", "c", 1)] == 5
    assert document.lines[("a", "c", 1, "e")] == 6
    assert document.line_of(("a", "c", 1, "missing", "deeper")) == (5, 3)
    assert document.line_of(("nothing",)) == (1, 0)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\nb: !!python/object/apply:os.system [id]\n", 2, "tag"),
        ("a: !local 1\n", 1, "tag"),
        ("a: 1\nb: &x [1]\n", 2, "anchor '&x'"),
        ("a: *x\n", 1, "alias '*x'"),
        ("a: {b: 1}\nc:\n  <<: {d: 1}\n", 3, "merge key"),
        ("a: 1\nb: 2\na: 3\n", 3, "key 'a' is there twice"),
        ("? [1, 2]\n: 3\n", 1, "a key must be plain text"),
        ("a: 1\n---\nb: 2\n", 2, "more than one document"),
        ("a: [1, 2\nb: 3\n", 2, "is not YAML"),
        ("a:\n\t- 1\n", 2, "is not YAML"),
        ("a: 1\nb: '\x00'\n", None, "is not YAML"),
        ("", None, "is empty"),
        ("# only a comment\n", None, "is empty"),
    ],
)
def test_more_of_yaml_is_refused(text: str, line: int | None, message: str) -> None:
    with pytest.raises(IndexFileError) as caught:
        read(text)
    assert message in str(caught.value)
    assert (caught.value.where or "").startswith(f"index.yaml:{line}" if line else "index.yaml")


def test_a_bomb_of_anchors_costs_nothing() -> None:
    bomb = "a: &a [x, x]\n" + "".join(f"{c}: &{c} [*{p}, *{p}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
    with pytest.raises(IndexFileError, match=r"index\.yaml:1: anchor"):
        read(bomb)


def test_bounds() -> None:
    assert read("[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1))
    with pytest.raises(IndexFileError, match=f"nested deeper than {MAX_DEPTH}"):
        read("[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2))
    with pytest.raises(IndexFileError) as caught:  # said by whoever stops first: the parser below has a bound too
        read("[" * 5000 + "]" * 5000)
    assert caught.value.where in ("index.yaml:1", "index.yaml")
    with pytest.raises(IndexFileError, match="at most"):
        read("#" * (MAX_INDEX_BYTES + 1))
    with pytest.raises(IndexFileError, match=r"f:3: is not UTF-8"):
        read_document(b"a: 1\nb: 2\nc: \xff\n", "f")


plain = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=20)
trees = st.recursive(
    plain | texts, lambda t: st.lists(t, max_size=4) | st.dictionaries(texts, t, max_size=4), max_leaves=12
)


@given(trees)
def test_what_a_safe_dumper_writes_is_read_back(tree: Any) -> None:
    class NoAliases(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    text = yaml.dump(tree, Dumper=NoAliases, allow_unicode=True)
    assert read(text) == tree


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_one_line(content: bytes) -> None:
    message = ""
    try:
        read_document(content, "f")
    except IndexFileError as error:
        message = str(error)
    assert "\n" not in message
