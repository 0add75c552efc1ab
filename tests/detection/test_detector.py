"""Boxes of outputs, pictures of them, and the verb on small networks of a test's own."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.detection.boxes import Detection, from_rows
from caffezoo.detection.detector import Detector, class_names, output_of_boxes
from caffezoo.detection.drawing import class_colour, draw
from caffezoo.detection.mtcnn import cut
from caffezoo.errors import ImageError, ShapeError
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.formats.preprocessing import Preprocessing
from caffezoo.net.graph import Network
from tests.detection.images import verb

SSD = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "map" type: "Pooling" bottom: "data" top: "map" pooling_param { pool: AVE kernel_size: 4 stride: 4 } }
layer { name: "priors" type: "PriorBox" bottom: "map" bottom: "data" top: "priors" prior_box_param { min_size: 4 } }
layer { name: "loc" type: "Convolution" bottom: "map" top: "loc" convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "loc_p" type: "Permute" bottom: "loc" top: "loc_p" permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "loc_f" type: "Flatten" bottom: "loc_p" top: "loc_f" }
layer { name: "conf" type: "Convolution" bottom: "map" top: "conf" convolution_param { num_output: 3 kernel_size: 1 } }
layer { name: "conf_p" type: "Permute" bottom: "conf" top: "conf_p"
  permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "conf_r" type: "Reshape" bottom: "conf_p" top: "conf_r"
  reshape_param { shape { dim: 0 dim: -1 dim: 3 } } }
layer { name: "conf_s" type: "Softmax" bottom: "conf_r" top: "conf_s" softmax_param { axis: 2 } }
layer { name: "conf_f" type: "Flatten" bottom: "conf_s" top: "conf_f" }
layer { name: "found" type: "DetectionOutput" bottom: "loc_f" bottom: "conf_f" bottom: "priors" top: "found"
  detection_output_param { num_classes: 3 nms_param { nms_threshold: 0.4 top_k: 9 } keep_top_k: 9
    confidence_threshold: 0.1 } }
"""
"""A detector of colours: class 1 where a quarter of the image is blue, class 2 where it is red."""


def _network() -> Network:
    network = Network.from_text(SSD)
    conf = np.zeros((3, 3, 1, 1), np.float32)
    conf[1, 0], conf[2, 2] = 0.05, 0.05
    zero = np.zeros((4, 3, 1, 1), np.float32)
    return network.with_weights(
        {"loc": [zero, np.zeros(4, np.float32)], "conf": [conf, np.array([6.0, 0, 0], np.float32)]}
    )


