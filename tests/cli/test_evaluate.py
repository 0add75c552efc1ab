"""The commands evaluate and classify from flags to output, on a small real network in files."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffezoo.cli.main import main
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.formats.datum import write_datum
from caffezoo.net.graph import Network
from caffezoo.report.store import Store
from caffezoo.zoo.synsets import label_permutation

PROTOTXT = """
name: "colours"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "mean" top: "fc" inner_product_param { num_output: %d } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
MEAN, STD = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)
COLOURS = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (240, 240, 240), (5, 5, 5), (250, 250, 10)]


def write_network(folder, classes=6):
    """A network whose class k is the k-th colour: logits are minus squared distances to the normalised colours."""
    (folder / "net.prototxt").write_text(PROTOTXT % classes)
    network = Network.load(folder / "net.prototxt")
    points = (np.array(COLOURS[:classes], np.float32) - MEAN) / STD
    weights = {"fc": [(2 * points).astype(np.float32), -(points**2).sum(1).astype(np.float32)]}
    write_caffemodel(folder / "net.caffemodel", network.prototxt.net, weights)


@pytest.fixture
def files(tmp_path):
    """Flags of the network, a folder of images in which each shows its class's colour, and a list."""
    write_network(tmp_path)
    images = tmp_path / "images"
    images.mkdir()
    for k, colour in enumerate(COLOURS):
        picture = np.full((40 + k, 50, 3), colour, np.uint8)
        (images / f"{k}.jpg").write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
    (tmp_path / "val.txt").write_text("".join(f"{k}.jpg {k}\n" for k in range(6)))
    return tmp_path


def network_flags(folder):
    numbers = [str(v) for v in MEAN]
    return [
        *("--prototxt", str(folder / "net.prototxt"), "--weights", str(folder / "net.caffemodel")),
        *("--mean", *numbers, "--std", *(str(v) for v in STD), "--base-size", "36"),
    ]


def data_flags(folder):
    return ["--data", str(folder / "images"), "--val-file", str(folder / "val.txt")]


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, err


def test_evaluate_prints_errors_with_intervals(files, capsys):
    lines = (files / "val.txt").read_text().replace("2.jpg 2", "2.jpg 4")
    (files / "val.txt").write_text(lines)
    status, out, err = run(capsys, "evaluate", *network_flags(files), *data_flags(files))
    assert (status, err) == (0, "")
    assert "top-1 error  16.67 %  [3.01, 56.35] at 95 %  (1 of 6)" in out
    assert "top-5 error  0.00 %" in out
    assert "1 crop of 32 px, short side 36 px" in out
    assert "mean 100 110 120, std 50 60 70 (B, G, R)" in out


@pytest.mark.parametrize("crops", ["1", "12"])
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_evaluate_json_is_one_line(files, capsys, crops, engine):
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime")
    flags = ["--crops", crops, "--engine", engine, "--batch-size", "4", "--json"]
    status, out, _ = run(capsys, "evaluate", *network_flags(files), *data_flags(files), *flags)
    assert status == 0
    assert out.count("\n") == 1
    record = json.loads(out)
    assert (record["top1_error"], record["top5_error"], record["images"]) == (0, 0, 6)
    assert (record["engine"], record["precision"], record["protocol"]["crops"]) == (engine, "float32", int(crops))
    assert engine in record["versions"]


def test_record_keeps_the_run_and_what_was_taken_for_what(files, capsys):
    lines = (files / "val.txt").read_text().replace("2.jpg 2", "2.jpg 4")
    (files / "val.txt").write_text(lines)
    store = files / "results"
    flags = [*network_flags(files), *data_flags(files), "--record", "--results", store]
    status, _, err = run(capsys, "evaluate", *flags)
    assert (status, "no such folder" in err) == (2, True)
    store.mkdir()
    status, out, err = run(capsys, "evaluate", *flags)
    assert (status, "top-1 error  16.67 %" in out) == (0, True), err
    (row,) = Store(store).accuracy().rows
    assert err == f"caffezoo: {store / 'accuracy.csv'}: added run {row.run}\n"
    confusion = [(c.run, c.label, c.guess, c.images) for c in Store(store).confusion().rows]
    assert confusion == [(row.run, *taken, 1) for taken in ((0, 0), (1, 1), (3, 3), (4, 2), (4, 4), (5, 5))]
    assert run(capsys, "results", "check", "--results", store)[0] == 0


