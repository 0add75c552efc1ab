"""Networks of one's own, drawn, against real Caffe: in classify, evaluate, export, time and Python.

``python -m tests.evaluation.test_own_networks`` records what real Caffe gives.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffezoo.cli.main import main
from caffezoo.evaluation.asked import Asked
from caffezoo.evaluation.classification import Classification, classify
from caffezoo.evaluation.classifier import open_classifier
from caffezoo.evaluation.recipe import Recipe
from tests.drawn_networks import TAILS, draw, picture
from tests.oracle import caffe_outputs, oracle_python, requires_caffe

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "own_networks.json"
TOLERANCE = 2e-5
IMAGES, SEEDS = 3, 40


def pictures(net, seed):
    return [picture(1000 * seed + k, net.size, net.channels) for k in range(IMAGES)]


def of_caffe(net, image):
    """What real Caffe's blob of scores holds for an image, softmax applied where the network has none."""
    blobs = {name: list(values) for name, values in net.weights.items()}
    return net.scores(caffe_outputs(net.text, blobs, {"data": net.blob(image)}, [net.output])[net.output])


def flags(net, files):
    prototxt, weights = files
    return [
        *("--prototxt", prototxt, "--weights", weights, "--mean", *net.mean, "--std", *net.std),
        *("--engine", "onnxruntime"),
    ]


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    assert not caught.value.code, err
    return out, err


def in_python(net, files, images, engine="onnxruntime", **options):
    recipe = Recipe.from_files(*files, Asked(mean=net.mean, std=net.std))
    classifier = open_classifier(recipe, engine=engine, batch_size=2, **options)
    try:
        found = list(classify(classifier, images, top=1))
    finally:
        classifier.close()
    assert all(isinstance(outcome, Classification) for outcome in found)
    return [outcome.probabilities for outcome in found]


def wanted_scores():
    return json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("seed", range(SEEDS))
def test_scores_are_those_that_real_caffe_gave(seed, tmp_path):
    net = draw(seed)
    found = in_python(net, net.write(tmp_path), pictures(net, seed))
    np.testing.assert_allclose(found, wanted_scores()[seed], atol=TOLERANCE)


@requires_caffe
@settings(max_examples=40)
@given(st.integers(0, 2**31), st.sampled_from(TAILS))
def test_scores_are_those_of_real_caffe(tmp_path_factory, seed, tail):
    net = draw(seed, tail=tail)
    images = pictures(net, seed)
    found = in_python(net, net.write(tmp_path_factory.mktemp("net")), images)
    np.testing.assert_allclose(found, [of_caffe(net, image) for image in images], atol=TOLERANCE)


@requires_caffe
@pytest.mark.parametrize("tail", ["logits", "sigmoid", "average"])
def test_the_engine_caffe_gives_the_same(tail, tmp_path):
    net = draw(7, tail=tail)
    images = pictures(net, 7)
    found = in_python(net, net.write(tmp_path), images, "caffe", caffe_python=oracle_python())
    np.testing.assert_allclose(found, [of_caffe(net, image) for image in images], atol=TOLERANCE)


@pytest.mark.parametrize("seed", range(0, SEEDS, 4))
def test_every_verb_gives_the_same(seed, tmp_path, capsys):
    net = draw(seed)
    files, wanted = net.write(tmp_path), np.array(wanted_scores()[seed])
    (tmp_path / "images").mkdir()
    paths = [tmp_path / "images" / f"{k}.png" for k in range(IMAGES)]
    for path, image in zip(paths, pictures(net, seed), strict=True):
        cv2.imwrite(str(path), image)
    out, err = run(capsys, "classify", tmp_path / "images", *flags(net, files), "--json")
    found = json.loads(out)
    np.testing.assert_allclose([row["probabilities"] for row in found], wanted, atol=TOLERANCE)
    height, width = net.size
    size = f"{height}" if height == width else f"{height}x{width}"
    assert f"base size: {size} px, the crop's" in err
    labels = wanted.argmax(1)
    (tmp_path / "val.txt").write_text("".join(f"{p.name} {n}\n" for p, n in zip(paths, labels, strict=True)))
    data = ["--data", tmp_path / "images", "--val-file", tmp_path / "val.txt"]
    out, _ = run(capsys, "evaluate", *flags(net, files), *data, "--json")
    record = json.loads(out)
    assert record["top1_error"] == 0
    assert record["protocol"]["crop_size"] == (height if height == width else size)
    if net.auxiliary:
        assert f"'{net.auxiliary}'" in err
    onnx = tmp_path / "net.onnx"
    run(capsys, "export", *files, "--onnx", onnx, "--output", net.output)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
    exported = [net.scores(session.run([net.output], {"data": net.blob(image)})[0]) for image in pictures(net, seed)]
    np.testing.assert_allclose(exported, wanted, atol=TOLERANCE)
    out, _ = run(capsys, "time", files[0], "--iterations", "1", "--budget", "0.01", "--json", "--engine", "onnxruntime")
    assert json.loads(out)["crop_size"] == record["protocol"]["crop_size"]


def test_a_fully_connected_network_is_refused_at_another_size(tmp_path, capsys):
    net = draw(2, tail="softmax")
    files = net.write(tmp_path)
    cv2.imwrite(str(tmp_path / "a.png"), picture(1, (60, 70), net.channels))
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in ["classify", tmp_path / "a.png", *flags(net, files), "--crop-size", "40x30"]])
    err = capsys.readouterr().err
    assert caught.value.code == 1
    assert "layer 'fc' (InnerProduct): blob 0 has shape" in err
    assert "fully connected layers fit one input size, here 12x15 px, and 40x30" in err


@requires_caffe
def test_the_recorded_scores_are_real_caffes():
    for seed in range(0, SEEDS, 13):
        net = draw(seed)
        found = [of_caffe(net, image) for image in pictures(net, seed)]
        np.testing.assert_allclose(found, wanted_scores()[seed], atol=1e-6)


def record():
    """Write what real Caffe gives for the first seeds, a line a network."""
    rows = []
    for seed in range(SEEDS):
        net = draw(seed)
        rows.append([[round(float(v), 7) for v in of_caffe(net, image)] for image in pictures(net, seed)])
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    GOLDEN.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    record()
