"""DenseCRF and DomainTransform pixel by pixel, with the lattice that tests of its own hold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffezoo.errors import EngineError, ShapeError
from caffezoo.net.lattice import place
from tests.engines.networks import HERE
from tests.net.layers.opencv_runs import engine_outputs, network_of

NAMES = ("x", "z", "w")
CRF = "dense_crf_param { max_iter: 3 pos_w: 3 pos_xy_std: 2 bi_w: 5 bi_xy_std: 20 bi_rgb_std: 10 %s }"


def _layer(kind: str, param: str) -> str:
    bottoms = " ".join(f'bottom: "{name}"' for name in NAMES)
    return f'name: "l" type: "{kind}" {bottoms} top: "y" {param}'


def crf_bottoms() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "x": rng.uniform(-2, 2, (2, 3, 6, 7)).astype(np.float32),
        "z": np.array([[5, 4], [100, 100]], np.float32).reshape(2, 2, 1, 1),
        "w": rng.uniform(-40, 40, (2, 3, 6, 7)).astype(np.float32),
    }


def inferred(scores: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Return the probabilities of one image, [C, H, W]."""
    height, width = scores.shape[1:]
    pixels = [(c, r) for r in range(height) for c in range(width)]
    near = place(np.array(pixels, np.float32) / 2)
    alike = place(np.array([(c / 20, r / 20, *(image[:, r, c] / 10)) for c, r in pixels], np.float32))
    one = np.ones((1, len(pixels)))
    unary = scores.reshape(len(scores), -1).astype(np.float64)
    q = np.exp(unary) / np.exp(unary).sum(0)
    for _ in range(3):
        energy = unary + 3 * near.filtered(q) / near.filtered(one) + 5 * alike.filtered(q) / alike.filtered(one)
        q = np.exp(energy) / np.exp(energy).sum(0)
    return q.reshape(scores.shape)


@pytest.mark.parametrize("logarithm", [False, True], ids=["probability", "logarithm"])
def test_a_dense_crf_of_two_images(logarithm: bool) -> None:
    bottoms = crf_bottoms()
    wanted = np.zeros((2, 3, 6, 7))
    first = inferred(bottoms["x"][0, :, :5, :4], bottoms["w"][0, :, :5, :4])
    second = inferred(bottoms["x"][1], bottoms["w"][0])  # the source reads the first image for every sample
    wanted[0, :, :5, :4], wanted[1] = (np.log(first), np.log(second)) if logarithm else (first, second)
    param = CRF % ("output_probability: false" if logarithm else "")
    network = network_of(_layer("DenseCRF", param), bottoms)
    for engine in HERE:
        found = engine_outputs(network, bottoms, engine)["y"]
        np.testing.assert_allclose(found, wanted, atol=1e-4, err_msg=engine)


def test_scores_too_far_below_the_best_are_nothing() -> None:
    bottoms = crf_bottoms()
    bottoms["x"][:, 0] += 200
    network = network_of(_layer("DenseCRF", CRF % "output_probability: false"), bottoms)
    found = engine_outputs(network, bottoms, HERE[0])["y"][1]
    np.testing.assert_allclose(found[0], 0, atol=1e-6)
    np.testing.assert_allclose(found[1:], math.log(np.finfo(np.float32).tiny), rtol=1e-6)


def transformed(x: np.ndarray, reference: np.ndarray, rounds: int, spatial: float, colour: float, least: float):
    """Return a plane [H, W] transformed, a pixel at a time."""
    y, (height, width) = x.astype(np.float64), x.shape
    for i in range(rounds):
        sigma = spatial * math.sqrt(3) * 2 ** (rounds - i - 1) / math.sqrt(4**rounds - 1)
        weight = np.clip(np.exp(-math.sqrt(2) / sigma * (1 + reference * spatial / colour)), least, 1)
        for r in range(height):
            for c in range(1, width):
                y[r, c] += weight[r, c] * (y[r, c - 1] - y[r, c])
            for c in range(width - 2, -1, -1):
                y[r, c] += weight[r, c + 1] * (y[r, c + 1] - y[r, c])
        for c in range(width):
            for r in range(1, height):
                y[r, c] += weight[r, c] * (y[r - 1, c] - y[r, c])
            for r in range(height - 2, -1, -1):
                y[r, c] += weight[r + 1, c] * (y[r + 1, c] - y[r, c])
    return y


def test_domain_transform() -> None:
    rng = np.random.default_rng(0)
    bottoms = {
        "x": rng.uniform(-2, 2, (2, 2, 5, 6)).astype(np.float32),
        "z": rng.uniform(0, 2, (2, 1, 5, 6)).astype(np.float32),
        "w": np.array([[5, 6], [4, 3]], np.float32),
    }
    wanted = bottoms["x"].astype(np.float64)
    for n, (height, width) in enumerate(((5, 6), (4, 3))):
        for c in range(2):
            cut = slice(0, height), slice(0, width)
            plane = bottoms["x"][n, c][cut]
            wanted[n, c][cut] = transformed(plane, bottoms["z"][n, 0][cut].astype(np.float64), 2, 4.0, 1.5, 0.05)
    param = "domain_transform_param { num_iter: 2 spatial_sigma: 4 range_sigma: 1.5 min_weight: 0.05 }"
    network = network_of(_layer("DomainTransform", param), bottoms)
    for engine in HERE:
        np.testing.assert_allclose(engine_outputs(network, bottoms, engine)["y"], wanted, atol=1e-5, err_msg=engine)


@pytest.mark.parametrize(
    ("was", "is_", "message"),
    [
        ("pos_w: 3", "", "go together"),
        ("bi_w: 5 bi_xy_std: 20 bi_rgb_std: 10", "", "takes bi_w"),
        ("bi_rgb_std: 10", "bi_rgb_std: 0", "must be positive"),
        ("max_iter: 3", "max_iter: 1000000000", "1000000000 rounds"),
    ],
)
def test_parameters_that_cannot_be(was: str, is_: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        network_of(_layer("DenseCRF", (CRF % "").replace(was, is_)), crf_bottoms())


@pytest.mark.parametrize(("size", "message"), [((0, 3), "no pixel"), ((7, 3), "partly within maps")])
def test_images_that_do_not_fit_their_maps(size: tuple[int, int], message: str) -> None:
    bottoms = crf_bottoms()
    network = network_of(_layer("DenseCRF", CRF % ""), bottoms)
    bottoms["z"][0] = np.array(size).reshape(2, 1, 1)
    with pytest.raises(EngineError, match=message):
        engine_outputs(network, bottoms, HERE[0])
