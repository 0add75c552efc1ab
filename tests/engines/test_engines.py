"""What every engine promises: the same scores, checked batches, honest precision."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from caffezoo.engines.base import Engine
from caffezoo.engines.registry import create_engine, engine_class
from caffezoo.engines.seeding import seeded_inputs
from caffezoo.errors import (
    BindingError,
    EngineError,
    PrecisionError,
    ShapeError,
    UnknownNameError,
    UsageError,
)
from caffezoo.net.graph import Network
from caffezoo.net.transform import Transform
from tests.engines.networks import SMALL, requires_torch, small_network, two_inputs
from tests.oracle import oracle_python, requires_caffe

TRANSFORM = Transform((104.0, 117.0, 123.0), (58.0, 57.0, 57.5))
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 11, 9, 3), dtype=np.uint8)

names = pytest.mark.parametrize(
    "name",
    [
        "openvino",
        "onnxruntime",
        pytest.param("torch", marks=requires_torch),
        pytest.param("caffe", marks=requires_caffe),
    ],
    scope="module",
)


def engine(name: str, network: Network | None = None, **options: object) -> Engine:
    return create_engine(name, network or small_network(), threads=1, caffe_python=oracle_python(), **options)


@pytest.fixture(scope="module")
def on_images(name: str) -> Iterator[Engine]:
    with engine(name, batch_size=3, transform=TRANSFORM) as made:
        yield made


@pytest.fixture(scope="module")
def on_blobs(name: str) -> Iterator[Engine]:
    with engine(name, batch_size=3, outputs=["fc", "prob", "pool"]) as made:
        yield made


@pytest.fixture(scope="module")
def wanted() -> np.ndarray:
    """Probabilities of the small network on IMAGES, computed in float64 by the definition of each layer."""
    w = {name: [b.astype(np.float64) for b in blobs] for name, blobs in small_network().weights.items()}
    x = ((IMAGES - np.array(TRANSFORM.mean)) / np.array(TRANSFORM.std)).transpose(0, 3, 1, 2)
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    rows, columns = range(0, 11, 2), range(0, 9, 2)
    kernel = w["conv1"][0]
    y = np.stack(
        [
            np.stack([np.einsum("nchw,ochw->no", x[:, :, i : i + 3, j : j + 3], kernel) for j in columns], 2)
            for i in rows
        ],
        2,
    )
    mean, variance, factor = w["conv1/bn"]
    column = (1, -1, 1, 1)
    y = (y - (mean / factor).reshape(column)) / np.sqrt((variance / factor).reshape(column) + 1e-5)
    y = np.maximum(y * w["conv1/scale"][0].reshape(column) + w["conv1/scale"][1].reshape(column), 0)
    pooled = np.stack([np.stack([y[:, :, i : i + 3, j : j + 3].max((2, 3)) for j in (0, 2)], 2) for i in (0, 2, 4)], 2)
    logits = pooled.reshape(4, -1) @ w["fc"][0].T + w["fc"][1]
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


@names
def test_images_give_the_probabilities_of_the_definition(on_images: Engine, wanted: np.ndarray) -> None:
    found = on_images.run(IMAGES[:3])
    assert list(found) == ["prob"]
    assert found["prob"].dtype == np.float32
    np.testing.assert_allclose(found["prob"], wanted[:3], rtol=1e-4, atol=1e-6)


@names
@pytest.mark.parametrize("count", [1, 2])
def test_a_batch_that_is_not_full_gives_its_own_scores(on_images: Engine, wanted: np.ndarray, count: int) -> None:
    found = on_images.run(IMAGES[4 - count :])["prob"]
    assert found.shape == (count, 5)
    np.testing.assert_allclose(found, wanted[4 - count :], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(on_images.run(IMAGES[:3])["prob"], wanted[:3], rtol=1e-4, atol=1e-6)


@names
def test_results_are_the_callers_own(on_images: Engine) -> None:
    first = on_images.run(IMAGES[:3])["prob"]
    kept = first.copy()
    on_images.run(IMAGES[1:])
    assert first.tobytes() == kept.tobytes()


@names
def test_float_images_give_the_same_as_bytes(name: str, wanted: np.ndarray) -> None:
    with engine(name, batch_size=4, transform=TRANSFORM, input_dtype="float32") as made:
        np.testing.assert_allclose(made.run(IMAGES.astype(np.float32))["prob"], wanted, rtol=1e-4, atol=1e-6)


@names
def test_inner_blobs_can_be_asked_for(on_blobs: Engine) -> None:
    found = on_blobs.run(seeded_inputs(on_blobs.network, batch=3))
    assert {name: x.shape for name, x in found.items()} == {"fc": (3, 5), "prob": (3, 5), "pool": (3, 8, 3, 2)}
    e = np.exp(found["fc"] - found["fc"].max(1, keepdims=True))
    np.testing.assert_allclose(found["prob"], e / e.sum(1, keepdims=True), rtol=1e-5)


@names
def test_several_inputs_go_by_name(name: str) -> None:
    with engine(name, two_inputs(), batch_size=2) as made:
        a, b = (np.full((2, 4), v, np.float32) for v in (1, 2))
        assert made.run({"a": a, "b": b})["sum"].tolist() == [[3.0] * 4] * 2
        with pytest.raises(EngineError, match="inputs a, b; give all by name"):
            made.run(a)
        with pytest.raises(EngineError, match="input 'b' is missing"):
            made.run({"a": a})
        with pytest.raises(UnknownNameError, match="unknown input 'c'"):
            made.run({"a": a, "b": b, "c": a})
        with pytest.raises(ShapeError, match="holds 1 samples, another input 2"):
            made.run({"a": a, "b": b[:1]})


@names
@pytest.mark.parametrize(
    ("batch", "error", "words"),
    [
        (IMAGES, ShapeError, r"has shape \[4, 11, 9, 3\], wanted is 1\.\.3 x 11 x 9 x 3"),
        (IMAGES[:0], ShapeError, r"has shape \[0, 11, 9, 3\]"),
        (IMAGES[0], ShapeError, r"has shape \[11, 9, 3\]"),
        (IMAGES[:1].transpose(0, 3, 1, 2), ShapeError, r"has shape \[1, 3, 11, 9\]"),
        (IMAGES[:1].astype(np.float32), EngineError, "is of type float32, wanted is uint8"),
    ],
)
def test_a_wrong_batch_is_refused(on_images: Engine, batch: np.ndarray, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        on_images.run(batch)


@names
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(on_blobs: Engine, value: float) -> None:
    x = np.zeros((1, 3, 11, 9), np.float32)
    x[0, 1, 2, 3] = value
    with pytest.raises(EngineError, match="not finite"):
        on_blobs.run(x)


@names
def test_scores_that_are_not_finite_are_an_error(name: str) -> None:
    network = small_network()
    weights = {k: list(v) for k, v in network.weights.items()}
    weights["fc"] = [np.full_like(weights["fc"][0], 3e38), weights["fc"][1]]  # finite; the products are not
    with (
        engine(name, network.with_weights(weights), transform=TRANSFORM) as made,
        pytest.raises(EngineError, match="'prob' holds a value that is not finite"),
    ):
        made.run(IMAGES[:1])


@names
def test_what_runs_can_be_read(on_images: Engine, name: str) -> None:
    assert on_images.name == name
    assert on_images.version[0].isdigit()
    assert on_images.device.startswith("CPU")
    assert (on_images.precision, on_images.threads) == ("float32", 1)


@names
def test_a_closed_engine_says_so(name: str) -> None:
    made = engine(name, transform=TRANSFORM)
    made.close()
    made.close()
    with pytest.raises(EngineError, match="closed"):
        made.run(IMAGES[:1])


@names
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_another_precision_is_run_or_refused(name: str, precision: str) -> None:
    if (
        precision
        in engine_class(name).probe(**({"caffe_python": oracle_python()} if name == "caffe" else {})).precisions
    ):
        with engine(name, precision=precision) as made:
            assert made.precision == precision
    else:
        with pytest.raises(PrecisionError, match=precision):
            engine(name, precision=precision)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"batch_size": 0}, UsageError, "batch size 0 is not positive"),
        ({"threads": 0}, UsageError, "0 threads"),
        ({"precision": "float64"}, UnknownNameError, "unknown precision 'float64'"),
        ({"input_dtype": "uint16"}, UnknownNameError, "unknown input type 'uint16'; did you mean uint8"),
        ({"outputs": ["porb"]}, UnknownNameError, "unknown blob 'porb'; did you mean prob"),
        ({"transform": TRANSFORM, "network": two_inputs}, ShapeError, "one input, this has 2"),
    ],
)
def test_wrong_options_are_refused(options: dict, error: type, words: str) -> None:
    network = options.pop("network", small_network)()
    with pytest.raises(error, match=words):
        create_engine("openvino", network, **options)


def test_images_need_one_or_three_channels() -> None:
    four = Network.from_text(SMALL.replace("dim: 3", "dim: 4"))
    with pytest.raises(ShapeError, match=r"\[1, 4, 11, 9\], images need N x 3 x H x W or N x 1 x H x W"):
        create_engine("openvino", four, transform=TRANSFORM)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_network_without_weights_is_refused(name: str) -> None:
    with pytest.raises(BindingError, match="has no weights"):
        create_engine(name, Network.from_text(SMALL))


def test_an_output_that_mixes_samples_needs_full_batches() -> None:
    network = Network.from_text(
        'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 4 } } }\n'
        'layer { name: "sum" type: "Reduction" bottom: "x" top: "sum" }'
    )
    for name in ("openvino", "onnxruntime"):
        with create_engine(name, network, batch_size=2) as made:
            assert made.run(np.ones((2, 4), np.float32))["sum"] == 8
            with pytest.raises(ShapeError, match="'sum' is not one value or row a sample"):
                made.run(np.ones((1, 4), np.float32))
