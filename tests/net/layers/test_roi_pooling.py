"""ROIPooling, ROIAlign and PSROIPooling: against OpenCV, and against loops over pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import EngineError, LoweringError, ShapeError
from caffezoo.net.onnx_graph import to_onnx
from tests.engines.networks import HERE, requires_torch
from tests.net.layers.draws import SEEDS, cases
from tests.net.layers.opencv_runs import assert_matches_opencv, engine_outputs, network_of
from tests.opencv_oracle import requires_opencv

SCALES = st.sampled_from([1.0, 0.5, 0.0625, 0.3])


def _text(kind: str, param: str) -> str:
    names = {"ROIPooling": "roi_pooling_param", "ROIAlign": "roi_align_param", "PSROIPooling": "psroi_pooling_param"}
    return f'name: "r" type: "{kind}" bottom: "x" bottom: "rois" top: "r" {names[kind]} {{ {param} }}'


def _bottoms(seed: int, channels: int, images: int = 2, rois: int = 6, scale: float = 0.5) -> dict[str, np.ndarray]:
    """Return a map of 9 x 11 and regions within its image, some larger than it."""
    rng = np.random.default_rng(seed)
    width, height = 11 / scale, 9 / scale
    corner = rng.uniform(-0.1, 0.8, (rois, 2)) * (width, height)
    end = corner + rng.uniform(0, 0.6, (rois, 2)) * (width, height)
    index = rng.integers(0, images, (rois, 1))
    return {
        "x": rng.normal(0, 1, (images, channels, 9, 11)).astype(np.float32),
        "rois": np.concatenate([index, corner, end], 1).astype(np.float32),
    }


def _cells(start: float, length: float, count: int, size: int) -> list[tuple[int, int]]:
    cell = np.float32(length) / np.float32(count)
    places = [
        (math.floor(np.float32(i) * cell + np.float32(start)), math.ceil(np.float32(i + 1) * cell + np.float32(start)))
        for i in range(count)
    ]
    return [(min(max(a, 0), size), min(max(b, 0), size)) for a, b in places]


def _round(value: float) -> float:
    return math.copysign(math.floor(abs(value) + 0.5), value)


def roi_pooling_by_loops(
    x: np.ndarray, rois: np.ndarray, scale: float, pooled: tuple[int, int], pad: float = 0.0
) -> np.ndarray:
    """Return ROIPooling as Fast R-CNN's loops have it, with MS-CNN's growing."""
    top = np.zeros((len(rois), x.shape[1], *pooled), np.float32)
    for r, (image, *corners) in enumerate(rois):
        x1, y1, x2, y2 = corners
        grow_x, grow_y = (x2 - x1 + 1) * np.float32(pad), (y2 - y1 + 1) * np.float32(pad)
        x1, y1, x2, y2 = (_round(v * np.float32(scale)) for v in (x1 - grow_x, y1 - grow_y, x2 + grow_x, y2 + grow_y))
        if pad:
            x1, y1 = max(x1, 0), max(y1, 0)
            x2, y2 = min(x2, _round(x.shape[3] / scale) - 1), min(y2, _round(x.shape[2] / scale) - 1)
        columns = _cells(x1, max(x2 - x1 + 1, 1), pooled[1], x.shape[3])
        for i, (a, b) in enumerate(_cells(y1, max(y2 - y1 + 1, 1), pooled[0], x.shape[2])):
            for j, (c, d) in enumerate(columns):
                if b > a and d > c:
                    top[r, :, i, j] = x[int(image), :, a:b, c:d].max((1, 2))
    return top


@requires_opencv
@cases(30)
@given(SEEDS, st.tuples(st.integers(1, 5), st.integers(1, 5)), SCALES)
def test_roi_pooling_matches_opencv(seed: int, pooled: tuple[int, int], scale: float) -> None:
    """OpenCV's rounding of a corner at a half is another, so corners are drawn off halves."""
    text = _text("ROIPooling", f"pooled_h: {pooled[0]} pooled_w: {pooled[1]} spatial_scale: {scale}")
    assert_matches_opencv(text, _bottoms(seed, 3, scale=scale), exports=True)


@cases(30)
@given(SEEDS, st.tuples(st.integers(1, 5), st.integers(1, 5)), SCALES, st.sampled_from([0.0, 0.25, 0.5]), st.booleans())
def test_roi_pooling_matches_loops(seed: int, pooled: tuple[int, int], scale: float, pad: float, whole: bool) -> None:
    """In both runtimes and in torch; whole corners at scale 0.5 lie on halves, which C rounds away from 0."""
    bottoms = _bottoms(seed, 3, scale=scale)
    if whole:
        bottoms["rois"] = np.round(bottoms["rois"])
    param = f"pooled_h: {pooled[0]} pooled_w: {pooled[1]} spatial_scale: {scale} pad_ratio: {pad}"
    network = network_of(_text("ROIPooling", param), bottoms)
    wanted = roi_pooling_by_loops(bottoms["x"], bottoms["rois"], scale, pooled, pad)
    for engine in HERE:
        np.testing.assert_allclose(engine_outputs(network, bottoms, engine)["r"], wanted, atol=1e-6, err_msg=engine)
    (host,) = network.nodes[-1].layer.host(list(bottoms.values()), ())
    np.testing.assert_array_equal(host, wanted)


@requires_torch
def test_roi_pooling_has_a_gradient() -> None:
    """Every cell hands its gradient to its largest pixel."""
    import torch

    from caffezoo.net.torch_module import to_torch

    bottoms = _bottoms(3, 2)
    module = to_torch(network_of(_text("ROIPooling", "pooled_h: 2 pooled_w: 3 spatial_scale: 0.5"), bottoms))
    x, rois = (torch.from_numpy(v) for v in bottoms.values())
    x = x.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: module(v, rois)["r"], (x,))


