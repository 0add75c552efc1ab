"""Reorg, Region and Yolov3DetectionOutput."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import EngineError, ShapeError
from tests.engines.networks import HERE
from tests.net.layers.draws import SEEDS, arrays, cases
from tests.net.layers.opencv_runs import engine_outputs, network_of
from tests.net.layers.runs import forward

ENGINES = HERE


def _one(kind: str, param: str) -> str:
    return f'name: "l" type: "{kind}" bottom: "x" top: "y" {param}'


def reorg_by_loops(x: np.ndarray, stride: int, reverse: bool) -> np.ndarray:
    """Return darknet's ``reorg_cpu``, which walks the bottom as if it were [C / s^2, H s, W s]."""
    count, channels, height, width = x.shape
    part, source = channels // stride**2, x.ravel()
    top = np.zeros_like(source)
    for b in range(count):
        for k in range(channels):
            for j in range(height):
                for i in range(width):
                    small = i + width * (j + height * (k + channels * b))
                    c, offset = k % part, k // part
                    w, h = i * stride + offset % stride, j * stride + offset // stride
                    large = w + width * stride * (h + height * stride * (c + part * b))
                    if reverse:
                        top[large] = source[small]
                    else:
                        top[small] = source[large]
    s = stride
    shape = (channels // s**2, height * s, width * s) if reverse else (channels * s**2, height // s, width // s)
    return top.reshape(count, *shape)


@cases(20)
@given(st.integers(2, 3), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.booleans(), SEEDS)
def test_reorg_matches_darknet(stride: int, part: int, rows: int, columns: int, reverse: bool, seed: int) -> None:
    shape = (2, part * stride**2, rows * stride, columns * stride)
    x = arrays({"x": shape}, seed)
    text = _one("Reorg", f"reorg_param {{ stride: {stride} reverse: {str(reverse).lower()} }}")
    network = network_of(text, x)
    for engine in ENGINES:
        np.testing.assert_array_equal(
            engine_outputs(network, x, engine)["y"], reorg_by_loops(x["x"], stride, reverse), err_msg=engine
        )


def test_reorg_of_colours_is_the_focus_of_yolov5() -> None:
    x = arrays({"x": (1, 3, 4, 6)}, 0)
    (found,) = forward(_one("Reorg", "reorg_param { stride: 2 }"), x)
    image = x["x"]
    slices = [image[..., ::2, ::2], image[..., 1::2, ::2], image[..., ::2, 1::2], image[..., 1::2, 1::2]]
    np.testing.assert_array_equal(found, np.concatenate(slices, 1))


@pytest.mark.parametrize(
    ("param", "shape", "message"),
    [
        ("stride: 0", (1, 4, 4, 4), "stride must be positive"),
        ("stride: 3", (1, 9, 4, 4), "stride 3 does not divide 4 x 4"),
        ("stride: 2 reverse: true", (1, 6, 4, 4), "takes a multiple of 4 channels"),
        ("stride: 2", (1, 4, 4), "takes a blob with 4 axes"),
    ],
)
def test_reorgs_that_cannot_be(param: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        network_of(_one("Reorg", f"reorg_param {{ {param} }}"), arrays({"x": shape}, 0))


@cases(10)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 1), SEEDS)
def test_region_matches_darknet(boxes: int, classes: int, softmax: int, seed: int) -> None:
    x = arrays({"x": (2, boxes * (5 + classes), 3, 4)}, seed, -3, 3)
    param = f'region_param {{ classes: {classes} num: {boxes} softmax: {softmax} anchors: "1, 2" }}'
    rows = x["x"].astype(np.float64).transpose(0, 2, 3, 1).reshape(2, -1, 5 + classes)
    rows[..., 4] = 1 / (1 + np.exp(-rows[..., 4]))
    if softmax:
        e = np.exp(rows[..., 5:])
        rows[..., 5:] = e / e.sum(-1, keepdims=True)
    network = network_of(_one("Region", param), x)
    for engine in ENGINES:
        found = engine_outputs(network, x, engine)["y"]
        np.testing.assert_allclose(found, rows.reshape(x["x"].shape), atol=1e-5, err_msg=engine)


def test_a_region_says_how_many_channels_it_takes() -> None:
    with pytest.raises(ShapeError, match="takes 50 channels"):
        network_of(_one("Region", "region_param { classes: 20 num: 2 }"), arrays({"x": (1, 49, 2, 2)}, 0))


YOLO = (
    'name: "d" type: "Yolov3DetectionOutput" bottom: "a" bottom: "b" top: "y" yolov3_detection_output_param { '
    "num_classes: 2 num_box: 2 mask_group_num: 2 mask: 2 mask: 3 mask: 0 mask: 1 anchors_scale: 32 anchors_scale: 16 "
    "biases: 10 biases: 14 biases: 23 biases: 27 biases: 37 biases: 58 biases: 81 biases: 82 "
)


def yolo_by_loops(bottoms: dict[str, np.ndarray], threshold: float, overlap: float) -> np.ndarray:
    """Return the boxes as MobileNet-YOLO's loops have them."""
    biases = [(10, 14), (23, 27), (37, 58), (81, 82)]
    found = []
    for x, scale, mask in ((bottoms["a"], 32, (2, 3)), (bottoms["b"], 16, (0, 1))):
        side = x.shape[3]
        for j in range(side):
            for i in range(side):
                for n, m in enumerate(mask):
                    v = x[0, n * 7 : n * 7 + 7, j, i].astype(np.float64)
                    p = 1 / (1 + np.exp(-v))
                    cx, cy = (i + p[0]) / side, (j + p[1]) / side
                    w, h = (np.exp(v[2 + k]) * biases[m][k] / (side * scale) for k in (0, 1))
                    for c in (0, 1):
                        if p[5 + c] * p[4] > threshold:
                            box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
                            found.append((0, c + 1, p[5 + c] * p[4], *box))
    found.sort(key=lambda row: -row[2])
    kept = []
    for row in found:
        if all(_share(row[3:], other[3:]) < overlap for other in kept):
            kept.append(row)
    return np.array(kept)


