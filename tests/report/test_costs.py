"""Costs: from the prototxt, kept in the cache, counted again when the prototxt changes."""

import json
from pathlib import Path

import pytest

from caffezoo.errors import ZooError
from caffezoo.report.costs import network_costs

NET = """
layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ dim: [1, 3, 8, 8] }} }} }}
layer {{ name: "a" type: "Convolution" bottom: "x" top: "a"
  convolution_param {{ num_output: {outputs} kernel_size: 3 }} }}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "costs.json"


def _net(folder: Path, outputs: int = 5) -> Path:
    file = folder / "net.prototxt"
    file.write_text(NET.format(outputs=outputs))
    return file


def test_costs_at_the_asked_size(tmp_path: Path) -> None:
    wanted = (_net(tmp_path), 10)
    assert network_costs([wanted])[wanted] == {
        "parameters": 5 * 27 + 5,
        "blob_elements": 5 * 27 + 5,
        "macs": 8 * 8 * 5 * 27,
        "activations": 8 * 8 * 5,
        "depth": 1,
    }


def test_the_second_time_nothing_is_counted(tmp_path: Path, cache: Path) -> None:
    wanted = (_net(tmp_path), 8)
    counted: list[tuple[int, int]] = []
    first = network_costs([wanted], lambda *at: counted.append(at))
    assert counted == [(0, 1), (1, 1)]
    assert network_costs([wanted], lambda *at: counted.append(at)) == first
    assert counted == [(0, 1), (1, 1)]
    assert list(json.loads(cache.read_text()).values()) == list(first.values())


def test_a_changed_prototxt_is_counted_again(tmp_path: Path) -> None:
    wanted = (_net(tmp_path), 8)
    before = network_costs([wanted])[wanted]
    _net(tmp_path, outputs=6)
    after = network_costs([wanted])[wanted]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert after["parameters"] == before["parameters"] + 28


@pytest.mark.parametrize("content", ["", "[]", "not json", '{"a": 1}', '{"a": {"parameters": "7"}}'])
def test_a_broken_cache_is_counted_anew(tmp_path: Path, cache: Path, content: str) -> None:
    wanted = (_net(tmp_path), 8)
    good = network_costs([wanted])
    cache.write_text(content)
    assert network_costs([wanted]) == good


def test_a_fault_is_given_back_beside_the_rest(tmp_path: Path) -> None:
    good = (_net(tmp_path), 8)
    absent = (tmp_path / "absent.prototxt", 8)
    found = network_costs([absent, good])
    assert isinstance(found[absent], ZooError)
    assert isinstance(found[good], dict)


def test_a_cache_that_cannot_be_written_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path / "file" / "below"))
    wanted = (_net(tmp_path), 8)
    assert isinstance(network_costs([wanted])[wanted], dict)
