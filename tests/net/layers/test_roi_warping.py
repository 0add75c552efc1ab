"""ROIWarping and PSROIAlign against loops over samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import EngineError, ShapeError
from tests.engines.networks import HERE
from tests.net.layers.draws import SEEDS, cases
from tests.net.layers.opencv_runs import engine_outputs, network_of
from tests.net.layers.region_cases import clamped


def _layer(kind: str, param: str) -> str:
    return f'name: "l" type: "{kind}" bottom: "x" bottom: "rois" top: "y" {param}'


def drawn(seed: int, channels: int, regions: int = 5) -> dict[str, np.ndarray]:
    """Return a map of two images and regions, some of them without a pixel or beyond the map."""
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.integers(-8, 60, (regions, 2, 2)), axis=2) + rng.choice([0.0, 0.25], (regions, 2, 2))
    rois = np.concatenate([rng.integers(0, 2, (regions, 1)), corners[:, :, 0], corners[:, :, 1]], 1)
    rois[0, 3:] = rois[0, 1:3]
    return {
        "x": rng.uniform(-1, 1, (2, channels, 7, 9)).astype(np.float32),
        "rois": rois.astype(np.float32),
    }


def warped(bottoms: dict[str, np.ndarray], pooled_h: int, pooled_w: int, scale: float) -> np.ndarray:
    x, rois = bottoms["x"], bottoms["rois"]
    top = np.zeros((len(rois), x.shape[1], pooled_h, pooled_w))
    for r, roi in enumerate(rois):
        x1, y1, x2, y2 = (math.floor(abs(v * scale) + 0.5) * (1 if v >= 0 else -1) for v in roi[1:].tolist())
        high, wide = max(y2 - y1, 0), max(x2 - x1, 0)
        per_row, per_column = math.ceil(high / pooled_h), math.ceil(wide / pooled_w)
        for i, j in np.ndindex(pooled_h, pooled_w):
            found = []
            for a in range(per_row + 1):
                for b in range(per_column + 1):
                    row = y1 + (i + (a / per_row if per_row else 0)) * high / pooled_h
                    column = x1 + (j + (b / per_column if per_column else 0)) * wide / pooled_w
                    if -0.5 <= row <= x.shape[2] - 0.5 and -0.5 <= column <= x.shape[3] - 0.5:
                        found.append(clamped(x[int(roi[0])], max(row, 0), max(column, 0)))
            if found:
                top[r, :, i, j] = np.max(found, axis=0)
    return top


@cases(15)
@given(SEEDS, st.sampled_from([1, 2, 4]), st.sampled_from([1, 2]), st.sampled_from([0.125, 0.25]))
def test_roi_warping_takes_the_largest_sample(seed: int, pooled_h: int, pooled_w: int, scale: float) -> None:
    # powers of two: whether the source takes the sample on a cell's far border hangs on its rounding otherwise
    bottoms = drawn(seed, 3)
    sizes = bottoms["rois"]
    for low, high, pooled in ((2, 4, pooled_h), (1, 3, pooled_w)):
        length = np.maximum(np.round((sizes[:, high] - sizes[:, low]) * scale / pooled), 0)
        length = np.where(length == 0, 0, 2.0 ** np.floor(np.log2(np.maximum(length, 1))))
        sizes[:, low] = (np.floor(sizes[:, low] * scale) + 0.25) / scale
        sizes[:, high] = sizes[:, low] + length * pooled / scale
    network = network_of(
        _layer(
            "ROIWarping",
            f"roi_warping_param {{ pooled_h: {pooled_h} pooled_w: {pooled_w} spatial_scale: {scale} }}",
        ),
        bottoms,
    )
    wanted = warped(bottoms, pooled_h, pooled_w, scale)
    for engine in HERE:
        np.testing.assert_allclose(engine_outputs(network, bottoms, engine)["y"], wanted, atol=1e-5, err_msg=engine)


def test_roi_warping_refuses_regions_as_large_as_a_country() -> None:
    bottoms = drawn(0, 1)
    network = network_of(_layer("ROIWarping", "roi_warping_param { pooled_h: 2 pooled_w: 2 }"), bottoms)
    bottoms["rois"][1, 3:] = 1e8
    with pytest.raises(EngineError, match="pixels of the map large"):
        engine_outputs(network, bottoms, HERE[0])


@cases(15)
@given(SEEDS, st.integers(1, 3), st.integers(1, 2), st.sampled_from([0.125, 0.3]))
def test_psroi_align_is_the_mean_of_four_samples(seed: int, group: int, out: int, scale: float) -> None:
    bottoms = drawn(seed, out * group * group)
    x, rois = bottoms["x"], bottoms["rois"]
    wanted = np.zeros((len(rois), out, group, group))
    for r, c, i, j in np.ndindex(*wanted.shape):
        x1, y1, x2, y2 = (np.float32(v) * np.float32(scale) for v in rois[r, 1:])
        if x2 <= x1 or y2 <= y1:
            continue
        plane = x[int(rois[r, 0]), (c * group + i) * group + j][None]
        for a in (0.25, 0.75):
            for b in (0.25, 0.75):
                row, column = y1 + (i + a) * (y2 - y1) / group, x1 + (j + b) * (x2 - x1) / group
                if 0 <= row <= x.shape[2] - 1 and 0 <= column <= x.shape[3] - 1:
                    wanted[r, c, i, j] += clamped(plane, float(row), float(column))[0] / 4
    param = f"psroi_pooling_param {{ group_size: {group} output_dim: {out} spatial_scale: {scale} }}"
    network = network_of(_layer("PSROIAlign", param), bottoms)
    for engine in HERE:
        np.testing.assert_allclose(engine_outputs(network, bottoms, engine)["y"], wanted, atol=1e-5, err_msg=engine)


@pytest.mark.parametrize(
    ("kind", "param", "message"),
    [
        ("ROIWarping", "roi_warping_param { pooled_h: 2 }", "must be positive"),
        ("ROIWarping", "roi_warping_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0 }", "must be positive"),
        ("PSROIAlign", "psroi_pooling_param { group_size: 2 output_dim: 2 spatial_scale: 1 }", "takes 8 channels"),
    ],
)
def test_parameters_that_cannot_be(kind: str, param: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        network_of(_layer(kind, param), drawn(0, 3))