def _share(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    w, h = (max(min(a[i + 2], b[i + 2]) - max(a[i], b[i]), 0) for i in (0, 1))
    sizes = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return w * h / (sum(sizes) - w * h)


@cases(15)
@given(SEEDS, st.sampled_from([0.1, 0.4]), st.sampled_from([0.3, 0.6]))
def test_yolo_v3_matches_loops(seed: int, threshold: float, overlap: float) -> None:
    bottoms = arrays({"a": (1, 14, 3, 3), "b": (1, 14, 6, 6)}, seed, -2, 2)
    text = f"{YOLO} confidence_threshold: {threshold} nms_threshold: {overlap} }}"
    found = engine_outputs(network_of(text, bottoms), bottoms)["y"][0, 0]
    np.testing.assert_allclose(found, yolo_by_loops(bottoms, threshold, overlap), atol=1e-5)


def test_yolo_without_a_box_and_beyond_its_limits() -> None:
    bottoms = arrays({"a": (1, 14, 3, 3), "b": (1, 14, 6, 6)}, 0)
    assert engine_outputs(network_of(f"{YOLO} confidence_threshold: 2 }}", bottoms), bottoms)["y"].tolist() == [
        [[[0, -1, -1, -1, -1, -1, -1]]]
    ]
    large = arrays({"a": (1, 14, 100, 100), "b": (1, 14, 160, 160)}, 0)
    with pytest.raises(EngineError, match=r"boxes are above the confidence threshold, the limit is 50000; give a conf"):
        engine_outputs(network_of(f"{YOLO} confidence_threshold: 0 }}", large), large)
    bottoms["a"][0, 2] = 1e4
    with pytest.raises(EngineError, match=r"layer 'd' .*a box is not finite"):
        engine_outputs(network_of(f"{YOLO} confidence_threshold: 0.01 }}", bottoms), bottoms)
    with pytest.raises(ShapeError, match="takes bottoms"):
        network_of(f"{YOLO} }}", arrays({"a": (1, 14, 3, 3), "b": (1, 15, 6, 6)}, 0))


def yolo2_boxes(maps: list[np.ndarray], biases: list[float], classes: int, least: float, overlap: float) -> np.ndarray:
    """Return YOLO v2's boxes box by box."""
    found = []
    for x in maps:
        side, boxes = x.shape[3], len(biases) // 2
        for n, row, column, b in np.ndindex(len(x), side, side, boxes):
            v = x[n, b * (5 + classes) : (b + 1) * (5 + classes), row, column].astype(np.float64)
            p = np.exp(v[5:]) / np.exp(v[5:]).sum()
            score = p.max() / (1 + np.exp(-v[4]))
            if score >= least:
                cx, cy = (column + 1 / (1 + np.exp(-v[0]))) / side, (row + 1 / (1 + np.exp(-v[1]))) / side
                w, h = np.exp(v[2]) * biases[2 * b] / side, np.exp(v[3]) * biases[2 * b + 1] / side
                found.append([0, p.argmax() + 1, score, cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
    kept: list[list[float]] = []
    for box in sorted(found, key=lambda box: -box[2]):
        for other in kept:
            sides = [min(box[5 + k], other[5 + k]) - max(box[3 + k], other[3 + k]) for k in (0, 1)]
            both = max(sides[0], 0) * max(sides[1], 0)
            areas = sum((o[5] - o[3]) * (o[6] - o[4]) for o in (box, other))
            if both / (areas - both) >= overlap:
                break
        else:
            kept.append(box)
    return np.array(kept)


@cases(10)
@given(SEEDS, st.integers(1, 2), st.sampled_from([0.05, 0.3]))
def test_boxes_of_yolo_v2(seed: int, count: int, least: float) -> None:
    shapes = {"x": (2, 14, 4, 4), "z": (2, 14, 3, 3)}
    bottoms = arrays(dict(list(shapes.items())[:count]), seed)
    biases = [0.7, 0.9, 2.5, 2.0]
    names = " ".join(f'bottom: "{name}"' for name in bottoms)
    numbers = " ".join(f"biases: {v}" for v in biases)
    text = f'name: "l" type: "YoloDetectionOutput" {names} top: "y" yolo_detection_output_param '
    text += f"{{ num_classes: 2 num_box: 2 confidence_threshold: {least} nms_threshold: 0.4 {numbers} }}"
    network = network_of(text, bottoms)
    wanted = yolo2_boxes(list(bottoms.values()), biases, 2, least, 0.4)
    for engine in ENGINES:
        found = engine_outputs(network, bottoms, engine)["y"]
        np.testing.assert_allclose(found[0, 0], wanted, atol=1e-5, err_msg=engine)


def test_yolo_v2_without_a_box_names_each_image() -> None:
    x = {"x": np.full((2, 14, 3, 3), -20, np.float32)}
    text = _one(
        "YoloDetectionOutput",
        "yolo_detection_output_param { num_classes: 2 num_box: 2 biases: [1, 1, 2, 2] confidence_threshold: 0.5 }",
    )
    wanted = [[0, *[-1] * 6], [1, *[-1] * 6]]
    np.testing.assert_array_equal(engine_outputs(network_of(text, x), x, ENGINES[0])["y"][0, 0], wanted)
