"""A train_val file's own preprocessing against what real Caffe's data layer makes of the same images.

``python -m tests.evaluation.test_data_layers`` records some of real Caffe's values.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffezoo.errors import UsageError
from caffezoo.evaluation.asked import Asked
from caffezoo.evaluation.crops import cut_views
from caffezoo.evaluation.image_objects import as_image
from caffezoo.evaluation.protocol import Protocol
from caffezoo.evaluation.recipe import Recipe
from caffezoo.evaluation.sizes import choose_sizes, image_input
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Network
from caffezoo.net.transform import to_blob
from tests.drawn_networks import picture
from tests.oracle import oracle_python, requires_caffe

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "data_layers.json"

SCRIPT = """
import os, sys
os.environ["GLOG_minloglevel"] = "3"
import caffe, numpy
for prototxt in sys.argv[1:]:
    net = caffe.Net(prototxt, caffe.TEST)
    net.forward()
    numpy.save(prototxt + ".npy", net.blobs["data"].data)
"""


@dataclass(frozen=True)
class Case:
    transform: str
    image_data: str = "new_height: 40 new_width: 44"
    mean_size: tuple[int, ...] = ()
    channels: int = 3
    base: str = "40x44"
    crop: str = "32"


CASES = {
    "mean and scale": Case("crop_size: 32 mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.017"),
    "one mean": Case("crop_size: 32 mean_value: 33.5"),
    "no mean": Case("crop_size: 32 scale: 0.00390625"),
    "no crop": Case("mean_value: 100 scale: 0.5", crop="40x44"),
    "mean file": Case('crop_size: 32 mean_file: "MEAN" scale: 0.1', mean_size=(3, 40, 44)),
    "mean file without crop": Case('mean_file: "MEAN"', mean_size=(3, 40, 44), crop="40x44"),
    "grey": Case("crop_size: 31 mean_value: 120", "new_height: 40 new_width: 44 is_color: false", (), 1, crop="31"),
    "grey mean file": Case(
        'crop_size: 30 mean_file: "MEAN"', "new_height: 40 new_width: 44 is_color: false", (1, 40, 44), 1, crop="30"
    ),
}


def write_case(case: Case, folder: Path) -> tuple[Path, list[Path]]:
    """Write images, list, mean file and train_val file."""
    paths = [folder / f"{k}.png" for k in range(4)]
    for k, path in enumerate(paths):
        cv2.imwrite(str(path), picture(k, (50 + 3 * k, 61)))
    (folder / "list.txt").write_text("".join(f"{path} {k}\n" for k, path in enumerate(paths)))
    if case.mean_size:
        values = np.random.default_rng(1).uniform(80, 140, case.mean_size).astype(np.float32)
        channels, height, width = case.mean_size
        blob = pb.BlobProto(num=1, channels=channels, height=height, width=width, data=values.ravel().tolist())
        (folder / "mean.binaryproto").write_bytes(blob.SerializeToString())
    transform = case.transform.replace("MEAN", str(folder / "mean.binaryproto"))
    prototxt = folder / "train_val.prototxt"
    prototxt.write_text(
        'name: "tv"\nlayer { name: "data" type: "ImageData" top: "data" top: "label"\n'
        f"  transform_param {{ {transform} }}\n"
        f'  image_data_param {{ source: "{folder}/list.txt" batch_size: 4 {case.image_data} }} }}\n'
        'layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 3 } }\n'
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }\n'
    )
    return prototxt, paths


def our_blobs(prototxt: Path, paths: list[Path], asked: Asked | None = None) -> tuple[np.ndarray, Protocol, Recipe]:
    recipe = Recipe.from_files(prototxt, prototxt, asked)
    _, own = image_input(Network.load(prototxt).inputs, str(prototxt))
    sizes, _ = choose_sizes(recipe.preprocessing, own)
    protocol = Protocol.of(sizes)
    grey = protocol.channels == 1
    pixels = [cut_views(as_image(path, grey=grey), protocol)[0].pixels for path in paths]
    batch = np.stack(pixels).reshape(len(paths), *protocol.crop_size, protocol.channels)
    return to_blob(batch, protocol.transform), protocol, recipe


def some(blob: np.ndarray) -> np.ndarray:
    """Return a few of a blob's values, from all over it."""
    return blob[:, :, 1::9, ::11].ravel()


