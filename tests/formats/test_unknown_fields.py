"""Fields that Caffe does not have: which are refused, as Caffe does, and which are passed over with a warning."""

from __future__ import annotations

import pytest

from caffezoo.errors import CaffeAbortError, PrototxtError
from caffezoo.formats.prototxt import parse_prototxt
from caffezoo.net.graph import Network
from caffezoo.net.layer import Layer, register
from caffezoo.net.registry import _REGISTRY
from tests.oracle import caffe_process, requires_caffe

INPUT = 'layer { name: "in" type: "Input" top: "a" input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }\n'
TYPO = (
    INPUT + 'layer { name: "pool" type: "Pooling" bottom: "a" top: "b"\n pooling_param { kernel_size: 2 strid: 2 } }\n'
)

REFUSED = {
    "in-a-message": (TYPO, "n:3: layer 'pool': Caffe's PoolingParameter has no field 'strid'; did you mean stride?"),
    "in-a-layer": (
        INPUT + 'layer { name: "l" type: "ReLU" botom: "a" bottom: "a" top: "b" }',
        "n:2: layer 'l': Caffe's LayerParameter has no field 'botom'; did you mean bottom?",
    ),
    "of-a-fork-that-changes-the-answer": (
        INPUT + 'layer { name: "c" type: "Pooling" bottom: "a" top: "b" pooling_param { kernel_size: 1 leaky: true } }',
        "n:2: layer 'c': Caffe's PoolingParameter has no field 'leaky'; --lenient passes over it",
    ),
    "outside": (INPUT + "forced_backward: true", "n:2: Caffe's NetParameter has no field 'forced_backward'; did you"),
    "of-the-other-form": (
        INPUT + 'layer { name: "l" type: "ReLU" bottom: "a" top: "b" blobs_lr: 1 }',
        "n:2: layer 'l': Caffe's LayerParameter has no field 'blobs_lr'",
    ),
    "two": (TYPO.replace("strid: 2", "strid: 2 padd: 1"), "has no field 'strid' (nor 'padd' in line 3)"),
    "in-a-data-layer": (
        'layer { name: "d" type: "ImageData" top: "a" top: "y" image_data_param { batch_size: 1 new_heigth: 4 } '
        "transform_param { crop_size: 4 } }",
        "ImageDataParameter has no field 'new_heigth'; did you mean new_height?",
    ),
}  # fmt: skip

PASSED_OVER = {
    "an-engine": INPUT + 'layer { name: "l" type: "ReLU" bottom: "a" top: "b" engine: "MKLDNN" }',
    "of-the-net": "default_forward_type: FLOAT16\n" + INPUT,
    "in-a-filler": INPUT + (
        'layer { name: "l" type: "InnerProduct" bottom: "a" top: "b" '
        'inner_product_param { num_output: 1 weight_filler { type: "xavier" alpha: 2 } } }'
    ),
    "augmentation": (
        'layer { name: "d" type: "ImageData" top: "a" top: "y" image_data_param { batch_size: 1 warped_like_us: true }'
        " transform_param { crop_size: 4 whirl { degrees: 3 } } }"
    ),
    "of-a-layer-that-is-not-there": INPUT + TYPO.split("\n", 1)[1].replace("type", "include { phase: TRAIN } type"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_a_field_that_may_change_the_answer_is_refused(text: str, words: str) -> None:
    with pytest.raises(PrototxtError) as refusal:
        Network.from_text(text, path="n")
    assert words in str(refusal.value)
    assert "--lenient" in str(refusal.value)


@requires_caffe
@pytest.mark.parametrize("text", [text for text, _ in REFUSED.values()], ids=REFUSED)
def test_real_caffe_refuses_them(text: str) -> None:
    with pytest.raises(CaffeAbortError, match="has no field named"):
        caffe_process().load(text)


@pytest.mark.parametrize("text", PASSED_OVER.values(), ids=PASSED_OVER)
def test_a_field_that_changes_nothing_is_passed_over_with_a_note(text: str) -> None:
    notes = Network.from_text(text, path="n").notes
    assert notes
    assert all("unknown field" in note and "ignored" in note for note in notes)


def test_lenient_passes_over_all(tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(TYPO)
    network = Network.load(path, lenient=True)
    assert network.notes == (f"{path}:3: layer 'pool': unknown field 'strid' ignored",)
    assert network.shape("b") == (1, 1, 3, 3)


def test_a_layer_type_of_ones_own_may_have_its_own_message() -> None:
    text = INPUT + 'layer { name: "l" type: "Mine" bottom: "a" top: "b" mine_param { x: 1 } }'
    try:

        @register("Mine")
        class Mine(Layer):
            """The identity."""

        network = Network.from_text(text, path="n")
    finally:
        _REGISTRY.pop("Mine", None)
    assert network.notes == ("n:2: layer 'l': unknown field 'mine_param' ignored",)


def test_what_the_outputs_do_not_need_is_not_judged(tmp_path) -> None:
    path = tmp_path / "net.prototxt"
    path.write_text(TYPO + 'layer { name: "relu" type: "ReLU" bottom: "a" top: "c" }')
    assert Network.load(path, outputs=["c"]).outputs == ("c",)
    with pytest.raises(PrototxtError, match="strid"):
        Network.load(path, outputs=["b"])


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('net: "models/train_val.prototxt"\nbase_lr: 0.01\nlr_policy: "step"\n', "'models/train_val.prototxt'"),
        ('# a solver\ntrain_net: "train.prototxt"\ntest_net: "test.prototxt"\ntest_iter: 10', "'train.prototxt'"),
        ('base_lr: 1\nnet_param { layer { name: "x" } }', "net_param"),
    ],
    ids=["net", "train-net", "inline"],
)
def test_a_solver_is_named(text: str, hint: str) -> None:
    with pytest.raises(PrototxtError, match="this is a solver file, no network; its network") as error:
        parse_prototxt(text, "solver.prototxt")
    assert hint in str(error.value)


def test_a_file_without_layers_is_no_network() -> None:
    with pytest.raises(PrototxtError, match="a file without layers is no network"):
        Network.from_text('name: "nothing"')
    with pytest.raises(PrototxtError, match=r"none of its 1 layers is there at TEST; layer 'in' .* --phase TRAIN"):
        Network.from_text(INPUT.replace('top: "a"', 'top: "a" include { phase: TRAIN }'))
