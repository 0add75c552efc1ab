"""BoxAnnotatorOHEM against a loop over images, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import EngineError, ShapeError
from tests.net.layers.draws import SEEDS, cases
from tests.net.layers.opencv_runs import engine_outputs, network_of

NAMES = ("rois", "losses", "labels", "weights")


def _text(param: str = "roi_per_img: 2") -> str:
    bottoms = " ".join(f'bottom: "{name}"' for name in NAMES)
    tops = 'top: "labels_ohem" top: "weights_ohem"'
    return f'name: "l" type: "BoxAnnotatorOHEM" {bottoms} {tops} box_annotator_ohem_param {{ {param} }}'


def _bottoms(seed: int, regions: int = 7, images: int = 3, places: tuple[int, ...] = ()) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    rois = rng.uniform(0, 50, (regions, 5, *places))
    rois[:, 0] = rng.integers(0, images, rois[:, 0].shape)
    arrays = (
        rois,
        rng.integers(0, 4, (regions, 1, *places)),  # few values: many losses are equal
        rng.integers(0, 21, (regions, 1, *places)),
        rng.uniform(0, 1, (regions, 8, *places)),
    )
    return {name: x.astype(np.float32) for name, x in zip(NAMES, arrays, strict=True)}


@cases(20)
@given(SEEDS, st.integers(1, 4), st.integers(1, 9), st.sampled_from([(), (1, 1), (2, 3)]))
def test_the_hardest_of_every_image_are_kept(seed: int, count: int, regions: int, places: tuple[int, ...]) -> None:
    bottoms = _bottoms(seed, regions, places=places)
    network = network_of(_text(f"roi_per_img: {count} ignore_label: -7"), bottoms)
    found = engine_outputs(network, bottoms)
    rows = [(n, *place) for n in range(regions) for place in np.ndindex(*places)]
    image = {row: int(bottoms["rois"][(row[0], 0, *row[1:])]) for row in rows}
    loss = {row: float(bottoms["losses"][(row[0], 0, *row[1:])]) for row in rows}
    wanted = {name: np.zeros_like(bottoms[name]) for name in ("labels", "weights")}
    wanted["labels"][:] = -7
    for row in rows:
        harder = [
            r for i, r in enumerate(rows) if image[r] == image[row] and (loss[r], -i) > (loss[row], -rows.index(row))
        ]
        if len(harder) < count:
            for name, x in wanted.items():
                x[(row[0], slice(None), *row[1:])] = bottoms[name][(row[0], slice(None), *row[1:])]
    for name, x in wanted.items():
        np.testing.assert_array_equal(found[f"{name}_ohem"].reshape(x.shape), x)


def test_what_is_refused() -> None:
    bottoms = _bottoms(0)
    with pytest.raises(ShapeError, match="roi_per_img must be positive"):
        network_of(_text(""), bottoms)
    with pytest.raises(ShapeError, match="must agree in number"):
        network_of(_text(), {**bottoms, "losses": bottoms["losses"][:5]})
    with pytest.raises(ShapeError, match="regions of 5 values"):
        network_of(_text(), {**bottoms, "rois": bottoms["rois"][:, :4]})
    network = network_of(_text(), bottoms)
    with pytest.raises(EngineError, match="image below 0"):
        engine_outputs(network, {**bottoms, "rois": bottoms["rois"] - 1})
