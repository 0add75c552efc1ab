from __future__ import annotations

import pytest

from caffezoo.engines.caffe_process import CaffeProcess
from caffezoo.errors import CaffeAbortError, PrototxtError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.phases import check_structure, filter_net
from caffezoo.formats.prototxt import parse_prototxt
from tests.oracle import oracle_python, requires_caffe

RULES = """layer { name: "always" }
layer { name: "train" include { phase: TRAIN } }
layer { name: "test" include { phase: TEST } }
layer { name: "not_train" exclude { phase: TRAIN } }
layer { name: "level1" include { min_level: 1 max_level: 2 } }
layer { name: "deploy" include { stage: "deploy" } }
layer { name: "not_deploy" include { not_stage: "deploy" } }
layer { name: "both_stages" include { stage: "deploy" stage: "val" } }
layer { name: "either" include { phase: TRAIN } include { stage: "deploy" } }
layer { name: "excluded" exclude { phase: TEST level_is_unknown: 1 stage: "deploy" } }
"""


def names(**state: object) -> set[str]:
    return {layer.name for layer in filter_net(parse_prototxt(RULES), **state).net.layer}  # type: ignore[arg-type]


def test_rules() -> None:
    assert names() == {"always", "test", "not_train", "not_deploy", "excluded"}
    assert names(phase=pb.TRAIN) == {"always", "train", "not_deploy", "either", "excluded"}
    assert names(level=2) == names() | {"level1"}
    assert names(level=3) == names()
    deployed = {"always", "test", "not_train", "deploy", "either"}
    assert names(stages=["deploy"]) == deployed
    assert names(stages=["deploy", "val"]) == deployed | {"both_stages"}


def test_stages_of_the_file_count_and_its_phase_does_not() -> None:
    prototxt = parse_prototxt(RULES + 'state { phase: TRAIN level: 1 stage: "deploy" }', "n.prototxt")
    filtered = filter_net(prototxt)
    assert {layer.name for layer in filtered.net.layer} == names(stages=["deploy"])
    assert filtered.net.state == pb.NetState(phase=pb.TEST, level=0, stage=["deploy"])
    assert filtered.lines == (1, 3, 4, 6, 9)
    assert filtered.path == "n.prototxt"
    assert filtered.warnings == prototxt.warnings
    assert len(prototxt.net.layer) == 10


def test_include_and_exclude_together_are_an_error() -> None:
    prototxt = parse_prototxt('layer { }\nlayer { name: "x" include { } exclude { phase: TRAIN } }', "n.prototxt")
    with pytest.raises(PrototxtError, match="layer 'x' has both") as caught:
        filter_net(prototxt)
    assert caught.value.where == "n.prototxt:2"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('layer { name: "a" top: "conv1" }\nlayer { name: "b" bottom: "conv_1" }', 2, "did you mean conv1?"),
        ('layer { name: "a" bottom: "x" }', 1, "layer 'a': bottom 'x' is made by no layer above it"),
        ('layer { name: "a" bottom: "a" top: "a" }', 1, "made by no layer"),
        (
            'layer { name: "a" top: "x" }\nlayer { name: "b" top: "x" }',
            2,
            "layer 'b': top 'x' is already made by layer 'a'",
        ),
        (
            'layer { name: "a" top: "x" top: "y" }\nlayer { name: "b" bottom: "x" bottom: "y" top: "y" }',
            2,
            "already made",
        ),
        ('layer { name: "a" top: "x" top: "x" }', 1, "already made"),
    ],
)
def test_broken_structure_names_layer_and_line(text: str, line: int, message: str) -> None:
    with pytest.raises(PrototxtError) as caught:
        check_structure(parse_prototxt(text, "n.prototxt"))
    assert caught.value.where == f"n.prototxt:{line}"
    assert message in str(caught.value)


def test_in_place_layers_and_repeated_bottoms_are_fine() -> None:
    notes = check_structure(
        parse_prototxt(
            'input: "x" input: "y" input_dim: [1, 1, 1, 1, 2, 2, 2, 2] '
            'layer { name: "a" bottom: "x" top: "x" } layer { name: "b" bottom: "x" bottom: "x" top: "z" } '
            'layer { name: "c" bottom: "y" bottom: "z" top: "y" top: "z" }'
        )
    )
    assert not notes


READ_BEFORE = {
    "one reads, one is in place": ([("p", "q2"), ("p", "p")], True),
    "in place as first bottom of two": ([("q p", "r"), ("p r", "p")], True),
    "reads it twice in place": ([("p p", "p"), ("p", "r")], True),
    "in place before any reads": ([("p", "p"), ("p p", "r")], False),
    "another blob is read": ([("q", "r"), ("p", "p")], False),
    "in place twice": ([("p", "p"), ("p", "p"), ("p q", "r")], False),
}


def read_before(layers: list[tuple[str, str]]) -> str:
    text = 'input: "x" input_shape { dim: 1 dim: 2 } layer { name: "a" type: "Split" bottom: "x" top: "p" top: "q" }\n'
    for i, (bottoms, top) in enumerate(layers):
        names = bottoms.split()
        text += f'layer {{ name: "l{i}" type: "{"Eltwise" if len(names) > 1 else "ReLU"}" '
        text += "".join(f'bottom: "{name}" ' for name in names) + f'top: "{top}" }}\n'
    return text


@pytest.mark.parametrize("case", READ_BEFORE)
def test_in_place_on_a_blob_that_was_read_is_said(case: str) -> None:
    layers, refused = READ_BEFORE[case]
    notes = check_structure(parse_prototxt(read_before(layers), "n.prototxt"))
    assert len(notes) == refused
    assert all("n.prototxt:" in note and "in place on 'p'" in note for note in notes)


@requires_caffe
@pytest.mark.parametrize("case", READ_BEFORE)
def test_real_caffe_refuses_what_is_said_to_be_refused(case: str) -> None:
    layers, refused = READ_BEFORE[case]
    with CaffeProcess(oracle_python(), threads=1) as caffe:
        if refused:
            with pytest.raises(CaffeAbortError, match="multiple sources"):
                caffe.load(read_before(layers))
        else:
            caffe.load(read_before(layers))