def roi_align_by_loops(
    x: np.ndarray, rois: np.ndarray, scale: float, pooled: tuple[int, int], ratio: int
) -> np.ndarray:
    """Return ROIAlign as Caffe2's loops have it."""
    height, width = x.shape[2:]
    top = np.zeros((len(rois), x.shape[1], *pooled))

    def pixel(image: np.ndarray, py: float, px: float) -> np.ndarray:
        if py < -1 or py > height or px < -1 or px > width:
            return np.zeros(len(image))
        py, px = min(max(py, 0), height - 1), min(max(px, 0), width - 1)
        a, b = int(py), int(px)
        c, d = min(a + 1, height - 1), min(b + 1, width - 1)
        u, v = py - a, px - b
        rows = (image[:, a, b] * (1 - v) + image[:, a, d] * v), (image[:, c, b] * (1 - v) + image[:, c, d] * v)
        return rows[0] * (1 - u) + rows[1] * u

    for r, (index, *corners) in enumerate(rois):
        x1, y1, x2, y2 = (float(c) * scale for c in corners)
        cell_h, cell_w = max(y2 - y1, 1.0) / pooled[0], max(x2 - x1, 1.0) / pooled[1]
        rows, columns = ratio or math.ceil(cell_h), ratio or math.ceil(cell_w)
        for i in range(pooled[0]):
            for j in range(pooled[1]):
                values = [
                    pixel(
                        x[int(index)].astype(np.float64),
                        y1 + i * cell_h + (k + 0.5) * cell_h / rows,
                        x1 + j * cell_w + (m + 0.5) * cell_w / columns,
                    )
                    for k in range(rows)
                    for m in range(columns)
                ]
                top[r, :, i, j] = np.mean(values, axis=0)
    return top


@cases(15)
@given(SEEDS, st.tuples(st.integers(1, 4), st.integers(1, 4)), st.sampled_from([1.0, 0.3]), st.sampled_from([0, 1, 2]))
def test_roi_align_matches_loops(seed: int, pooled: tuple[int, int], scale: float, ratio: int) -> None:
    bottoms = _bottoms(seed, 3, scale=scale)
    param = f"pooled_h: {pooled[0]} pooled_w: {pooled[1]} spatial_scale: {scale} sampling_ratio: {ratio}"
    network = network_of(_text("ROIAlign", param), bottoms)
    wanted = roi_align_by_loops(bottoms["x"], bottoms["rois"], float(np.float32(scale)), pooled, ratio)
    for engine in HERE:
        np.testing.assert_allclose(engine_outputs(network, bottoms, engine)["r"], wanted, atol=2e-5, err_msg=engine)


@requires_opencv
@cases(25)
@given(SEEDS, st.integers(1, 4), st.integers(1, 3), SCALES)
def test_psroi_pooling_matches_opencv(seed: int, group: int, out: int, scale: float) -> None:
    text = _text("PSROIPooling", f"group_size: {group} output_dim: {out} spatial_scale: {scale}")
    assert_matches_opencv(text, _bottoms(seed, out * group * group, scale=scale), exports=False)


def test_psroi_pooling_of_one_region_by_hand() -> None:
    """Columns 0-2 and 1-3 of rows 0-2 and 1-3: cell (i, j) of top channel c averages channel 4 c + 2 i + j."""
    x = np.arange(8 * 16, dtype=np.float32).reshape(1, 8, 4, 4)
    bottoms = {"x": x, "rois": np.array([[0, 0, 0, 2, 2]], np.float32)}
    network = network_of(_text("PSROIPooling", "group_size: 2 output_dim: 2 spatial_scale: 1"), bottoms)
    top = engine_outputs(network, bottoms)["r"]
    cuts = [slice(0, 2), slice(1, 3)]
    wanted = [[[x[0, 4 * c + 2 * i + j, cuts[i], cuts[j]].mean() for j in (0, 1)] for i in (0, 1)] for c in (0, 1)]
    np.testing.assert_allclose(top[0], wanted)


@pytest.mark.parametrize(
    ("kind", "param", "message"),
    [
        ("ROIPooling", "pooled_h: 2", "pooled_h and pooled_w must be positive"),
        ("ROIAlign", "", "pooled_h and pooled_w must be positive"),
        ("PSROIPooling", "group_size: 2 output_dim: 2 spatial_scale: 1", r"takes 8 channels .*, has 3"),
        ("PSROIPooling", "group_size: 0 output_dim: 2 spatial_scale: 1", "must be positive"),
    ],
)
def test_refusals(kind: str, param: str, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        network_of(_text(kind, param), _bottoms(0, 3))


def test_regions_are_five_values_of_images_that_there_are() -> None:
    bottoms = _bottoms(0, 4)
    with pytest.raises(ShapeError, match="takes regions of 5 values"):
        network_of(_text("ROIPooling", "pooled_h: 1 pooled_w: 1"), {**bottoms, "rois": bottoms["rois"][:, :4]})
    network = network_of(_text("PSROIPooling", "group_size: 2 output_dim: 1 spatial_scale: 1"), bottoms)
    bottoms["rois"][1, 0] = 7
    with pytest.raises(EngineError, match=r"layer 'r' .*a region names an image that is not among the 2"):
        engine_outputs(network, bottoms)
    with pytest.raises(LoweringError, match="no position-sensitive pooling"):
        to_onnx(network)
