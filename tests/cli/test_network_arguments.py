"""How a verb is told its network: every spelling in every verb, and how a file is read."""

from __future__ import annotations

import json
from pathlib import Path

import click
import cv2
import numpy as np
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.cli.main import main, make_app
from caffezoo.cli.network_arguments import parse_shapes, resolve
from caffezoo.engines.seeding import seeded_weights
from caffezoo.errors import UsageError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.net.graph import Network

TRAIN_VAL = """
name: "tiny"
layer { name: "images" type: "Data" top: "data" top: "label" include { phase: TRAIN }
        data_param { source: "train_lmdb" batch_size: 64 } transform_param { crop_size: 8 } }
layer { name: "images" type: "Data" top: "data" top: "label" include { phase: TEST }
        data_param { source: "val_lmdb" batch_size: 10 } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" forward_math: FLOAT16
        convolution_param { num_output: 4 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" inner_product_param { num_output: 3 } }
layer { name: "extra" type: "Power" bottom: "fc" top: "extra" include { stage: "deep" min_level: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" include { phase: TRAIN } }
"""
SHAPE = "--shape data=1,3,8,8".split()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A training file without a size at TEST, weights with a layer too many, an image and a list."""
    (tmp_path / "net.prototxt").write_text(TRAIN_VAL)
    network = Network.load(tmp_path / "net.prototxt", inputs={"data": (1, 3, 8, 8)})
    weights = {**seeded_weights(network)[0], "other": (np.ones((1, 1, 1, 1), np.float32),)}
    net = pb.NetParameter()
    net.CopyFrom(network.prototxt.net)
    net.layer.add(name="other", type="Convolution")
    write_caffemodel(tmp_path / "net.caffemodel", net, weights)
    cv2.imwrite(str(tmp_path / "a.png"), np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3))
    (tmp_path / "list.txt").write_text("a.png 0\n")
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    out = capsys.readouterr()
    return int(stop.value.code or 0), out.out, out.err


SCORED = "--mean 0 0 0 --base-size 8 --json".split()
# Each verb on a network with weights: its own arguments, and how often each warning is to be said.
VERBS = {
    "show": ["--json"],
    "export": ["--onnx", "{d}/net.onnx"],
    "fold": ["--samples", "0", "--json"],
    "check": ["--json"],
    "run": ["--input", "{d}/a.png", "--mean", "0", "--json"],
    "precision scan": ["--json"],
    "classify": ["{d}/a.png", *SCORED],
    "evaluate": ["--data", "{d}/list.txt", "--no-resume", *SCORED],
}
SPELLINGS = {
    "positional": ["{d}/net.prototxt", "{d}/net.caffemodel"],
    "flags": ["--prototxt", "{d}/net.prototxt", "--weights", "{d}/net.caffemodel"],
    "net": ["--net", "{d}/net.prototxt", "--weights", "{d}/net.caffemodel"],
    "mixed": ["{d}/net.prototxt", "--weights", "{d}/net.caffemodel"],
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_verb_takes_every_spelling_and_says_each_note_once(
    verb: str, spelling: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if verb == "precision scan":
        pytest.importorskip("torch")  # what its layers lose is measured there
    arguments = [*verb.split(), *SPELLINGS[spelling], *SHAPE, *VERBS[verb]]
    status, out, err = run(capsys, *(a.format(d=files) for a in arguments))
    assert status == 0
    assert err.count("unknown field 'forward_math'") == 1
    assert err.count("does not have: other") == 1
    if "--json" in arguments:
        found = json.loads(out)
        notes = (found[0] if isinstance(found, list) else found)["notes"]
        assert ["forward_math" in note for note in notes] == [True, False]
        assert "does not have: other" in notes[1]


SHARED = "--net --prototxt --shape --phase --stage --level --lenient --layers --python-layers --index".split()


def test_every_command_that_takes_a_prototxt_takes_all_of_its_arguments() -> None:
    group = typer.main.get_command(make_app())
    assert isinstance(group, click.Group)
    left, seen = [("", group)], 0
    while left:
        name, command = left.pop()
        if isinstance(command, click.Group):
            left += [(f"{name} {child}", one) for child, one in command.commands.items()]  # type: ignore[misc]
            continue
        flags = {flag for parameter in command.params for flag in parameter.opts}
        if "--prototxt" in flags:
            seen += 1
            assert len(flags) == sum(len(parameter.opts) for parameter in command.params), name
            assert {
                "--layers",
                "--python-layers",
                "--net",
                "--shape",
                "--phase",
                "--stage",
                "--level",
                "--lenient",
                "--index",
            } <= flags, name
    assert seen >= 8


def test_time_tells_its_notes_once_and_takes_the_batch_of_the_shape(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = "--shape data=2,3,8,8 --engine openvino --forward-only --iterations 1 --no-layers --json".split()
    status, out, err = run(capsys, "time", files / "net.prototxt", *fast)
    record = json.loads(out)
    assert (status, record["batch_size"], record["crop_size"]) == (0, 2, 8)
    assert err.count("forward_math") == 1
    assert len(record["notes"]) == 1


def test_a_size_that_only_a_database_knows_is_asked_for(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, "show", files / "net.prototxt")
    assert status == 1
    assert "--shape data=1,3,224,224" in err


def test_phase_stage_and_level_choose_layers(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def layers(*flags: str) -> list[str]:
        status, out, _ = run(capsys, "show", files / "net.prototxt", "--json", *flags)
        assert status == 0
        return [layer["name"] for layer in json.loads(out)["layers"]]

    assert layers(*SHAPE) == ["images", "conv", "relu", "fc"]
    assert layers("--phase", "train") == ["images", "conv", "relu", "fc", "loss"]
    assert layers(*SHAPE, "--stage", "deep", "--level", "2") == ["images", "conv", "relu", "fc", "extra"]


@pytest.mark.parametrize(
    ("rule", "flags"),
    [
        ("include { phase: TRAIN }", "--phase TRAIN"),
        ("exclude { phase: TEST }", "--phase TRAIN"),
        ('include { stage: "deep" min_level: 2 }', "--level 2 --stage deep"),
    ],
)
def test_a_bottom_of_another_state_is_said_with_its_flags(
    rule: str, flags: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"""
        input: "data" input_shape {{ dim: 1 dim: 3 dim: 8 dim: 8 }}
        layer {{ name: "a" type: "ReLU" bottom: "data" top: "a" {rule} }}
        layer {{ name: "b" type: "ReLU" bottom: "a" top: "b" }}"""
    (tmp_path / "net.prototxt").write_text(text)
    status, _, err = run(capsys, "show", tmp_path / "net.prototxt")
    assert status == 1
    assert f"net.prototxt:4: layer 'b': bottom 'a' is made by no layer above it; layer 'a' makes it with {flags}" in err
    assert run(capsys, "show", tmp_path / "net.prototxt", *flags.split())[0] == 0


def test_a_source_of_an_unknown_type_is_an_input_where_its_shapes_are_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.prototxt").write_text("""
        layer { name: "mine" type: "MyCamera" top: "data" top: "box" }
        layer { name: "b" type: "ReLU" bottom: "data" top: "b" }""")
    status, _, err = run(capsys, "show", tmp_path / "net.prototxt")
    assert status == 1
    assert "its tops are inputs with --shape data=1,3,224,224 --shape box=1" in err
    flags = "--shape data=2,3,9,9 --shape box=2,4 --json".split()
    status, out, _ = run(capsys, "show", tmp_path / "net.prototxt", *flags)
    assert status == 0
    assert json.loads(out)["inputs"] == {"data": [2, 3, 9, 9], "box": [2, 4]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show"], "which network?"),
        (["show", "a.prototxt", "--net", "dpn-92"], "named twice, as 'a.prototxt' and as 'dpn-92'"),
        (["show", "a.prototxt", "b.prototxt"], "'b.prototxt' is one file too many"),
        (["show", "a.prototxt", "a.caffemodel", "--weights", "b.caffemodel"], "'a.caffemodel' is one file too many"),
        (["show", "dpn-92", "--shape", "data=1,x"], "'data=1,x' is no shape of one blob"),
        (["show", "dpn-92", "--shape", "data=1,3,0,4"], "has an axis below 1"),
        (["show", "dpn-92", "--shape", "data=65536,65536"], "holds more than 2147483647 values"),
        (["show", "dpn-92", "--shape", "date=1,3,224,224"], "unknown input 'date'; did you mean data?"),
        (["show", "dpn-92", "--phase", "TESTS"], "unknown phase 'TESTS'; did you mean TEST?"),
        (["time", "a.prototxt", "a.caffemodel"], "'a.caffemodel': weights are not read here"),
        (["classify", "a.prototxt", "a.caffemodel"], "which image?"),
        (["classify", "a.png"], "which network?"),
        (["check", "dpn-92", "--shape", "data=1,3,224,224"], "checked as they are"),
        (["time", "dpn-92", "--record", "--phase", "TRAIN"], "as they are deployed"),
    ],
)
def test_what_cannot_be_is_a_usage_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


@given(st.text(min_size=1), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_a_shape_is_read_back_for_every_blob_name(blob: str, shape: list[int]) -> None:
    assert parse_shapes([f"{blob}={','.join(map(str, shape))}"]) == {blob: tuple(shape)}
    assert parse_shapes([f"{blob}={'x'.join(map(str, shape))}"]) == {blob: tuple(shape)}


def test_a_name_is_of_the_zoo_and_a_default_stands_in() -> None:
    assert resolve(["dpn-92"]).entry is not None
    assert resolve(default="all").name == "all"
    with pytest.raises(UsageError):
        parse_shapes(["data=1", "data=2"])