def test_how_it_spread_over_the_cores_is_said(files, capsys):
    flags = [*network_flags(files), *data_flags(files), "--batch-size", 2, "--threads", 1, "--workers", 3]
    assert ", 1 thread, batch 2, decoding in 3 threads\n" in run(capsys, "evaluate", *flags)[1]
    assert (
        ", 2 streams, 2 threads, batch 1,"
        in run(capsys, "evaluate", *flags[:-6], "--batch-size", 1, "--streams", 2, "--threads", 2)[1]
    )


def test_a_killed_evaluation_goes_on_with_the_same_command(files):
    for i in range(6, 6000):
        (files / f"images/{i}.jpg").hardlink_to(files / f"images/{i % 6}.jpg")
    (files / "val.txt").write_text("\n".join(f"{i}.jpg {i % 6}" for i in range(6000)))
    command = [sys.executable, "-m", "caffezoo", "evaluate", *network_flags(files), *data_flags(files), "--json"]
    command += ["--run", str(files / "run")]
    options = {"env": {**os.environ, "CAFFEZOO_CACHE": str(files / "cache")}, "text": True}
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    end = time.monotonic() + 400  # only a run that hangs comes there; a busy machine takes its time
    shards = files / "run/shards"
    while not list(shards.glob("*.json")):
        assert running.poll() is None
        assert time.monotonic() < end
    running.kill()
    running.wait()
    done = len(list(shards.glob("*.json"))) * 128
    assert 128 <= done < 6000
    finished = subprocess.run(command, capture_output=True, check=True, **options)
    assert f"going on after {done} of 6000 images (--no-resume starts anew)" in finished.stderr
    record = json.loads(finished.stdout)
    assert (record["images"], record["top1_error"]) == (6000, 0)
    assert record["confusion"] == [[k, k, 1000] for k in range(6)]
    summary = (files / "run/summary.json").read_bytes()
    again = subprocess.run([*command, "--no-resume"], capture_output=True, check=True, **options)
    assert "going on" not in again.stderr
    assert (files / "run/summary.json").read_bytes() == summary


def test_without_a_directory_nothing_is_left(files, capsys, monkeypatch):
    monkeypatch.setenv("CAFFEZOO_CACHE", str(files / "cache"))
    assert run(capsys, "evaluate", *network_flags(files), *data_flags(files))[0] == 0
    assert list((files / "cache/evaluations").iterdir()) == []


def test_two_protocols_of_a_sweep_and_what_became_of_every_image(files, capsys):
    flags = [*network_flags(files), *data_flags(files), "--crop-sizes", "32..36:4", "--run", files / "run"]
    status, out, err = run(capsys, "evaluate", *flags, "--per-image", files / "images.csv")
    assert (status, err) == (0, "")
    assert [line.split()[:5] for line in out.splitlines()[2:]] == [
        ["net", "1", "crop", "36/32", "0.00"],
        ["net", "1", "crop", "36/36", "0.00"],
    ]
    rows = (files / "images.csv").read_text().splitlines()
    assert len(rows) == 13
    assert rows[0].startswith("network,protocol,image,label,rank,class_1,probability_1,class_2")
    assert rows[3].startswith(f"net,1 crop 36/32,{files / 'images/2.jpg'},2,0,2,")
    assert sorted(p.name for p in (files / "run").iterdir()) == ["net_1_crop_36_32", "net_1_crop_36_36"]
    parquet = pytest.importorskip("pyarrow.parquet")
    status, _, err = run(capsys, "evaluate", *flags, "--per-image", files / "images.parquet")
    assert "going on after 12 of 12 images" in err
    table = parquet.read_table(files / "images.parquet").to_pylist()
    assert [(row["label"], row["rank"], row["class_1"]) for row in table] == [(k, 0, k) for k in [*range(6)] * 2]
    status, _, err = run(capsys, "evaluate", *flags, "--per-image", files / "images.txt")
    assert (status, "is no table that can be written" in err) == (2, True)


