"""Images to scores: order, batches across images, weights, unreadable images, bounded read-ahead, clean stops."""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffezoo.errors import EngineError, ImageError, UsageError
from caffezoo.evaluation.crops import cut_views
from caffezoo.evaluation.images import read_image
from caffezoo.evaluation.pipeline import score_images
from caffezoo.evaluation.protocol import Protocol

SINGLE = Protocol(40, 32, 1)
TWELVE = Protocol(40, 32, 12)
EQUAL = Protocol(32, 32, 12)


def one_by_one(engine, path, protocol):
    """Weighted mean over the views, each run alone."""
    total = 0
    for view in cut_views(read_image(path), protocol):
        total = total + view.weight * engine.run(np.ascontiguousarray(view.pixels)[None])["prob"][0].astype(float)
    return total


@pytest.mark.parametrize("protocol", [SINGLE, TWELVE, EQUAL], ids=["1", "12", "12 equal"])
@pytest.mark.parametrize("batch_size", [1, 4, 5, 64])
@pytest.mark.parametrize("workers", [1, 3])
def test_scores_and_order_do_not_depend_on_batches_and_workers(colour_engine, pictures, protocol, batch_size, workers):
    engine = colour_engine(batch_size=batch_size)
    found = list(score_images(engine, pictures, protocol, batch_size=batch_size, workers=workers))
    assert [image.path for image in found] == pictures
    reference = colour_engine()
    for image in found:
        np.testing.assert_allclose(image.scores, one_by_one(reference, image.path, protocol), atol=1e-6)
        assert image.scores.sum() == pytest.approx(1, abs=1e-5)
    sizes = [size for size, _ in engine.batches]
    assert all(size == batch_size for size in sizes[:-1]), "only the last batch may be smaller"
    views = {SINGLE: 1, TWELVE: 12, EQUAL: 2}[protocol]
    assert sum(sizes) == views * len(pictures)
    assert {dtype for _, dtype in engine.batches} == {np.dtype(protocol.input_dtype)}


def test_rgb_networks_get_rgb(colour_engine, pictures):
    rgb = Protocol(40, 32, 1, channel_order="RGB")
    engine = colour_engine()
    (image,) = score_images(engine, pictures[:1], rgb, batch_size=4)
    (view,) = cut_views(read_image(pictures[0]), SINGLE)
    expected = engine.run(np.ascontiguousarray(view.pixels[..., ::-1])[None])["prob"][0]
    np.testing.assert_allclose(image.scores, expected, atol=1e-6)


def test_unreadable_images_keep_their_place(colour_engine, pictures, tmp_path):
    Path(pictures[3]).write_bytes(b"")
    paths = [str(tmp_path / "gone.jpg"), *pictures, str(tmp_path)]
    line = tmp_path / "line.png"
    line.write_bytes(cv2.imencode(".png", np.zeros((1, 60000, 3), np.uint8))[1].tobytes())
    paths.insert(6, str(line))
    found = list(score_images(colour_engine(), paths, SINGLE, batch_size=4))
    assert [image.path for image in found] == paths
    bad = {image.path: image.error for image in found if image.error}
    assert list(bad) == [paths[0], pictures[3], str(line), paths[-1]]
    assert all(isinstance(error, ImageError) and error.where == path for path, error in bad.items())
    assert all((image.scores is None) == (image.error is not None) for image in found)


def test_only_unreadable_images_give_only_errors(colour_engine, tmp_path):
    found = list(score_images(colour_engine(), [tmp_path / "a", tmp_path / "b"], SINGLE, batch_size=4))
    assert [image.error.message for image in found] == ["no such image"] * 2


def test_paths_are_taken_only_a_little_ahead_and_a_stop_is_clean(colour_engine, pictures):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield pictures[taken % len(pictures)]

    before = cv2.getNumThreads()
    scores = score_images(colour_engine(), endless(), SINGLE, batch_size=4, workers=2)
    for _ in range(20):
        next(scores)
    assert taken <= 20 + 4 + 2 * 4 + 2 + 1 + 2 * 4, "two batches run or wait to run"
    scores.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("caffezoo-decode")]
    assert cv2.getNumThreads() == before


def test_an_interrupt_passes_through_and_stops_the_threads(colour_engine, pictures):
    engine = colour_engine()
    run = engine.run

    def interrupted(batch):
        if len(engine.batches) == 1:
            raise KeyboardInterrupt
        return run(batch)

    engine.run = interrupted
    scores = score_images(engine, pictures, SINGLE, batch_size=4)
    assert [next(scores).path for _ in range(4)] == pictures[:4]
    with pytest.raises(KeyboardInterrupt):
        list(scores)
    assert not [t for t in threading.enumerate() if t.name.startswith("caffezoo-decode")]


class Outputs:
    """Gives fixed outputs."""

    def __init__(self, **shapes):
        self.shapes = shapes

    def run(self, batch):
        return {name: np.ones((len(batch), *shape), np.float32) for name, shape in self.shapes.items()}


def test_outputs_are_checked(pictures):
    (image,) = score_images(Outputs(prob=(7, 1, 1)), pictures[:1], SINGLE)
    assert image.scores.shape == (7,)
    (image,) = score_images(Outputs(a=(3,), b=(5,)), pictures[:1], SINGLE, output="b")
    assert image.scores.shape == (5,)
    with pytest.raises(UsageError, match="output 'prob' of 1 crops is 1 x 7 x 2 x 2, not one score for each class"):
        list(score_images(Outputs(prob=(7, 2, 2)), pictures[:1], SINGLE))
    with pytest.raises(EngineError, match=r"the outputs \['a', 'b'\]"):
        list(score_images(Outputs(a=(3,), b=(5,)), pictures[:1], SINGLE))
    with pytest.raises(UsageError, match="batch size 0"):
        list(score_images(Outputs(a=(3,)), pictures[:1], SINGLE, batch_size=0))


def test_an_engine_that_fails_names_the_images_of_the_batch(pictures):
    class Broken:
        def run(self, batch):
            raise EngineError("output 'prob' holds a value that is not finite", where="engine x")

    with pytest.raises(
        EngineError, match=r"engine x, on .*picture 00.jpg and 3 more images of its batch: output 'prob'"
    ):
        list(score_images(Broken(), pictures, SINGLE, batch_size=4))
    with pytest.raises(EngineError, match=r"engine x, on .*picture 00.jpg: output 'prob'"):
        list(score_images(Broken(), pictures, TWELVE, batch_size=4))
