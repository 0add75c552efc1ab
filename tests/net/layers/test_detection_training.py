"""AnnotatedData, SmoothL1Loss and DetectionEvaluate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import ShapeError
from caffezoo.net.graph import Network
from tests.engines.networks import HERE, requires_torch
from tests.net.layers.draws import SEEDS, arrays, cases
from tests.net.layers.opencv_runs import engine_outputs, network_of

ENGINES = HERE


@cases(15)
@given(st.sampled_from([(3, 4), (2, 3, 2, 2), (5,)]), st.integers(2, 4), st.sampled_from([1.0, 3.0, 0.5]), SEEDS)
def test_smooth_l1_loss_follows_the_formula(shape: tuple[int, ...], count: int, sigma: float, seed: int) -> None:
    bottoms = arrays(dict.fromkeys("abio"[:count], shape), seed, -2, 2)
    names = " ".join(f'bottom: "{n}"' for n in bottoms)
    text = f'name: "l" type: "SmoothL1Loss" {names} top: "y" smooth_l1_loss_param {{ sigma: {sigma} }}'
    a, b, inner, outer = (*(x.astype(np.float64) for x in bottoms.values()), 1.0, 1.0)[:4] if count != 3 else (
        *(x.astype(np.float64) for x in bottoms.values()), 1.0)  # fmt: skip
    d = inner * (a - b)
    f = np.where(np.abs(d) < 1 / sigma**2, 0.5 * (sigma * d) ** 2, np.abs(d) - 0.5 / sigma**2)
    network = network_of(text, bottoms)
    for engine in ENGINES:
        found = engine_outputs(network, bottoms, engine)["y"]
        np.testing.assert_allclose(found, (outer * f).sum() / shape[0], rtol=1e-4, atol=1e-5, err_msg=engine)


@requires_torch
def test_smooth_l1_loss_has_a_gradient() -> None:
    import torch

    from caffezoo.net.torch_module import to_torch

    bottoms = arrays(dict.fromkeys("abio", (3, 4)), 1, -2, 2)
    names = " ".join(f'bottom: "{n}"' for n in bottoms)
    module = to_torch(network_of(f'name: "l" type: "SmoothL1Loss" {names} top: "y"', bottoms))
    a, *others = (torch.from_numpy(x).double() for x in bottoms.values())
    assert torch.autograd.gradcheck(lambda v: module(v, *others)["y"], (a.requires_grad_(),))


def test_smooth_l1_losses_that_cannot_be() -> None:
    with pytest.raises(ShapeError, match="bottoms must agree"):
        network_of('name: "l" type: "SmoothL1Loss" bottom: "a" bottom: "b"', arrays({"a": (2, 3), "b": (3, 2)}, 0))


def _detections() -> dict[str, np.ndarray]:
    """Return two boxes of class 1 (the second difficult) and one of class 2 in image 0, and detections of them."""
    truth = [
        (0, 1, 0, 0.1, 0.1, 0.4, 0.4, 0),
        (0, 1, 1, 0.6, 0.6, 0.9, 0.9, 1),
        (0, 2, 0, 0.1, 0.6, 0.3, 0.9, 0),
    ]
    found = [
        (0, 1, 0.5, 0.1, 0.1, 0.4, 0.4),  # found a second time
        (0, 1, 0.9, 0.1, 0.1, 0.4, 0.39),
        (0, 1, 0.8, 0.6, 0.6, 0.9, 0.9),  # the difficult one
        (0, 2, 0.7, 0.5, 0.1, 0.7, 0.3),  # beside everything
        (1, 1, 0.6, 0.1, 0.1, 0.4, 0.4),  # an image without boxes
        (1, -1, -1, -1, -1, -1, -1),
    ]
    return {"f": np.array([[found]], np.float32), "t": np.array([[truth]], np.float32)}


@pytest.mark.parametrize("difficult", [True, False])
def test_detections_are_judged_against_the_ground_truth(difficult: bool) -> None:
    text = (
        'name: "l" type: "DetectionEvaluate" bottom: "f" bottom: "t" top: "y" detection_evaluate_param { '
        f"num_classes: 3 overlap_threshold: 0.5 evaluate_difficult_gt: {str(difficult).lower()} "
        'name_size_file: "not/read.txt" }'
    )
    bottoms = _detections()
    found = engine_outputs(network_of(text, bottoms), bottoms)["y"][0, 0]
    wanted = [
        (-1, 1, 2 if difficult else 1, -1, -1),
        (-1, 2, 1, -1, -1),
        (0, 1, 0.9, 1, 0),
        (0, 1, 0.8, 1 if difficult else 0, 0),
        (0, 1, 0.5, 0, 1),
        (0, 2, 0.7, 0, 1),
        (1, 1, 0.6, 0, 1),
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_an_evaluation_says_what_it_takes() -> None:
    names = 'bottom: "f" bottom: "t" top: "y"'
    with pytest.raises(ShapeError, match="has no num_classes"):
        network_of(f'name: "l" type: "DetectionEvaluate" {names}', _detections())
    bad = {**_detections(), "t": np.zeros((1, 1, 2, 7), np.float32)}
    with pytest.raises(ShapeError, match="takes detections"):
        network_of(f'name: "l" type: "DetectionEvaluate" {names} detection_evaluate_param {{ num_classes: 3 }}', bad)


@pytest.mark.parametrize(
    ("transform", "size"),
    [("resize_param { height: 20 width: 30 }", (20, 30)), ("crop_size: 7", (7, 7)), ("crop_h: 5 crop_w: 6", (5, 6))],
)
def test_annotated_data_has_images_of_the_resized_size_and_their_boxes(transform: str, size: tuple[int, int]) -> None:
    text = (
        'layer { name: "d" type: "AnnotatedData" top: "x" top: "t" data_param { batch_size: 2 } '
        f"transform_param {{ {transform} }} }}"
    )
    network = Network.from_text(text)
    assert dict(network.inputs) == {"x": (2, 3, *size), "t": (1, 1, 1, 8)}
    with pytest.raises(ShapeError, match="--shape x="):
        Network.from_text(text.replace(transform, ""))
    given = Network.from_text(text.replace(transform, ""), inputs={"x": (1, 3, 9, 9)})
    assert dict(given.inputs) == {"x": (1, 3, 9, 9), "t": (1, 1, 1, 8)}