def test_a_network_that_slides_and_scales_stand_in_the_protocol(files, capsys):
    store = files / "results"
    store.mkdir()
    flags = [*network_flags(files), *data_flags(files), "--record", "--results", store]
    status, out, err = run(capsys, "evaluate", *flags, "--fully-convolutional")
    assert (status, "fully convolutional, the centre of 36 px, short side 36 px" in out) == (0, True), err
    assert "top-1 error  0.00 %" in out
    status, out, err = run(capsys, "evaluate", *flags, "--scales", "34,40", "--mirror")
    assert (status, "4 crops of 32 px, short side 34 + 40 px" in out) == (0, True), err
    protocols = [(row.crops, row.protocol) for row in Store(store).accuracy().rows]
    assert protocols == [(1, "fully convolutional 36/36"), (4, "4 crops 34+40/32")]
    status, _, err = run(capsys, "evaluate", *flags, "--fully-convolutional", "--crops", "12")
    assert (status, "sees the whole image once, not 12 crops of it" in err) == (2, True)


GREY = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 28 dim: 28 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean" pooling_param { pool: AVE global_pooling: true } }
layer { name: "ip" type: "InnerProduct" bottom: "mean" top: "ip" inner_product_param { num_output: 2 } }
"""


def test_two_classes_of_grey_digits_in_a_database(files, capsys):
    """A network of 28 x 28 grey pixels that ends in its InnerProduct, on raw Datum records."""
    lmdb = pytest.importorskip("lmdb")
    (files / "grey.prototxt").write_text(GREY)
    network = Network.load(files / "grey.prototxt")
    weights = {"ip": [np.array([[-1], [1]], np.float32), np.array([128, -128], np.float32)]}
    write_caffemodel(files / "grey.caffemodel", network.prototxt.net, weights)
    with (
        lmdb.open(str(files / "digits"), map_size=1 << 22) as environment,
        environment.begin(write=True) as transaction,
    ):
        for i, level in enumerate((20, 240, 90, 200, 110)):
            label = int(level > 128) if i else 1
            record = write_datum(bytes([level]) * 28 * 28, label, shape=(1, 28, 28))
            transaction.put(f"{i:08}".encode(), record)
    flags = ["--prototxt", files / "grey.prototxt", "--weights", files / "grey.caffemodel", "--mean", "0"]
    status, out, err = run(capsys, "evaluate", *flags, "--data", files / "digits", "--crops", "1", "--json")
    assert status == 0, err
    record = json.loads(out)
    assert (record["images"], record["top1_error"], record["top5_error"]) == (5, 20, None)
    assert (record["output"], record["protocol"]["channel_order"]) == ("ip_softmax", "grey")


def test_label_sets_of_lists(files, capsys):
    (files / "other.txt").write_text("".join(f"{k}.jpg {(k + 1) % 6 if k < 3 else k}\n" for k in range(5)))
    flags = [*network_flags(files), *data_flags(files), "--labels", f"{files / 'other.txt'}"]
    status, out, err = run(capsys, "evaluate", *flags)
    assert (status, err) == (0, "")
    assert "top-1 error  60.00 %" in out
    assert "(3 of 5)" in out
    status, _, err = run(capsys, "evaluate", *flags[:-1], "2013")
    assert (status, "unknown label set '2013'" in err) == (2, True)
    status, _, err = run(capsys, "evaluate", *flags[:-1], "2012")
    assert (status, "--labels 2012 are ImageNet's, and this network has other classes" in err) == (2, True)


def test_published_label_sets_of_validation_images(files, capsys, monkeypatch):
    known = write_imagenet(files, "2012")
    real = [[], [known[1]], [0, known[2]], [1], [known[4]], [known[5]]]
    monkeypatch.setattr("caffezoo.data.label_sets.real_labels", lambda cache=None: tuple(map(tuple, real)))
    flags = [*network_flags(files), "--data", str(files / "images"), "--labels", "2012,real", "--json"]
    status, out, _ = run(capsys, "evaluate", *flags, "--network-order", "2012")
    assert status == 0
    found = [(s["name"], s["images"], s["top1_error"]) for s in json.loads(out)["label_sets"]]
    assert found == [("2012", 6, 0), ("real", 5, 20)]


def test_results_without_record(files, capsys):
    status, _, err = run(capsys, "evaluate", *network_flags(files), *data_flags(files), "--results", files)
    assert (status, "--results is for --record" in err) == (2, True)


def test_unreadable_images_are_told_and_strict_stops(files, capsys):
    (files / "images/2.jpg").write_text("<html>")
    status, out, err = run(capsys, "evaluate", *network_flags(files), *data_flags(files))
    assert status == 0
    assert "5 images, 1 unreadable" in out
    assert "2.jpg: a text page (HTML or XML), not an image" in err
    assert "1 of 6 images are unreadable and not in the error rates" in err
    status, out, err = run(capsys, "evaluate", *network_flags(files), *data_flags(files), "--strict")
    assert (status, out) == (1, "")
    assert err.startswith("caffezoo: error: ")
    assert err.count("\n") == 1


def without(flags, name, values=1):
    at = flags.index(name)
    return flags[:at] + flags[at + 1 + values :]


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (lambda f: [], 2, "which network?; give a name of the zoo, or --prototxt FILE"),
        (lambda f: [*f, "--net", "efficientnet-lite0"], 2, "the network is named twice"),
        (lambda f: without(f, "--weights"), 2, "a prototxt file needs --weights FILE"),
        (lambda f: without(f, "--mean", 3), 2, "give --mean B G R"),
        (lambda f: [*without(f, "--mean", 3), "--mean", "nan", "0", "0"], 2, "holds a value that is not finite"),
        (lambda f: [*without(f, "--std", 3), "--std", "1", "0", "1"], 2, "holds a value that is not above 0"),
        (lambda f: [*without(f, "--weights"), "--weights", "none.caffemodel"], 2, "none.caffemodel: no such file"),
        (lambda f: [*f, "--crops", "7"], 2, "7 crops are no protocol; choose 1, 10, 12, 144, or k x k"),
        (lambda f: [*f, "--crops", "144"], 2, "144 crops are not defined for crop size 32"),
        (lambda f: [*f, "--crop-size", "37"], 2, "crop size 37 does not fit into base size 36"),
        (lambda f: [*f, "--crop-size", "300", "--base-size", "9999"], 2, "base size 9999 is not in 1..4096"),
        (lambda f: [*f, "--resize", "long"], 2, "resize mode 'long' is unknown"),
        (lambda f: [*f, "--engine", "openvin"], 2, "unknown engine 'openvin'; did you mean openvino?"),
        (lambda f: [*f, "--precision", "int7"], 2, "unknown precision 'int7'"),
        (lambda f: [*f, "--batch-size", "0"], 2, "batch size 0"),
        (lambda f: [*f, "--threads", "0"], 2, "0 threads"),
        (lambda f: [*f, "--limit", "0"], 2, "limit 0 is below 1"),
        (lambda f: [*f, "--data", "nowhere"], 1, "nowhere: no such folder or list"),
        (lambda f: [*f, "--data", "sample"], 2, "--data sample has its own labels"),
    ],
)
def test_wrong_flags_are_one_line(files, capsys, change, status, message):
    flags = change(network_flags(files))
    code, out, err = run(capsys, "evaluate", *data_flags(files), *flags)
    assert (code, out) == (status, "")
    assert message in err
    assert err.count("\n") == 1


def test_labels_that_the_network_does_not_have(files, capsys):
    write_network(files, classes=4)
    status, _, err = run(capsys, "evaluate", *network_flags(files), *data_flags(files))
    assert status == 1
    assert "val.txt:5: label 4 is out of range: the network has 4 classes, 0..3" in err
    (files / "val.txt").write_text("0.jpg 0\n1.jpg 2\n")
    status, out, _ = run(capsys, "evaluate", *network_flags(files), *data_flags(files))
    assert status == 0
    assert "top-1 error  50.00 %" in out
    assert "top-5" not in out  # four classes have none


def test_classify(files, capsys):
    images = [files / f"images/{k}.jpg" for k in (3, 1)]
    status, out, _ = run(capsys, "classify", *images, *network_flags(files), "--top", "2")
    assert status == 0
    lines = out.splitlines()
    assert (lines[0], lines[3]) == (str(images[0]), str(images[1]))
    assert lines[1].split()[1:] == ["%", "3", "class", "3"]
    status, out, err = run(
        capsys, "classify", images[0], files / "none.jpg", images[1], *network_flags(files), "--json"
    )
    assert status == 1
    assert err == f"caffezoo: error: {files / 'none.jpg'}: no such image\n"
    found = json.loads(out)
    assert [(f["image"], f["top"][0]["index"]) for f in found] == [(str(images[0]), 3), (str(images[1]), 1)]
    assert all(len(f["top"]) == 5 and sum(f["probabilities"]) == pytest.approx(1, abs=1e-5) for f in found)


def test_the_door_is_the_command(files):
    door = Path(__file__).parents[2] / "cls/evaluation_cls.py"
    command = [sys.executable, door, *network_flags(files), *data_flags(files), "--json"]
    finished = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True)
    assert json.loads(finished.stdout)["images"] == 6


def write_imagenet(folder, order, background=False):
    """A network of ImageNet's classes that knows six of them by their colour, and images that names prove."""
    classes = 1000 + background
    known = [65, 970, 230, 809, 516, 57]  # the labels in 2012 order of the first images of the validation set
    outputs = [label_permutation("2012", order)[label] + background for label in known]
    (folder / "net.prototxt").write_text(PROTOTXT % classes)
    points = (np.array(COLOURS, np.float32) - MEAN) / STD
    weights, bias = np.zeros((classes, 3), np.float32), np.full(classes, -1e4, np.float32)
    weights[outputs], bias[outputs] = 2 * points, -(points**2).sum(1)
    write_caffemodel(
        folder / "net.caffemodel", Network.load(folder / "net.prototxt").prototxt.net, {"fc": [weights, bias]}
    )
    for k in range(6):
        (folder / f"images/{k}.jpg").rename(folder / f"images/ILSVRC2012_val_0000000{k + 1}.JPEG")
    return known


