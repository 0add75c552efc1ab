"""evaluate on data sets of every kind: the same pixels give the same predictions."""

import csv
import json

import cv2
import numpy as np
import pytest

from caffezoo.cli.main import main
from tests.cli.test_evaluate import COLOURS, MEAN, STD, write_network
from tests.data.conftest import FORMS, as_pickle


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def pictures():
    """(file name, JPEG, label): a mixture of colours each."""
    rng = np.random.default_rng(8)
    found = []
    for i in range(12):
        noise = rng.integers(0, 80, (40 + i, 52, 3))
        image = np.clip(np.array(COLOURS[i % 6]) * 0.8 + noise, 0, 255).astype(np.uint8)
        found.append((f"image {i:02}.JPEG", cv2.imencode(".jpg", image)[1].tobytes(), i % 5))
    return found


def evaluate(capsys, folder, *more):
    write_network(folder)
    flags = ["--prototxt", folder / "net.prototxt", "--weights", folder / "net.caffemodel", "--base-size", "36"]
    flags += ["--mean", *MEAN, "--std", *STD, "--per-image", folder / "images.csv", "--json"]
    with pytest.raises(SystemExit) as caught:
        main(["evaluate", *(str(f) for f in [*flags, *more])])
    out, err = capsys.readouterr()
    assert not caught.value.code, err
    with (folder / "images.csv").open() as stream:
        return json.loads(out), [{k: row[k] for k in row if k != "image"} for row in csv.DictReader(stream)]


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_gives_the_same_predictions(pictures, tmp_path, capsys, form):
    from caffezoo.data.opening import open_images

    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{name} {label}\n" for name, _, label in pictures))
    folder = FORMS["folder"](pictures, tmp_path / "plain")
    reference = evaluate(capsys, tmp_path, "--data", folder, "--val-file", listed)
    place = FORMS[form](pictures, tmp_path / "data")
    keys = [sample.key for sample in open_images(str(place))]
    listed.write_text("".join(f"{key} {label}\n" for key, (_, _, label) in zip(keys, pictures, strict=True)))
    more = ["--data-channel-order", "BGR"] if form == "pickle" else []
    found = evaluate(capsys, tmp_path, "--data", place, "--val-file", listed, *more)
    assert found[1] == reference[1]
    assert 0 < found[0]["top1_error"] < 100
    assert found[0]["confusion"] == reference[0]["confusion"]


def test_the_known_pickles_channels_are_exchanged(pictures, tmp_path, capsys):
    exchanged, straight = [], []
    for name, data, label in pictures:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        straight.append((name, cv2.imencode(".png", image)[1].tobytes(), label))
        exchanged.append((name, cv2.imencode(".png", image[:, :, ::-1])[1].tobytes(), label))
    one = evaluate(capsys, tmp_path, "--data", as_pickle(exchanged, tmp_path / "a"))
    other = evaluate(capsys, tmp_path, "--data", as_pickle(straight, tmp_path / "b"), "--data-channel-order", "BGR")
    assert one[1] == other[1]
