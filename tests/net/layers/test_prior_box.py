"""PriorBox against OpenCV, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import ShapeError
from tests.net.layers.draws import cases
from tests.net.layers.opencv_runs import assert_matches_opencv, engine_outputs, network_of
from tests.opencv_oracle import requires_opencv

SIZES = st.lists(st.sampled_from([4.0, 10.0, 30.5]), min_size=1, max_size=2, unique=True).map(sorted)


def _text(param: str) -> str:
    return f'name: "p" type: "PriorBox" bottom: "f" bottom: "data" top: "p" prior_box_param {{ {param} }}'


def _bottoms(rows: int = 3, columns: int = 4, height: int = 20, width: int = 32) -> dict[str, np.ndarray]:
    return {"f": np.zeros((2, 5, rows, columns), np.float32), "data": np.zeros((2, 3, height, width), np.float32)}


@requires_opencv
@cases(25)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(8, 40), st.integers(8, 40)),
    SIZES,
    st.booleans(),
    st.lists(st.sampled_from([2.0, 3.0, 1.5]), max_size=2, unique=True),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["", "variance: 0.2", "variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2"]),
    st.sampled_from(["", "step: 8", "step_h: 4 step_w: 9.5", "offset: 0.25"]),
)
def test_priors_match_opencv(
    shape: tuple[int, int, int, int],
    sizes: list[float],
    largest: bool,
    ratios: list[float],
    flip: bool,
    clip: bool,
    variance: str,
    place: str,
) -> None:
    param = " ".join(
        [
            *(f"min_size: {s}" for s in sizes),
            *(f"max_size: {s * 1.7}" for s in sizes if largest),
            *(f"aspect_ratio: {r}" for r in ratios),
            f"flip: {flip} clip: {clip}".lower(),
            variance or "variance: 0.1",
            place,
        ]
    )
    assert_matches_opencv(_text(param), _bottoms(*shape), exports=True)


def test_priors_of_one_pixel_by_hand() -> None:
    text = _text("min_size: 4 max_size: 9 aspect_ratio: 4 aspect_ratio: 1 variance: 0.5")
    network = network_of(text, _bottoms(1, 1, 10, 20))
    top = engine_outputs(network, _bottoms(1, 1, 10, 20))["p"]
    sides = [(4, 4), (6, 6), (8, 2), (2, 8)]
    wanted = [v for w, h in sides for v in ((10 - w / 2) / 20, (5 - h / 2) / 10, (10 + w / 2) / 20, (5 + h / 2) / 10)]
    assert top.shape == (1, 2, 16)
    np.testing.assert_allclose(top[0, 0], wanted, atol=1e-6)
    np.testing.assert_array_equal(top[0, 1], np.full(16, 0.5, np.float32))


@pytest.mark.parametrize("size", ["img_h: 10 img_w: 20", "img_size: 10"])
def test_the_size_of_the_image_may_be_given(size: str) -> None:
    """OpenCV reads these fields and uses the second bottom all the same."""
    height, width = 10, 20 if "img_w" in size else 10
    found, wanted = (
        engine_outputs(network_of(_text(param), bottoms), bottoms)["p"]
        for param, bottoms in (
            (f"min_size: 4 aspect_ratio: 2 {size}", _bottoms(2, 3, 7, 9)),
            ("min_size: 4 aspect_ratio: 2", _bottoms(2, 3, height, width)),
        )
    )
    np.testing.assert_array_equal(found, wanted)


def _openvino(rows: int, columns: int, height: int, width: int, **fields: object) -> np.ndarray:
    """Return the priors of OpenVINO's operator, which Intel wrote after the forks' layer."""
    import openvino as ov
    from openvino import opset8 as ops

    sizes = [ops.constant(np.array(s, np.int64)) for s in ((rows, columns), (height, width))]
    zero = ops.parameter([1], np.float32)
    given = {"min_size": [], "max_size": [], "aspect_ratio": [], "flip": False, "clip": False, **fields}
    top = ops.add(ops.convert(ops.prior_box(*sizes, given), "f32"), zero)
    return ov.compile_model(ov.Model([top], [zero]), "CPU")([np.zeros(1, np.float32)])[0]


@cases(25)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(8, 40), st.integers(8, 40)),
    st.lists(st.sampled_from([8.0, 16.0, 32.0, 50.0]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0]), min_size=3, max_size=3),
    st.sampled_from([[], [1.0], [2.0]]),
    st.sampled_from([[], [2.0], [2.0, 0.5]]),
    st.sampled_from([0.25, 0.5]),
)
def test_dense_priors_match_openvino(
    shape: tuple[int, int, int, int],
    sizes: list[float],
    densities: list[float],
    fixed: list[float],
    ratios: list[float],
    offset: float,
) -> None:
    ratios = [] if fixed else ratios
    lists = {"fixed_size": sizes, "density": densities[: len(sizes)], "fixed_ratio": fixed, "aspect_ratio": ratios}
    wanted = _openvino(*shape, **lists, variance=[0.1, 0.1, 0.2, 0.2], step=16.0, offset=offset)
    text = " ".join(f"{name}: {values}" for name, values in lists.items() if values)
    param = f"step: 16 offset: {offset} flip: false variance: [0.1, 0.1, 0.2, 0.2] {text}"
    bottoms = _bottoms(*shape)
    top = engine_outputs(network_of(_text(param), bottoms), bottoms)["p"]
    np.testing.assert_allclose(top[0], wanted, atol=1e-5)


def test_dense_priors_tile_their_size() -> None:
    """Four boxes of 8 px, shifted by 4, whose centres lie 2 px around the pixel's (FaceBoxes)."""
    bottoms = _bottoms(1, 1, 16, 16)
    top = engine_outputs(network_of(_text("fixed_size: 8 density: 2"), bottoms), bottoms)["p"]
    boxes = top[0, 0].reshape(4, 4) * 16
    np.testing.assert_allclose((boxes[:, :2] + boxes[:, 2:]) / 2, [[6, 6], [10, 6], [6, 10], [10, 10]], atol=1e-5)
    np.testing.assert_allclose(boxes[:, 2:] - boxes[:, :2], np.full((4, 2), 8), atol=1e-5)


@pytest.mark.parametrize(
    ("param", "message"),
    [
        ("", "has no min_size"),
        ("min_size: 0", "must be positive"),
        ("min_size: 9 max_size: 9", "must be above"),
        ("min_size: 9 max_size: 10 max_size: 20", "one max_size a min_size"),
        ("min_size: 9 aspect_ratio: -1", "aspect_ratio must be positive"),
        ("min_size: 9 variance: 1 variance: 2", "1 or 4 positive variances"),
        ("min_size: 9 img_size: 3 img_h: 4", "not both"),
        ("min_size: 9 step: 3 step_w: 4", "not both"),
        ("fixed_size: 9", "one density"),
        ("fixed_size: 9 density: 1e9", "density must be"),
        (" ".join(["fixed_size: 9 density: 64"] * 2000), "more than 1111 priors"),
        ("min_size: 9" + " min_size: 9" * 2000, "more than 1111 priors at each of 60 x 60 pixels, 4000000 together"),
    ],
    ids=lambda text: text[:40],
)
def test_refusals(param: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        network_of(_text(param), _bottoms(60, 60))