def write_list(folder, labels):
    text = "".join(f"ILSVRC2012_val_0000000{k + 1}.JPEG {label}\n" for k, label in enumerate(labels))
    (folder / "val.txt").write_text(text)


@pytest.mark.parametrize("network", ["2012", "2015"])
@pytest.mark.parametrize("listed", ["2012", "2015"])
def test_a_list_of_either_order_for_a_network_of_either_order(files, capsys, network, listed):
    known = write_imagenet(files, network)
    write_list(files, [label_permutation("2012", listed)[label] for label in known])
    flags = [*network_flags(files), *data_flags(files), "--network-order", network, "--json"]
    status, out, err = run(capsys, "evaluate", *flags)
    record = json.loads(out)
    assert (status, record["top1_error"], record["label_order"]) == (0, 0, network)
    assert ("labels are converted from the order of" in err) == (network != listed)
    # Without the flag the list is believed as it stands; where the network is of another order, the answers say so.
    status, out, err = run(capsys, "evaluate", *network_flags(files), *data_flags(files), "--json")
    record = json.loads(out)
    assert (status, record["top1_error"]) == (0, 0 if network == listed else 100)
    assert f"taken to be in the order of {listed}, as the list does" in err
    assert any(f"--network-order {network}" in warning for warning in record["warnings"]) == (network != listed)