def assert_same(ours: np.ndarray, wanted: np.ndarray, protocol: Protocol) -> None:
    # Another release of OpenCV may round a resized pixel the other way: one of 255, times the scale.
    step = 1.001 / min(protocol.std)
    assert ours.shape == wanted.shape
    assert np.abs(ours - wanted).max() <= step
    assert (np.abs(ours - wanted) > 0.01 * step).mean() < 0.02


def of_caffe(folders: dict[str, Path]) -> dict[str, np.ndarray]:
    """Return the blob that real Caffe's data layer makes, of each case."""
    python = oracle_python()
    assert python
    prototxts = [folder / "train_val.prototxt" for folder in folders.values()]
    subprocess.run([python, "-c", SCRIPT, *prototxts], check=True, capture_output=True, timeout=300)
    return {name: np.load(f"{path}.npy") for name, path in zip(folders, prototxts, strict=True)}


def write_cases(root: Path) -> dict[str, Path]:
    folders = {name: root / name.replace(" ", "_") for name in CASES}
    for name, folder in folders.items():
        folder.mkdir()
        write_case(CASES[name], folder)
    return folders


@pytest.mark.parametrize("name", CASES)
def test_the_network_sees_what_caffes_data_layer_gave(name, tmp_path):
    case = CASES[name]
    prototxt, paths = write_case(case, tmp_path)
    ours, protocol, recipe = our_blobs(prototxt, paths)
    assert (str(protocol.base_size), str(protocol.crop_size)) == (case.base, case.crop)
    assert any("of layer 'data' (train_val.prototxt:2)" in note for note in recipe.notes)
    assert_same(some(ours), np.array(json.loads(GOLDEN.read_text())[name], np.float32), protocol)


@requires_caffe
def test_the_network_sees_what_caffes_data_layer_gives(tmp_path):
    folders = write_cases(tmp_path)
    for name, wanted in of_caffe(folders).items():
        paths = [folders[name] / f"{k}.png" for k in range(4)]
        ours, protocol, _ = our_blobs(folders[name] / "train_val.prototxt", paths)
        assert_same(ours, wanted, protocol)


def test_what_is_asked_for_goes_before_the_file_and_a_difference_is_told(tmp_path):
    prototxt, paths = write_case(CASES["mean and scale"], tmp_path)
    blobs, _, recipe = our_blobs(prototxt, paths, Asked(mean=(10.0, 20.0, 30.0)))
    assert recipe.preprocessing.mean == (10.0, 20.0, 30.0)
    assert recipe.preprocessing.std == pytest.approx((1 / 0.017,) * 3)
    (warning,) = recipe.warnings
    assert "mean 10 20 30 is asked for, and layer 'data' (train_val.prototxt:2) says 104 117 123" in warning
    plain, _, _ = our_blobs(prototxt, paths)
    shift = (np.array([104, 117, 123]) - [10, 20, 30]) * 0.017
    np.testing.assert_allclose(blobs - plain, np.broadcast_to(shift[:, None, None], plain.shape), atol=1e-4)


def test_a_mean_file_that_is_not_here_is_an_error_that_says_what_to_give(tmp_path):
    prototxt, _ = write_case(CASES["mean file"], tmp_path)
    (tmp_path / "mean.binaryproto").unlink()
    with pytest.raises(UsageError, match=r"subtracts the mean file .*mean.binaryproto, which is not here; give --mean"):
        Recipe.from_files(prototxt, prototxt)
    assert Recipe.from_files(prototxt, prototxt, Asked(mean=(1.0,))).preprocessing.mean == (1.0, 1.0, 1.0)


def record(root: Path) -> None:
    """Write some values of what real Caffe gives, a line a case."""
    rows = {name: [round(float(v), 5) for v in some(blob)] for name, blob in of_caffe(write_cases(root)).items()}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(row, separators=(',', ':'))}" for name, row in rows.items())
    GOLDEN.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        record(Path(folder))
