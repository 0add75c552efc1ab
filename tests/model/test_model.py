"""A model sees images and runs on arrays: values, forms of input, threads, processes, memory, and what cannot be."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import shutil
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import caffezoo
from caffezoo.engines.seeding import seeded_weights
from caffezoo.errors import (
    BindingError,
    EngineError,
    ImageError,
    NetworkError,
    UnknownNameError,
    UsageError,
    ZooError,
)
from caffezoo.evaluation.classification import Classification
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.model.engine_pool import KEPT_ENGINES
from caffezoo.model.loading import load
from caffezoo.model.model import Model
from caffezoo.net.graph import Network
from caffezoo.zoo.index import load_index
from tests.model.conftest import SIGHT


def by_hand(model: Model, image: np.ndarray) -> np.ndarray:
    """The example network in numpy, on one preprocessed image (3, 32, 32)."""
    kernel, bias = (np.asarray(b, np.float64) for b in model.weights["conv"])
    windows = np.lib.stride_tricks.sliding_window_view(image.astype(np.float64), (3, 3), axis=(1, 2))
    conv = np.einsum("chwij,ocij->ohw", windows, kernel) + bias[:, None, None]
    fc, fc_bias = model.weights["fc"]
    logits = fc @ np.maximum(conv, 0).mean((1, 2)) + fc_bias
    powers = np.exp(logits - logits.max())
    return np.asarray(powers / powers.sum())


def test_predict_is_preprocessing_and_forward(model: Model, folder: Path) -> None:
    seen = model.predict(folder / "photo.jpg", top=3)
    assert isinstance(seen, Classification)
    blob = model.preprocess(folder / "photo.jpg")
    assert blob.shape == (1, 3, 32, 32)
    expected = by_hand(model, blob[0])
    np.testing.assert_allclose(seen.probabilities, expected, rtol=1e-4)
    np.testing.assert_allclose(model.forward(data=blob)["prob"][0], expected, rtol=1e-4)
    assert [guess.index for guess in seen.top] == np.argsort(-expected)[:3].tolist()


def test_an_image_is_the_same_in_every_form(model: Model, folder: Path) -> None:
    from PIL import Image

    path = folder / "0.png"
    pixels = cv2.imread(str(path))
    forms = [path, str(path), path.read_bytes(), pixels, Image.open(path), Image.fromarray(pixels[..., ::-1].copy())]
    values = [seen.probabilities for seen in model.predict(forms)]
    for other in values[1:]:
        np.testing.assert_array_equal(values[0], other)
    one = model.predict(pixels).probabilities
    np.testing.assert_allclose(one, values[0], rtol=1e-5)
    stack = model.predict(np.stack([pixels, pixels]))
    assert [type(seen) for seen in stack] == [Classification] * 2


def test_an_iterator_is_read_as_results_are_taken(model: Model, folder: Path) -> None:
    asked: list[int] = []

    def images() -> Any:
        for i in range(10**9):
            asked.append(i)
            yield folder / "photo.jpg"

    seen = model.predict(images())
    first = next(seen)
    assert first.top[0].label == f"class {first.top[0].index}"
    assert len(asked) < 100
    seen.close()


def test_features_are_the_blobs_of_a_forward_pass(model: Model, folder: Path) -> None:
    names = [folder / f"{i % 3}.png" for i in range(11)]
    found = model.features(names, "pool")
    assert found.shape == (11, 8, 1, 1)
    blobs = np.concatenate([model.preprocess(name) for name in names])
    np.testing.assert_allclose(found, model.forward(blobs, blobs=["pool"])["pool"], rtol=1e-4, atol=1e-5)
    one = model.features(names[1], "pool")
    np.testing.assert_allclose(one, found[1], rtol=1e-5)
    lazily = model.features(iter(names), "pool")
    np.testing.assert_array_equal(next(lazily), found[0])
    assert model.features([], "conv").shape == (0, 8, 30, 30)


@pytest.mark.parametrize("order", ["BGR", "RGB"])
@pytest.mark.parametrize("preset", ["small", "large"])
def test_a_transform_is_the_entrys_preprocessing(order: str, preset: Any, folder: Path) -> None:
    entry = caffezoo.network("dpn-92")
    entry = entry.model_copy(update={"input": entry.input.model_copy(update={"channel_order": order})})
    transform = caffezoo.create_transform(entry, preset)
    image = cv2.imread(str(folder / "photo.jpg"))
    np.testing.assert_array_equal(transform(folder / "photo.jpg")[np.newaxis], entry.preprocess(image, preset))
    assert order in repr(transform)
    assert pickle.loads(pickle.dumps(transform)) == transform


def test_rgb_networks_see_rgb(model: Model, folder: Path) -> None:
    assert model.recipe is not None
    turned = replace(model.recipe.preprocessing, channel_order="RGB")
    rgb = Model(model.network, replace(model.recipe, preprocessing=turned), model.options)
    blob = rgb.preprocess(folder / "0.png")
    np.testing.assert_array_equal(blob[:, ::-1], model.preprocess(folder / "0.png"))
    for batch in ([folder / "0.png"], [folder / "0.png"] * 9):
        expected = rgb.forward(np.concatenate([blob] * len(batch)), blobs=["conv", "prob"])
        seen = np.stack([found.probabilities for found in rgb.predict(batch)])
        np.testing.assert_allclose(seen, expected["prob"], rtol=1e-4)
        np.testing.assert_allclose(rgb.features(batch, "conv"), expected["conv"], rtol=1e-3, atol=1e-3)


def test_grey_networks_and_mean_files(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "grey.prototxt").write_text("""
        input: "data" input_shape { dim: 1 dim: 1 dim: 28 dim: 20 }
        layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param { num_output: 4 } }
        layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }""")
    network = Network.load(tmp_path / "grey.prototxt")
    write_caffemodel(tmp_path / "grey.caffemodel", network.prototxt.net, seeded_weights(network)[0])
    np.save(tmp_path / "mean.npy", np.full((1, 28, 20), 7.5, np.float32))
    for mean in (7.5, tmp_path / "mean.npy"):
        model = load(
            tmp_path / "grey.prototxt", tmp_path / "grey.caffemodel", mean=mean, scale=1 / 256, resize="squash"
        )
        blob = model.preprocess(folder / "0.png")
        pixels = cv2.resize(cv2.imread(str(folder / "0.png"), cv2.IMREAD_GRAYSCALE), (20, 28))
        np.testing.assert_allclose(blob[0, 0], (pixels - 7.5) / 256, rtol=1e-6)
        expected = model.forward(blob, blobs=["fc", "prob"])
        images = [folder / "0.png"] * 9
        np.testing.assert_allclose(model.predict(images)[8].probabilities, expected["prob"][0], rtol=1e-4)
        np.testing.assert_allclose(model.features(images, "fc")[8], expected["fc"][0], rtol=1e-3, atol=1e-3)


def test_forward_takes_whatever_shapes_the_network_takes(model: Model) -> None:
    rng = np.random.default_rng(1)
    for shape in ((1, 3, 32, 32), (3, 3, 32, 32), (2, 3, 20, 25)):
        data = rng.normal(0, 1, shape)
        found = model.forward(data=data, blobs=["conv", "prob"])
        assert list(found) == ["conv", "prob"]
        assert found["conv"].shape == (shape[0], 8, shape[2] - 2, shape[3] - 2)
        for row, image in zip(found["prob"], data, strict=True):
            np.testing.assert_allclose(row, by_hand(model, image), rtol=1e-4)
    assert model.inputs == {"data": (1, 3, 32, 32)}
    assert model.outputs == {"prob": (1, 10)}


def test_an_input_that_the_blobs_do_not_need_may_be_missing() -> None:
    network = Network.from_text("""
        input: "data" input_shape { dim: 2 dim: 3 } input: "label" input_shape { dim: 2 }
        layer { name: "twice" type: "Power" bottom: "data" top: "twice" power_param { scale: 2 } }
        layer { name: "loss" type: "SoftmaxWithLoss" bottom: "twice" bottom: "label" top: "loss" }""")
    model = Model(network)
    data = np.ones((5, 3))
    np.testing.assert_array_equal(model.forward(data=data, blobs=["twice"])["twice"], 2 * data)
    assert model.forward(data=data, label=np.zeros(5), blobs=["twice"])["twice"].shape == (5, 3)
    np.testing.assert_allclose(model.forward({"data": data, "label": np.zeros(5)})["loss"], np.log(3), rtol=1e-5)
    with pytest.raises(EngineError, match="input 'label' is missing"):
        model.forward(data=data)
    with pytest.raises(UsageError, match="give all by name"):
        model.forward(data)


def test_a_label_that_nothing_reads_is_no_output(folder: Path, tmp_path: Path) -> None:
    text = (folder / "deploy.prototxt").read_text()
    label = 'layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 1 } } }'
    (tmp_path / "net.prototxt").write_text(text + label)
    model = load(tmp_path / "net.prototxt", folder / "net.caffemodel")
    assert model.network.outputs == ("prob", "y")
    assert list(model.forward(data=np.ones((1, 3, 32, 32)))) == ["prob"]
    assert list(model.forward(y=[3.0], blobs=["y"])) == ["y"]


@given(array_shapes(min_dims=0, max_dims=5, max_side=4))
def test_shapes_that_do_not_fit_are_refused(shape: tuple[int, ...]) -> None:
    network = Network.from_text("""
        input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 }
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
                convolution_param { num_output: 2 kernel_size: 5 bias_term: false } }""")
    network = network.with_weights({"conv": [np.ones((2, 3, 5, 5), np.float32)]})
    with pytest.raises(ZooError):
        Model(network).forward(np.zeros(shape))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.full((1, 3, 32, 32), np.nan), "not finite"),
        (np.array("text"), "is no blob"),
        (np.zeros((0, 3, 32, 32)), "is no blob"),
        (np.array([object()]), "is no blob"),
        ([[1, 2], [3]], "is no array"),
        (np.zeros((1, 3, 32, 32), complex), "is no blob"),
    ],
)
def test_values_that_are_no_blob_are_refused(model: Model, values: Any, message: str) -> None:
    with pytest.raises(EngineError, match=message):
        model.forward(data=values)


def test_what_cannot_be(model: Model, folder: Path) -> None:
    with pytest.raises(UnknownNameError, match="unknown input 'date'; did you mean data"):
        model.forward(date=np.zeros((1, 3, 32, 32)))
    with pytest.raises(UnknownNameError, match="unknown blob 'pol'"):
        model.forward(data=np.zeros((1, 3, 32, 32)), blobs=["pol"])
    with pytest.raises(UnknownNameError, match="unknown blob 'pol'"):
        model.features([], "pol")
    with pytest.raises(ImageError, match="no such image"):
        model.predict([folder / "photo.jpg", folder / "nothing.jpg"])
    good, bad = model.predict([folder / "photo.jpg", folder / "nothing.jpg"], errors="return")
    assert isinstance(good, Classification)
    assert isinstance(bad, ImageError)
    with pytest.raises(UsageError, match="errors='ignore'"):
        model.predict([], errors="ignore")
    for nothing in (7, None, {"data": 1}):
        with pytest.raises(ImageError, match="is no image"):
            model.predict(nothing)
    with pytest.raises(ImageError, match="uint8"):
        model.predict(np.zeros((32, 32, 3)))
    with pytest.raises(BindingError, match="has no weights"):
        Model(Network.load(folder / "deploy.prototxt"))


def test_a_network_whose_preprocessing_nobody_says_runs_on_arrays(folder: Path) -> None:
    model = load(folder / "deploy.prototxt", folder / "net.caffemodel")
    assert model.forward(np.zeros((1, 3, 32, 32)))["prob"].shape == (1, 10)
    with pytest.raises(UsageError, match=r"mean=\(B, G, R\)"):
        model.predict(folder / "photo.jpg")
    with pytest.raises(UsageError, match="what was subtracted"):
        load(folder / "deploy.prototxt", folder / "net.caffemodel", std=(1, 1, 1))
    with pytest.raises(UsageError, match="needs weights"):
        load(folder / "deploy.prototxt")
    with pytest.raises(UsageError, match="no such file"):
        load(folder / "deploy.prototxt", folder / "nothing.caffemodel")
    with pytest.raises(UnknownNameError, match="unknown engine"):
        load(folder / "deploy.prototxt", folder / "net.caffemodel", engine="tensorrt")
    with pytest.raises(UsageError, match="nobody says how"):
        load(model.network, mean=(1, 2, 3))
    with pytest.raises(NetworkError):
        load(folder / "deploy.prototxt", folder / "net.caffemodel", shapes={"data": (1, 4, 32, 32)})


def test_outputs_below_a_layer_that_nobody_knows(folder: Path, tmp_path: Path) -> None:
    text = (folder / "deploy.prototxt").read_text()
    (tmp_path / "net.prototxt").write_text(text + 'layer { name: "x" type: "Unheard" bottom: "prob" top: "x" }')
    with pytest.raises(NetworkError, match="Unheard"):
        load(tmp_path / "net.prototxt", folder / "net.caffemodel")
    model = load(tmp_path / "net.prototxt", folder / "net.caffemodel", outputs=["fc"])
    again = pickle.loads(pickle.dumps(model))
    data = np.ones((1, 3, 32, 32))
    np.testing.assert_array_equal(model.forward(data)["fc"], again.forward(data)["fc"])


def test_labels(folder: Path, tmp_path: Path) -> None:
    names = [f"kind {i}" for i in range(10)]
    (tmp_path / "names.txt").write_text("\n".join(names))
    for labels in (names, tmp_path / "names.txt"):
        model = load(folder / "deploy.prototxt", folder / "net.caffemodel", labels=labels, **SIGHT)
        guess = model.predict(folder / "photo.jpg").top[0]
        assert guess.label == f"kind {guess.index}"
        assert guess.label in repr(model.predict(folder / "photo.jpg"))


def test_threads_share_a_model(model: Model, folder: Path) -> None:
    names = [folder / f"{i}.png" for i in range(3)]
    expected = [seen.probabilities for seen in model.predict(names)]
    arrays = [np.full((1 + i % 6, 3, 32, 32), i / 7, np.float32) for i in range(24)]
    alone = [model.forward(data=array)["prob"] for array in arrays]
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for i in range(number, 24, 8):
            np.testing.assert_array_equal(model.forward(data=arrays[i])["prob"], alone[i])
            for seen, wanted in zip(model.predict(names), expected, strict=True):
                np.testing.assert_allclose(seen.probabilities, wanted, rtol=1e-5)
            assert model.features(names, "pool").shape == (3, 8, 1, 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def _top_class(model: Model, name: Path) -> int:
    return int(model.predict(name).top[0].index)


def test_processes_read_a_pickled_model_again(model: Model, folder: Path) -> None:
    assert len(pickle.dumps(model)) < 10_000
    names = [folder / f"{i}.png" for i in range(3)]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(_top_class, [model] * 3, names))
    assert found == [seen.top[0].index for seen in model.predict(names)]


def test_a_pickled_model_does_not_take_other_weights(folder: Path, tmp_path: Path) -> None:
    for name in ("deploy.prototxt", "net.caffemodel"):
        shutil.copy(folder / name, tmp_path)
    model = load(tmp_path / "deploy.prototxt", tmp_path / "net.caffemodel")
    pickled = pickle.dumps(model)
    again = pickle.loads(pickled)
    data = np.ones((1, 3, 32, 32))
    np.testing.assert_array_equal(model.forward(data)["prob"], again.forward(data)["prob"])
    os.utime(tmp_path / "net.caffemodel", ns=(1, 1))
    with pytest.raises(UsageError, match="have changed"):
        pickle.loads(pickled)
    network = Model(model.network)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(network)).forward(data)["prob"], model.forward(data)["prob"]
    )


def test_weights_outlive_their_file(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "net.caffemodel", tmp_path)
    model = load(folder / "deploy.prototxt", tmp_path / "net.caffemodel")
    other = load(folder / "deploy.prototxt", folder / "net.caffemodel")
    (tmp_path / "net.caffemodel").write_bytes(b"cut")
    data = np.ones((1, 3, 32, 32))
    np.testing.assert_array_equal(model.forward(data)["prob"], other.forward(data)["prob"])
    np.testing.assert_array_equal(model.weights["fc"][0], other.weights["fc"][0])


def test_closing_frees_and_is_final(folder: Path) -> None:
    with load(folder / "deploy.prototxt", folder / "net.caffemodel", **SIGHT) as model:
        model.predict(folder / "photo.jpg")
        kept = model.forward(np.ones((1, 3, 32, 32)))["prob"]
    np.testing.assert_allclose(kept.sum(), 1, rtol=1e-5)
    for run in (lambda: model.forward(np.ones((1, 3, 32, 32))), lambda: model.predict(folder / "photo.jpg")):
        with pytest.raises(EngineError, match="closed"):
            run()
    model.close()


def test_engines_of_old_shapes_make_room(model: Model) -> None:
    for size in range(20, 30):
        model.forward(np.zeros((1, 3, size, size)))
    assert len(model._pool._for_arrays) == KEPT_ENGINES


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_thousand_forwards_grow_by_nothing(model: Model, folder: Path) -> None:
    def resident_bytes() -> int:
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    data, image = np.zeros((4, 3, 32, 32), np.float32), cv2.imread(str(folder / "photo.jpg"))
    for _ in range(50):
        model.forward(data)
        model.predict(image)
    before = resident_bytes()
    for _ in range(1000):
        model.forward(data)
    for _ in range(100):
        model.predict(image)
    # 1,000 kept inputs of one forward pass would be 49 MB.
    assert resident_bytes() - before < 8 * 2**20


def test_save_and_export(model: Model, tmp_path: Path) -> None:
    import onnxruntime

    data = np.random.default_rng(3).normal(0, 1, (2, 3, 32, 32)).astype(np.float32)
    expected = model.forward(data)["prob"]
    for name in ("a", "b.caffemodel", "c.prototxt", "d.v1"):
        prototxt, caffemodel = model.save(tmp_path / name)
        assert prototxt.suffix == ".prototxt"
        np.testing.assert_array_equal(load(prototxt, caffemodel).forward(data)["prob"], expected)
    (file,) = model.export(tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"data": data})[0], expected, rtol=1e-4)
    assert [f.suffix for f in model.export(tmp_path / "net.xml", "openvino")] == [".xml", ".bin"]
    with pytest.raises(UsageError, match="no such folder"):
        model.export(tmp_path / "no/net.onnx")
    with pytest.raises(UsageError, match="there already"):
        model.export(tmp_path / "net.onnx", force=False)
    with pytest.raises(UnknownNameError, match="unknown format"):
        model.export(tmp_path / "net.onnx", "onx")


@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_engines_agree(engine: str, folder: Path, model: Model) -> None:
    pytest.importorskip(engine)
    other = load(folder / "deploy.prototxt", folder / "net.caffemodel", engine=engine, **SIGHT)
    images = [folder / f"{i}.png" for i in range(3)]
    for ours, theirs in zip(model.predict(images), other.predict(images), strict=True):
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, rtol=1e-4)
    assert engine in repr(other)


@given(st.text())
def test_any_text_is_a_path_or_a_refusal(text: str) -> None:
    with suppress(UnknownNameError):
        load_index().resolve(text)
        reject()  # a network's name was drawn, which this machine may have the weights of
    with pytest.raises(ZooError):
        load(text)