@pytest.mark.parametrize("limit", [[], ["--limit", "1"]])
def test_labels_counted_from_one_contradict_the_names(files, capsys, limit):
    known = write_imagenet(files, "2012")
    write_list(files, [label + 1 for label in known])
    status, out, err = run(capsys, "evaluate", *network_flags(files), *data_flags(files), *limit)
    assert (status, out) == (1, "")
    assert "val.txt:1: label 66 contradicts the name ILSVRC2012_val_00000001.JPEG" in err
    assert "give --labels-from 1" in err
    status, out, err = run(capsys, "evaluate", *network_flags(files), *data_flags(files), *limit, "--labels-from", "1")
    assert (status, "top-1 error  0.00 %" in out) == (0, True)


def test_a_background_that_comes_first(files, capsys):
    known = write_imagenet(files, "2012", background=True)
    write_list(files, known)
    status, out, err = run(capsys, "evaluate", *network_flags(files), *data_flags(files))
    assert (status, out) == (1, "")
    assert "1000 classes, and the network has 1001 outputs" in err
    flags = [*network_flags(files), "--drop-background", "--json"]
    status, out, err = run(capsys, "evaluate", *flags, *data_flags(files))
    record = json.loads(out)
    assert (status, record["top1_error"], record["classes"], record["drop_background"]) == (0, 0, 1000, True)
    image = files / "images/ILSVRC2012_val_00000001.JPEG"
    status, out, err = run(capsys, "classify", image, *flags, "--network-order", "2012")
    (shown,) = json.loads(out)
    assert shown["top"][0]["index"] == 65
    assert shown["top"][0]["label"].startswith("sea snake")
    assert len(shown["probabilities"]) == 1000
    status, out, err = run(capsys, "classify", image, *flags)
    assert json.loads(out)[0]["top"][0]["label"] == "class 65"


