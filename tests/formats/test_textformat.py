from __future__ import annotations

import time

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st

from caffezoo.errors import PrototxtError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats import textformat
from caffezoo.formats.textformat import TextParser
from tests.formats.messages import format_error

VALID = [
    'name: "a" # comment\n# another\nlayer { name: "x" }',
    "name: 'it\"s' 'and' \"more\"",
    r'name: "tab\t newline\n quote\" back\\ octal\101 hex\x41 A"',
    "layer < name: 'x' pooling_param < pool: AVE kernel_size: 3 > >",
    "layer: { name: 'x' } layer: < name: 'y' >",
    "input_dim: [1, 3, 0x10, 010] input_dim: 5",
    "input_dim: []",
    "layer [{name: 'x'}, <name: 'y'>]",
    "layer { name: 'x', type: 'ReLU'; relu_param { negative_slope: -.5 } }",
    "layer { loss_weight: 1 loss_weight: 1.5f loss_weight: 1e-3 loss_weight: inf loss_weight: -inf loss_weight: 1. }",
    "layer { propagate_down: true propagate_down: t propagate_down: 1 propagate_down: false propagate_down: 0 }",
    "layer { phase: 1 pooling_param { pool: 2 round_mode: FLOOR } }",
    "layer { input_param { shape { dim: 1 dim: -3 dim: 9223372036854775807 } } }",
    "layer { blobs { raw_data: '\\000\\377' double_data: 1e300 } }",
    "name: 'ünïcödé'",
    "force_backward: True;",
    "",
]

INVALID = [
    ("layer { name: 'x'", 1, "not closed"),
    ("layer { name: 'x' }\n}", 2, "expected a field name"),
    ("layer {\n name 'x' }", 2, "expected ':'"),
    ("layer {\n\n name: x }", 3, "quoted string"),
    ("layer { name: 'x }", 1, "does not end on its line"),
    ("name: 'a'\nname: 'b'", 2, "given twice"),
    ("state { }\nstate { }", 2, "given twice"),
    ("input_dim: 1.5", 1, "integer"),
    ("input_dim: 2147483648", 1, "outside"),
    ("layer { convolution_param { pad: -1 } }", 1, "outside"),
    ("layer { pooling_param { pool: MEAN } }", 1, "MAX, AVE, STOCHASTIC"),
    ("layer { phase: 7 }", 1, "TRAIN, TEST"),
    ("layers { type: SOFTMAX_LOS }", 1, "'SOFTMAX_LOS' is no LayerType; did you mean SOFTMAX_LOSS or SOFTMAX"),
    ("force_backward: yes", 1, "true or false"),
    ("input_dim: 08", 1, "integer"),
    ("input_dim: 12abc", 1, "12abc"),
    ("input_dim: [1, 2", 1, "',' or ']'"),
    ("input_dim: - 'x'", 1, "sign"),
    ("name: '\\377'", 1, "UTF-8"),
    ("layer ( )", 1, "unexpected character '('"),
    ("layer { unknown_param { a: [1, 2 } }", 1, "unexpected '}'"),
    ("layer { unknown_param { a: 1", 1, "not closed"),
    ("unknown", 1, "expected ':' or '{'"),
    ("layer { relu_param { negative_slope: 0x10 } }", 1, "expected a number"),
    ("input_dim: " + "9" * 5000, 1, "integer"),
    ("layer { name: 'x' >", 1, "expected a field name"),
    ("name:", 1, "expected a value"),
]


def parse(text: str) -> tuple[pb.NetParameter, TextParser]:
    net = pb.NetParameter()
    parser = TextParser(text, "net.prototxt")
    parser.parse_into(net)
    return net, parser


@pytest.mark.parametrize("text", VALID)
def test_valid_text_gives_what_protobuf_gives(text: str) -> None:
    assert parse(text)[0] == text_format.Parse(text, pb.NetParameter())


@pytest.mark.parametrize(("text", "line", "message"), INVALID)
def test_invalid_text_names_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        parse(text)
    assert caught.value.where == f"net.prototxt:{line}"
    assert message in caught.value.message
    with pytest.raises(text_format.ParseError):
        text_format.Parse(text, pb.NetParameter(), allow_unknown_field="unknown" in text)


def test_unknown_escapes_are_errors_as_in_caffe() -> None:
    with pytest.raises(PrototxtError, match="escape"):
        parse("name: '\\q'")


def test_not_a_number_is_read() -> None:
    net, _ = parse("layer { loss_weight: nan loss_weight: -nan }")
    assert all(weight != weight for weight in net.layer[0].loss_weight)


@pytest.mark.parametrize(
    "value",
    [
        ": 1",
        ": -1.5e3",
        ": NAME",
        ": 'a' 'b'",
        ": [1, 2]",
        " { a: { b: 'c' } }",
        ": < a [ { b: 1 } ] >",
        " [ { a: 1 } ]",
    ],
)
def test_unknown_fields_are_skipped_whole(value: str) -> None:
    net, parser = parse(f"layer {{\n name: 'x'\n fork_field{value}\n type: 'ReLU' }} name: 'net'")
    assert (net.name, net.layer[0].type) == ("net", "ReLU")
    assert [(u.name, u.line, u.top) for u in parser.unknown] == [("fork_field", 3, ("layer", 0))]


def test_extension_names_are_unknown_fields() -> None:
    _, parser = parse("layer { [some.fork/ext]: 3 name: 'x' }")
    assert [u.name for u in parser.unknown] == ["[some.fork/ext]"]


def test_lines_of_top_level_messages() -> None:
    _, parser = parse("\nlayer { name: 'a' }\n\nlayer {\n}\nlayer [ {\n}, \n{ } ]")
    assert parser.lines["layer"] == [2, 4, 6, 8]


@pytest.mark.parametrize("opening", ["layer { a { ", "unknown { ", "unknown: [ ", "a: < "])
def test_deep_nesting_ends_in_an_error(opening: str) -> None:
    with pytest.raises(PrototxtError, match="deep"):
        parse(opening * 100_000)


def test_long_texts_end_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textformat, "MAX_TOKENS", 1000)
    with pytest.raises(PrototxtError, match="more than 1000"):
        parse("input_dim: 1 " * 1000)
    monkeypatch.setattr(textformat, "MAX_TEXT_CHARS", 1000)
    with pytest.raises(PrototxtError, match="1001 characters"):
        parse(" " * 1001)


WORDS = [
    "layer",
    "name",
    "input_dim",
    "{",
    "}",
    "<",
    ">",
    "[",
    "]",
    ":",
    ",",
    ";",
    "-",
    "1",
    "0x1F",
    "1.5f",
    "'s'",
    '"',
]
WORDS += [
    "type",
    "phase",
    "TEST",
    "pooling_param",
    "pool",
    "MAX",
    "true",
    "foo",
    "#",
    "\n",
    "\\",
    "\x00",
    "ü",
    ".",
    "/",
]


@settings(max_examples=300, deadline=1000)
@given(st.lists(st.sampled_from(WORDS), max_size=60).map(" ".join) | st.text(max_size=200))
def test_any_text_ends_in_a_net_or_a_format_error(text: str) -> None:
    assert "\n" not in format_error(parse, text)


@pytest.mark.parametrize(
    "text", ["#" * 500_000, " " * 500_000 + "(", '"' + "\\" * 500_000, "1" * 500_000, "a" * 500_000]
)
def test_hostile_tokens_take_linear_time(text: str) -> None:
    start = time.perf_counter()
    assert len(format_error(parse, text)) < 200
    assert time.perf_counter() - start < 1.0
