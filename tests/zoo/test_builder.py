"""The builder: what its methods append, and what it remembers of blobs."""

from __future__ import annotations

import pytest

from caffezoo.formats.prototxt import parse_prototxt
from caffezoo.zoo.builder import NetBuilder


def kinds(b: NetBuilder) -> list[tuple[str, str, list[str], list[str]]]:
    return [(x.name, x.type, list(x.bottom), list(x.top)) for x in b.net.layer]


def test_conv_norm_appends_a_run_in_place() -> None:
    b = NetBuilder("n", bn_eps=1e-3)
    assert b.conv_norm("c", b.input((1, 3, 8, 8)), 5, 3, pad=1) == "c"
    assert kinds(b)[1:] == [
        ("c", "Convolution", ["data"], ["c"]),
        ("c_bn", "BatchNorm", ["c"], ["c"]),
        ("c_scale", "Scale", ["c"], ["c"]),
        ("c_relu", "ReLU", ["c"], ["c"]),
    ]
    assert b.channels("c") == 5
    assert b.net.layer[2].batch_norm_param.eps == pytest.approx(1e-3)


def test_norm_names_and_relu_are_the_callers() -> None:
    b = NetBuilder("n", bn_names=("{}/bn", "{}/bn/scale", "{}/relu"))
    b.norm("a", b.input(), relu=False)
    b.norm("c", "data", relu="relu_c")
    assert [x.name for x in b.net.layer[1:]] == ["a/bn", "a/bn/scale", "c/bn", "c/bn/scale", "relu_c"]
    assert not b.net.layer[1].batch_norm_param.HasField("eps")


def test_preact_writes_a_blob_of_its_own() -> None:
    b = NetBuilder("n")
    assert b.preact("block", b.input()) == "block_bn"
    assert [x[2:] for x in kinds(b)[1:]] == [(["data"], ["block_bn"])] + [(["block_bn"], ["block_bn"])] * 2
    assert b.channels("block_bn") == 3


def test_slice_and_concat_keep_count_of_channels() -> None:
    b = NetBuilder("n")
    x = b.conv("c", b.input(), 10, 1)
    parts = b.slice("s", x, ("a", "b", "c2"), (2, 7))
    assert [b.channels(p) for p in parts] == [2, 5, 3]
    assert b.channels(b.concat("cat", parts)) == 10


def test_slice_wants_one_point_less_than_tops() -> None:
    b = NetBuilder("n")
    with pytest.raises(ValueError):  # noqa: PT011
        b.slice("s", b.conv("c", b.input(), 10, 1), ("a", "b", "c2"), (2,))


def test_gate_is_a_scale_over_axis_0_without_weights() -> None:
    b = NetBuilder("n")
    x = b.conv("c", b.input(), 4, 1)
    gate = b.fc("g", b.global_pool("p", x), 4)
    assert b.gate("s", x, gate, top="y") == "y"
    assert kinds(b)[-1] == ("s", "Scale", ["c", "g"], ["y"])
    assert (b.net.layer[-1].scale_param.axis, b.net.layer[-1].scale_param.bias_term) == (0, False)


def test_pairs_become_h_and_w_fields() -> None:
    b = NetBuilder("n")
    b.conv("c", b.input(), 4, (1, 7), pad=(0, 3), bias=True)
    p = b.net.layer[-1].convolution_param
    assert (p.kernel_h, p.kernel_w, p.pad_h, p.pad_w, p.bias_term) == (1, 7, 0, 3, True)
    assert not p.kernel_size


def test_text_reads_back_under_its_header() -> None:
    b = NetBuilder("n", "one line\n\nanother")
    b.softmax("prob", b.fc("f", b.dropout("d", b.input(), 0.2, top="d"), 7))
    text = b.to_prototxt()
    assert text.startswith("# one line\n#\n# another\nname: ")
    assert parse_prototxt(text, "<test>").net == b.net
