"""Networks of one's own on the command line: folders, lists, names, orders of channels, an index of one's own."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.formats import caffe_pb2 as pb
from tests.drawn_networks import Drawn, draw, picture

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = ["fern", "moss", "ivy", "oak"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CAFFEZOO_CACHE", str(tmp_path / "cache"))


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, err


@pytest.fixture
def net() -> Drawn:
    """A colour network of 112 x 96 px and four classes, with nothing but a scale before it."""
    drawn = draw(5, classes=4, tail="softmax", channels=3)
    text = re.sub(r"dim: \d+ dim: \d+ } }", "dim: 112 dim: 96 } }", drawn.text)
    features = drawn.weights["conv"][0].shape[0] * 55 * 47
    fc = np.random.default_rng(0).normal(0, 2 / features**0.5, (4, features)).astype(np.float32)
    weights = {**drawn.weights, "fc": [fc, np.zeros(4, np.float32)]}
    return replace(drawn, text=text, weights=weights, size=(112, 96), mean=(104.0, 117.0, 123.0), std=(58.8235,) * 3)


@pytest.fixture
def files(net, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net.write(tmp_path)
    (tmp_path / "photos" / "more").mkdir(parents=True)
    for k, name in enumerate(["photos/a.png", "photos/b c.png", "photos/more/d.png"]):
        cv2.imwrite(name, picture(k, (112, 96)))
    return tmp_path


def flags(*more, mean=("104", "117", "123"), std=("58.8235",)):
    base = ["--prototxt", "net.prototxt", "--weights", "net.caffemodel", "--engine", "onnxruntime"]
    return [*base, *(["--mean", *mean] if mean else []), *(["--std", *std] if std else []), *more]


def probabilities(capsys, *arguments):
    code, out, err = run(capsys, "classify", *arguments, "--json")
    assert code == 0, err
    return np.array([row["probabilities"] for row in json.loads(out)]), err


def test_a_folder_a_list_and_files_are_the_same_images(files, capsys):
    paths = ["photos/a.png", "photos/b c.png", "photos/more/d.png"]
    Path("list.txt").write_text("photos/a.png 3\nphotos/b c.png\n\nphotos/more/d.png\t1\n")
    Path("list.csv").write_text("photos/a.png,0\nphotos/b c.png,1\nphotos/more/d.png,2\n")
    wanted, err = probabilities(capsys, *paths, *flags())
    assert wanted.shape == (3, 4)
    assert "base size: 112x96 px, the crop's" in err
    for named in (["photos"], ["list.txt"], ["list.csv"], ["photos/a.png", "photos/b c.png", "photos/more"]):
        found, _ = probabilities(capsys, *named, *flags())
        np.testing.assert_array_equal(found, wanted)


def test_a_list_that_names_nothing_and_an_image_that_is_not_there(files, capsys):
    Path("empty.txt").write_text("\n\n")
    code, _, err = run(capsys, "classify", "empty.txt", *flags())
    assert (code, "empty.txt: names no image" in err) == (1, True)
    Path("list.txt").write_text("photos/a.png\nphotos/none.png\n")
    code, out, err = run(capsys, "classify", "list.txt", *flags())
    assert code == 1
    assert "photos/a.png" in out
    assert "photos/none.png: no such image" in err


def test_names_of_ones_own(files, capsys):
    Path("names.txt").write_text("\n".join(NAMES))
    _, out, _ = run(capsys, "classify", "photos/a.png", *flags("--labels", "names.txt", "--top", "4"))
    assert sorted(re.findall(r"^ +[\d.]+ % +\d +(\w+)$", out, re.M)) == sorted(NAMES)
    Path("names.txt").write_text("\n".join(NAMES[:3]))
    code, _, err = run(capsys, "classify", "photos/a.png", *flags("--labels", "names.txt"))
    assert (code, "3 names for the network's 4 classes" in err) == (1, True)


def test_a_thousand_outputs_are_not_imagenet_by_that_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = draw(1, classes=1000, tail="softmax", channels=3)
    net.write(tmp_path)
    cv2.imwrite("a.png", picture(0, net.size))
    _, out, _ = run(capsys, "classify", "a.png", *flags("--top", "1"))
    index = int(out.split()[-1])
    assert out.rstrip().endswith(f"{index}  class {index}")
    from caffezoo.zoo.synsets import synsets

    for order in ("2012", "2015"):
        _, out, _ = run(capsys, "classify", "a.png", *flags("--top", "1", "--network-order", order))
        assert out.rstrip().endswith(synsets(order)[index].names)


def test_red_first(net, files, capsys):
    """A network of red, green, blue sees what the other sees of an image whose red and blue are exchanged."""
    wanted, _ = probabilities(capsys, "photos/a.png", *flags())
    cv2.imwrite("turned.png", cv2.imread("photos/a.png")[..., ::-1])
    found, _ = probabilities(capsys, "turned.png", *flags("--channel-order", "RGB", mean=("123", "117", "104")))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_means_as_files_scales_and_numbers_are_the_same(net, files, capsys):
    wanted, _ = probabilities(capsys, "photos/a.png", *flags())
    image = np.array(net.mean, np.float32)[:, None, None] * np.ones((3, *net.size), np.float32)
    blob = pb.BlobProto(num=1, channels=3, height=112, width=96, data=image.ravel().tolist())
    Path("mean.binaryproto").write_bytes(blob.SerializeToString())
    np.save("mean.npy", image)
    np.save("means.npy", np.array(net.mean, np.float32))
    ways = {
        "for each pixel": flags(mean=("mean.binaryproto",)),
        "(112x96 px)": flags(mean=("mean.npy",)),
        "base size": flags(mean=("means.npy",)),
        "": flags("--scale", str(1 / 58.8235), std=()),
        " ": flags("--raw-scale", "1", mean=[str(v / 255) for v in net.mean], std=[str(58.8235 / 255)]),
    }
    for words, way in ways.items():
        found, err = probabilities(capsys, "photos/a.png", *way)
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        assert words.strip() in err
        assert "warning" not in err
    found, err = probabilities(capsys, "photos/a.png", *flags("--crops", "12", mean=("mean.npy",)))
    assert "is used as the mean of each channel, 104 117 123: 12 crops see other places" in err


def test_the_grey_network_reads_grey(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = draw(3, classes=4, tail="softmax", channels=1)
    net.write(tmp_path)
    grey = picture(0, net.size, 1)
    cv2.imwrite("grey.png", grey)
    cv2.imwrite("colour.png", cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    found, _ = probabilities(capsys, "grey.png", "colour.png", *flags(mean=["100"], std=["50"]))
    np.testing.assert_array_equal(found[0], found[1])
    code, _, err = run(capsys, "classify", "grey.png", *flags("--channel-order", "BGR", mean=["100"], std=["50"]))
    assert (code, "images have 1 channels" in err) == (2, True)


@pytest.mark.parametrize(
    ("size", "base", "words"),
    [
        ("31", "31", "the crop's, as for all inputs below 192 px"),
        ("224", "256", "the usual one for inputs of 192 to 256 px"),
    ],
)
def test_the_rule_that_gave_the_base_size_is_said(size, base, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = draw(4, classes=4, tail="average", channels=3)
    net.write(tmp_path)
    cv2.imwrite("a.png", picture(0, (300, 280)))
    _, err = probabilities(capsys, "a.png", *flags("--crop-size", size))
    assert f"base size: {base} px, {words}" in err
    code, _, err = run(capsys, "classify", "a.png", *flags("--crop-size", "300"))
    assert (code, "no base size is known for crop size 300; give --base-size 300" in err) == (2, True)


def documented_index() -> str:
    """The index that docs/own-networks.md shows."""
    text = (DOCS / "own-networks.md").read_text()
    return text[text.index("```yaml\n") + 8 : text.rindex("```\n")]


def test_the_documented_index_works_in_every_verb(net, files, capsys):
    Path("my.yaml").write_text(documented_index())
    Path("net.prototxt").rename("deploy.prototxt")
    given = ["--index", "my.yaml"]
    code, out, err = run(capsys, "show", "plants", *given)
    assert code == 0, err
    assert "base 128x110, crop 112x96 px" in out
    code, out, err = run(capsys, "classify", "photos/a.png", "--net", "plants", *given, "--json")
    assert code == 0, err
    assert {guess["label"] for guess in json.loads(out)[0]["top"]} == set(NAMES)
    Path("val.txt").write_text("photos/a.png 0\nphotos/b c.png 1\n")
    code, out, err = run(capsys, "evaluate", "--net", "plants", *given, "--data", "val.txt", "--json")
    assert code == 0, err
    protocol = json.loads(out)["protocol"]
    assert (protocol["base_size"], protocol["crop_size"]) == ("128x110", "112x96")
    code, out, err = run(capsys, "list", "plants", "--columns", "name,base,crop,gmacs", "--csv", *given)
    assert code == 0, err
    assert "plants,128x110,112x96," in out
    for more in (["--sort", "crop"], ["--where", "crop < 113 and base > 127", "--sort=-base"]):
        code, out, err = run(capsys, "list", "--columns", "name,crop", "--csv", *more, *given)
        assert code == 0, err
        assert "plants,112x96" in out
    budget = ["--iterations", "1", "--budget", "0.01", "--engine", "onnxruntime"]
    code, out, err = run(capsys, "time", "plants", *given, *budget, "--json")
    assert code == 0, err
    assert json.loads(out)["crop_size"] == "112x96"
    record = ["--record", "--results", "."]
    code, out, err = run(capsys, "evaluate", "--net", "plants", *given, "--data", "val.txt", *record)
    assert code == 0, err
    assert ",128x110,112x96," in Path("accuracy.csv").read_text()


def test_an_order_and_a_background_in_an_index(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = draw(6, classes=4, tail="softmax", channels=3)
    net.weights["fc"][1][0] -= 1000  # the background never wins
    net.write(tmp_path)
    size = "x".join(map(str, net.size))
    text = (
        documented_index().replace("deploy.prototxt", "net.prototxt").replace("128x110", size).replace("112x96", size)
    )
    labels = "labels: {order: outputs.txt, classes: 3, background: true}"
    Path("my.yaml").write_text(re.sub(r"labels: \{.*\}", labels, text))
    code, _, err = run(capsys, "show", "plants", "--index", "my.yaml")
    assert (code, "order: no such file" in err) == (1, True)
    Path("outputs.txt").write_text("n01440764 tench\nn01443537 goldfish\nn01484850 shark\n")
    cv2.imwrite("a.png", picture(0, net.size))
    code, out, err = run(capsys, "classify", "a.png", "--net", "plants", "--index", "my.yaml", "--json")
    assert code == 0, err
    (row,) = json.loads(out)
    assert len(row["probabilities"]) == 3
    assert {guess["label"] for guess in row["top"]} == {"tench", "goldfish", "shark"}
    Path("my.yaml").write_text(text.replace("mean: [104, 117, 123]", "mean: [104]"))
    code, _, err = run(capsys, "show", "plants", "--index", "my.yaml")
    assert (code, "mean has 1 values, and images of channel_order BGR have 3 channels" in err) == (1, True)


def test_weights_that_were_trained_on_are_taken_anew(net, files, capsys):
    """The file that an index names is copied into the cache, and its owner writes it again."""
    Path("my.yaml").write_text(documented_index())
    Path("net.prototxt").rename("deploy.prototxt")
    named = ["photos/a.png", "--net", "plants", "--index", "my.yaml"]
    first, _ = probabilities(capsys, *named)
    turned = {**net.weights, "fc": [net.weights["fc"][0][::-1].copy(), net.weights["fc"][1]]}
    net.write(files, turned)
    second, _ = probabilities(capsys, *named)
    np.testing.assert_allclose(second, first[:, ::-1], atol=1e-6)
    code, _, err = run(capsys, "fetch", "plants", "--index", "my.yaml")
    assert code == 0, err
    net.write(files)
    code, _, err = run(capsys, "fetch", "plants", "--index", "my.yaml")
    assert code == 0, err
    third, _ = probabilities(capsys, *named)
    np.testing.assert_allclose(third, first, atol=1e-6)
