"""Two prototxts are the same where Caffe reads the same; every field that differs is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.formats.prototxt import Prototxt, parse_prototxt, write_prototxt
from caffezoo.formats.prototxt_diff import FieldDifference, PrototxtDifference, compare_prototxts

BASE = """
name: "net"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 }
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 } }
"""


def diff(first: str, second: str) -> PrototxtDifference:
    return compare_prototxts(parse_prototxt(first), parse_prototxt(second))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kernel_size: 3", "kernel_size: 3 group: 1 bias_term: true engine: DEFAULT"),
        ("pooling_param {", "pooling_param { pool: MAX stride: 1"),
        ("lr_mult: 1", "lr_mult: 1.0"),
        ("# nothing", ""),
    ],
)
def test_what_caffe_reads_alike_is_the_same(old: str, new: str) -> None:
    assert diff(BASE, BASE.replace(old, new)).same


def test_old_and_new_forms_are_the_same() -> None:
    old = """
        input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
        layers { name: "relu" type: RELU bottom: "data" top: "relu" }"""
    new = """
        layer { name: "input" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
        layer { name: "relu" type: "ReLU" bottom: "data" top: "relu" }"""
    assert diff(old, new).same


@pytest.mark.parametrize(
    ("old", "new", "field", "values"),
    [
        ("num_output: 4", "num_output: 5", "convolution_param.num_output", ("4", "5")),
        ("kernel_size: 3", "kernel_size: 3 stride: 2", "convolution_param.stride", ("", "2")),
        ('type: "xavier"', 'type: "msra"', "convolution_param.weight_filler.type", ("xavier", "msra")),
        ("lr_mult: 1 ", "lr_mult: 0.1 ", "param[0].lr_mult", ("", "0.1")),
        ("dim: 8 dim: 8", "dim: 8 dim: 9", "input_param.shape", ("1x3x8x8", "1x3x8x9")),
        ('bottom: "conv"', 'bottom: "data"', "bottom", ("conv", "data")),
        ("{ kernel_size: 2 }", "{ kernel_size: 2 pool: AVE }", "pooling_param.pool", ("", "AVE")),
    ],
)
def test_a_field_that_differs_is_named(old: str, new: str, field: str, values: tuple[str, str]) -> None:
    assert old in BASE
    found = diff(BASE, BASE.replace(old, new))
    (only,) = found.fields
    assert (only.field, (only.first, only.second)) == (field, values)
    assert not found.same


def test_layers_that_one_lacks_and_another_order() -> None:
    lines = BASE.strip().replace("\n        ", " ").splitlines()
    found = diff("\n".join(lines), "\n".join(lines[:-1]))
    assert (found.only_first, found.only_second) == ((("pool", "Pooling"),), ())
    extra = 'layer { name: "x" type: "Silence" bottom: "data" }'
    assert diff(BASE, BASE + extra).only_second == (("x", "Silence"),)
    assert diff(BASE + extra, "\n".join([*lines[:2], extra, *lines[2:]])).moved == ("conv", "pool", "x")
    assert diff(BASE, BASE.replace('"net"', '"ten"')).fields == (FieldDifference("", "name", "net", "ten"),)


def test_layers_of_both_phases_are_kept_apart() -> None:
    train = """
        layer { name: "data" type: "Data" top: "data" include { phase: TRAIN } data_param { batch_size: 64 } }
        layer { name: "data" type: "Data" top: "data" include { phase: TEST } data_param { batch_size: 10 } }"""
    found = diff(train, train.replace("10", "20"))
    assert [(f.layer, f.field) for f in found.fields] == [("data#2", "data_param.batch_size")]


@given(st.permutations(["group: 2", "stride: 2", "dilation: 3", "pad: 1", "bias_term: false", "axis: 2"]), st.data())
def test_a_difference_is_there_in_both_directions(fields: list[str], data: st.DataObject) -> None:
    some = fields[: data.draw(st.integers(0, len(fields)))]
    changed = BASE.replace("num_output: 4", " ".join(["num_output: 4", *some]))
    there, back = diff(BASE, changed), diff(changed, BASE)
    assert len(there.fields) == len(some)
    assert [(f.field, f.first, f.second) for f in there.fields] == [(f.field, f.second, f.first) for f in back.fields]
    parsed: Prototxt = parse_prototxt(changed)
    assert diff(changed, write_prototxt(parsed.net)).same