def _image(height: int = 20, width: int = 40) -> np.ndarray:
    """Return an image whose upper left quarter is blue and whose lower right one is red."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2, 0] = 255
    pixels[height // 2 :, width // 2 :, 2] = 255
    return pixels


@pytest.mark.parametrize(("order", "labels"), [("BGR", (1, 2)), ("RGB", (2, 1))])
def test_boxes_are_in_pixels_of_the_image(order: str, labels: tuple[int, int]) -> None:
    detector = Detector(_network(), Preprocessing(channel_order=order), names=["none", "blue", "red"])
    found = detector.detect(_image())
    assert {(one.label, one.x1, one.y1, one.x2, one.y2) for one in found} == {
        (labels[0], 0, 0, 20, 10), (labels[1], 20, 10, 40, 20),
    }  # fmt: skip
    assert {one.name for one in found} == {"blue", "red"}
    assert detector.detect(_image(), 1.0) == ()
    with pytest.raises(ImageError, match="takes BGR pixels"):
        detector.detect(_image()[..., 0])
    detector.close()


def test_rows_that_say_nothing_and_weak_ones_are_left_out() -> None:
    rows = np.array([[0, -1, -1, -1, -1, -1, -1], [0, 5, 0.4, 0, 0, 1, 1], [0, 5, 0.6, 0.1, 0.2, 0.3, 0.4]])
    (one,) = from_rows(rows, 100, 50, 0.5, ["a"])
    assert one.name == "5"
    assert one.to_json(100, 50) == {
        "label": 5, "name": "5", "score": 0.6, "box": [10.0, 10.0, 30.0, 20.0], "relative": [0.1, 0.2, 0.3, 0.4],
    }  # fmt: skip


def test_a_network_without_boxes_is_no_detector() -> None:
    text = 'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 3 dim: 4 dim: 4 } } }'
    with pytest.raises(ShapeError, match="it is no detector: none of its layers makes boxes"):
        output_of_boxes(Network.from_text(text))


def test_boxes_beyond_the_image_are_drawn_within_it() -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    far = Detection(1, "far", 0.9, -1e9, -1e9, 1e9, 1e9)
    near = Detection(2, "näher", 0.5, 10, 20, 30, 35, ((20.0, 25.0),))
    picture = draw(image, [far, near])
    assert picture.shape == image.shape
    assert not image.any()
    assert picture[25, 20].tolist() == list(class_colour(2))
    assert len({class_colour(i) for i in range(1, 30)}) == 29


def test_names_of_classes_from_lists_and_label_maps(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("background\nface\n\n")
    assert class_names(path) == ["background", "face"]
    path.write_text(
        'item { name: "none_of_the_above" label: 0 display_name: "background" }\nitem { name: "n1" label: 2 '
        "display_name: 'car' }"
    )
    assert class_names(path) == ["background", "1", "car"]
    with pytest.raises(ImageError, match="names of classes cannot be read"):
        class_names(tmp_path / "absent")


def test_a_cut_is_empty_where_it_leaves_the_image() -> None:
    """Boxes count from 1: rows 0 to 3 of the image, and two rows above it."""
    image = np.full((10, 10, 3), 7, np.float32)
    found = cut(image, np.array([1, -1, 6, 4]), 6)
    assert (found[:2] == 0).all()
    assert (found[2:] == 7).all()
    assert not cut(image, np.array([50, 50, 60, 60]), 6).any()


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Write the network and an image, and return the arguments that name them."""
    network = _network()
    (tmp_path / "ssd.prototxt").write_text(SSD)
    write_caffemodel(tmp_path / "ssd.caffemodel", network.prototxt.net, network.weights)
    cv2.imwrite(str(tmp_path / "a.png"), _image())
    (tmp_path / "names.txt").write_text("none\nblue\nred\n")
    net = ["--prototxt", str(tmp_path / "ssd.prototxt"), "--weights", str(tmp_path / "ssd.caffemodel")]
    return [*net, "--mean", "0", "--labels", str(tmp_path / "names.txt")]


def test_the_verb(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verb(["detect", str(tmp_path / "a.png"), *files, "-o", str(tmp_path / "out")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(f"a.png: 2 found, drawn into {tmp_path / 'out' / 'a.png'}")
    assert {line.split()[-1] for line in lines[1:]} == {"blue", "red"}
    verb(["detect", str(tmp_path / "a.png"), *files, "--json", "--threshold", "1"])
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["width"], one["height"], one["found"]) == (40, 20, [])


def test_an_image_that_cannot_be_read_does_not_stop_the_others(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(SystemExit) as stop:
        main(["detect", str(tmp_path / "bad.png"), str(tmp_path / "a.png"), *files])
    out = capsys.readouterr()
    assert stop.value.code == 1
    assert "bad.png" in out.err
    assert "a.png: 2 found" in out.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--net", "open-nsfw"], "network 'open-nsfw' is for classification; caffezoo classify --net open-nsfw"),
        (["--net", "mtcnn-det2"], "'mtcnn-det2' is one stage of a detector; caffezoo detect --net mtcnn"),
        (["--net", "mtcnn", "--mean", "1"], "'mtcnn' has its own weights, mean and scale"),
        (["--net", "res10-ssd-face", "--threshold", "2"], "2"),
    ],
)
def test_usage(arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), _image())
    with pytest.raises(SystemExit) as stop:
        main(["detect", str(tmp_path / "a.png"), *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_classify_takes_no_detector(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), _image())
    with pytest.raises(SystemExit) as stop:
        main(["classify", str(tmp_path / "a.png"), "--net", "res10-ssd-face"])
    assert stop.value.code == 2
    assert "is for detection: it has no scores of classes; caffezoo detect" in capsys.readouterr().err