def test_names_of_ones_own_classes(files, capsys):
    (files / "names.txt").write_text("blue\ngreen\nred\nwhite\nn01440764 black\n\nteal\n")
    status, out, err = run(
        capsys, "classify", files / "images/4.jpg", *network_flags(files), "--labels", files / "names.txt"
    )
    assert (status, err) == (0, "")
    assert out.splitlines()[1].split()[-2:] == ["4", "black"]
    (files / "names.txt").write_text("blue\n")
    status, out, err = run(
        capsys, "classify", files / "images/4.jpg", *network_flags(files), "--labels", files / "names.txt"
    )
    assert (status, "1 names for the network's 6 classes" in err) == (1, True)


def test_the_blob_of_scores_is_named_and_can_be_chosen(files, capsys):
    text = (files / "net.prototxt").read_text()
    other = 'layer { name: "other" type: "Softmax" bottom: "fc" top: "other" }\n'
    (files / "net.prototxt").write_text(text.replace("prob", "main") + other)
    status, out, err = run(capsys, "evaluate", *network_flags(files), *data_flags(files))
    assert (status, "scores from 'other'" in out) == (0, True)
    assert "note: scores are taken from 'other' because it stands last; nothing tells it from 'main' (--output" in err
    flags = [*network_flags(files), "--output", "fc", "--json"]
    assert json.loads(run(capsys, "evaluate", *data_flags(files), *flags)[1])["output"] == "fc_softmax"
    assert json.loads(run(capsys, "classify", files / "images/4.jpg", *flags)[1])[0]["output"] == "fc_softmax"
    status, out, err = run(capsys, "evaluate", *network_flags(files), *data_flags(files), "--output", "man")
    assert (status, "unknown blob 'man'; did you mean" in err) == (2, True)
