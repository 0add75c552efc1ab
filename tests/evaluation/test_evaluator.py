"""The evaluation loop and its record, on a real small classifier."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from caffezoo.errors import DataError, EngineError, ImageError, OutOfMemoryError, UsageError
from caffezoo.evaluation.answer_keys import own_labels
from caffezoo.evaluation.classification import Classification, classify
from caffezoo.evaluation.classifier import Classifier
from caffezoo.evaluation.crops import cut_views
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.evaluator import evaluate, evaluate_together
from caffezoo.evaluation.identity import default_run_path, identity
from caffezoo.evaluation.images import read_image
from caffezoo.evaluation.labels import LabelledImage
from caffezoo.evaluation.metrics import ErrorRate
from caffezoo.evaluation.outcomes import LabelSet
from caffezoo.evaluation.protocol import Protocol
from caffezoo.evaluation.recipe import Recipe
from caffezoo.evaluation.runs.folder import Run
from caffezoo.evaluation.runs.scoring import Subject
from caffezoo.formats.preprocessing import Preprocessing
from caffezoo.net.scores import Head


@pytest.fixture
def classifier(tmp_path, colour_engine):
    for name in ("net.prototxt", "net.caffemodel"):
        (tmp_path / name).write_text(name)
    recipe = Recipe("colours", tmp_path / "net.prototxt", tmp_path / "net.caffemodel", Preprocessing())
    head = Head("prob", 7, "probabilities", "the only output", ("prob",), True, "prob", None)
    return Classifier(recipe, Protocol(40, 32), colour_engine(), head)


@pytest.fixture
def scores(classifier, pictures):
    """Each picture's scores, run alone."""
    views = [cut_views(read_image(path), classifier.protocol)[0].pixels for path in pictures]
    return [classifier.engine.run(np.ascontiguousarray(v)[None])["prob"][0] for v in views]


@pytest.fixture
def many(pictures, tmp_path):
    """Nineteen pictures: three shards of eight."""
    again = [tmp_path / f"picture {i:02}.jpg" for i in range(11, 19)]
    for i, path in enumerate(again):
        path.write_bytes(Path(pictures[i]).read_bytes())
    return [*pictures, *(str(path) for path in again)]


@pytest.fixture
def scores_of(classifier):
    """Each picture's scores, run alone."""

    def run(paths):
        views = [cut_views(read_image(path), classifier.protocol)[0].pixels for path in paths]
        return [classifier.engine.run(np.ascontiguousarray(v)[None])["prob"][0] for v in views]

    return run


def small_run(classifier, images, path):
    """A run in shards of eight."""
    one = Subject(classifier, images, (own_labels(images),))
    return Run.open(path, identity(one), len(images.images), 8)


def dataset(pictures, labels):
    images = tuple(LabelledImage(p, int(n), f"l:{i}") for i, (p, n) in enumerate(zip(pictures, labels, strict=True)))
    return Dataset("pictures", images, "l")


def test_errors_are_those_of_the_scores(classifier, pictures, scores):
    best = [int(s.argmax()) for s in scores]
    worst = [int(s.argmin()) for s in scores]
    seen = []
    result = evaluate(classifier, dataset(pictures, best), on_image=seen.append)
    assert (result.top1, result.top5) == (ErrorRate(0, 11), ErrorRate(0, 11))
    assert [p.done for p in seen] == list(range(1, 12))
    assert seen[-1].total == 11
    assert seen[-1].top1 == result.top1
    result = evaluate(classifier, dataset(pictures, worst[:5] + best[5:]))
    assert (result.top1, result.top5) == (ErrorRate(5, 11), ErrorRate(5, 11))
    third = [int(s.argsort()[-3]) for s in scores]
    assert evaluate(classifier, dataset(pictures, third)).top5.errors == 0


def test_the_record_is_complete_json(classifier, pictures, scores):
    result = evaluate(classifier, dataset(pictures, [int(s.argmax()) for s in scores]))
    record = json.loads(json.dumps(result.to_json()))
    assert (record["top1_error"], record["top5_error"], record["images"]) == (0, 0, 11)
    assert record["top1_interval"] == [0, pytest.approx(25.88, abs=0.01)]
    assert record["images_per_second"] == pytest.approx(11 / record["seconds"])
    assert (record["network"], record["engine"], record["precision"]) == ("colours", "numpy", "float32")
    assert record["protocol"]["crop_size"] == 32
    assert record["versions"]["numpy"] == np.__version__
    assert {len(record["sha256"][key]) for key in ("prototxt", "weights", "images")} == {64}
    assert not record["interrupted"]


def test_unreadable_images_are_reported_and_strict_stops(classifier, pictures, scores):
    labels = [int(s.argmax()) for s in scores]
    Path(pictures[2]).write_bytes(b"no image")
    Path(pictures[7]).unlink()
    result = evaluate(classifier, dataset(pictures, labels))
    assert [path for path, _ in result.unreadable] == [pictures[2], pictures[7]]
    assert [reason for _, reason in result.unreadable] == ["not an image that cv2 can decode", "no such image"]
    assert (result.images, result.total, result.top1.errors) == (9, 11, 0)
    assert result.to_json()["unreadable"][1] == {"image": pictures[7], "reason": "no such image"}
    with pytest.raises(ImageError, match=r"picture 02\.jpg: not an image"):
        evaluate(classifier, dataset(pictures, labels), strict=True)


def test_no_readable_image_is_an_error(classifier, tmp_path):
    images = dataset([str(tmp_path / "a"), str(tmp_path / "b")], [0, 1])
    with pytest.raises(DataError, match="none of the 2 images can be read; this one: no such image"):
        evaluate(classifier, images)


def test_labels_out_of_range_are_told_before_anything_runs(classifier, pictures):
    with pytest.raises(DataError, match="l:10: label 7 is out of range: the network has 7 classes"):
        evaluate(classifier, dataset(pictures, [0] * 10 + [7]))
    assert classifier.engine.batches == []


def test_an_interrupt_keeps_what_was_done(classifier, pictures, scores):
    labels = [int(s.argmax()) for s in scores]

    def stop(progress):
        if progress.done == 6:
            raise KeyboardInterrupt

    result = evaluate(classifier, dataset(pictures, labels), on_image=stop)
    assert (result.interrupted, result.images, result.total) == (True, 6, 11)

    def stop_at_once(batch):
        raise KeyboardInterrupt

    classifier.engine.run = stop_at_once
    with pytest.raises(KeyboardInterrupt):
        evaluate(classifier, dataset(pictures, labels))


def subject(classifier, images):
    return Subject(classifier, images, (own_labels(images),))


@pytest.mark.parametrize("stop_after", [1, 8, 9, 15])
def test_an_interrupted_evaluation_goes_on_where_it_stopped(classifier, many, scores_of, tmp_path, stop_after):
    images = dataset(many, [int(s.argsort()[-1 - i % 3]) for i, s in enumerate(scores_of(many))])
    Path(many[4]).write_bytes(b"no image")
    whole = evaluate(classifier, images, run=small_run(classifier, images, tmp_path / "whole"))

    def stop(progress):
        if progress.done == stop_after:
            raise KeyboardInterrupt

    first_run = small_run(classifier, images, tmp_path / "run")
    first = evaluate(classifier, images, run=first_run, on_image=stop)
    first_run.close()
    assert (first.interrupted, first.images + len(first.unreadable)) == (True, stop_after)
    assert not (tmp_path / "run/summary.json").exists()
    run = small_run(classifier, images, tmp_path / "run")
    assert run.done_images == stop_after // 8 * 8 - (8 if stop_after % 8 == 0 else 0)
    seen = []
    second = evaluate(classifier, images, run=run, on_image=seen.append)
    assert (seen[-1].done, seen[0].resumed) == (19, run.images - len(seen))
    assert (second.top1, second.top5, second.confusion) == (whole.top1, whole.top5, whole.confusion)
    assert (second.unreadable, second.interrupted) == (whole.unreadable, False)
    assert (tmp_path / "run/summary.json").read_bytes() == (tmp_path / "whole/summary.json").read_bytes()
    done = evaluate(classifier, images, run=run)
    assert done.summary() == second.summary()


def test_strict_stops_at_what_the_run_holds_too(classifier, pictures, tmp_path):
    images = dataset(pictures, [0] * 11)
    Path(pictures[1]).write_bytes(b"no image")
    run = small_run(classifier, images, tmp_path / "run")
    evaluate(classifier, images, run=run)
    with pytest.raises(ImageError, match=r"picture 01\.jpg: not an image"):
        evaluate(classifier, images, strict=True, run=run)


def test_a_run_of_other_inputs_is_refused_and_what_differs_is_said(classifier, pictures, tmp_path):
    images = dataset(pictures, [0] * 11)
    small_run(classifier, images, tmp_path / "run").close()
    others = [
        (replace(classifier, protocol=Protocol(48, 32)), images, "protocol.base_size was 40 and is 48"),
        (classifier, dataset(pictures, [1] * 11), "images_sha256 was"),
        (classifier, dataset(pictures[::-1], [0] * 11), "images_sha256 was"),
        (classifier, dataset(pictures[:9], [0] * 9), "images was 11 and is 9"),
    ]
    for other, data, message in others:
        with pytest.raises(DataError, match=message):
            small_run(other, data, tmp_path / "run")
    (tmp_path / "net.caffemodel").write_text("others")
    with pytest.raises(DataError, match=r"weights_sha256 was .* name another directory"):
        small_run(classifier, images, tmp_path / "run")
    paths = {default_run_path(tmp_path, subject(one, data)) for one, data, _ in others}
    assert len(paths) == 4


def test_out_of_memory_halves_the_batch_and_says_so_once(classifier, many, scores_of, colour_engine):
    class Little(colour_engine):
        def run(self, batch):
            if len(batch) > 2:
                raise OutOfMemoryError("no memory", where="engine numpy")
            return super().run(batch)

    opened = []

    def reopen(batch_size):
        opened.append(batch_size)
        return replace(little, engine=Little(batch_size=batch_size))

    little = replace(classifier, engine=Little(batch_size=16), reopen=reopen)
    images = dataset(many, [int(s.argmax()) for s in scores_of(many)])
    notes = []
    (result,) = evaluate_together([subject(little, images)], on_note=notes.append)
    assert (result.top1, result.batch_size, opened) == (ErrorRate(0, 19), 2, [8, 4, 2])
    assert notes[0] == "out of memory with a batch of 16: colours goes on with 8"
    never = replace(little, reopen=None)
    with pytest.raises(OutOfMemoryError, match=r"engine numpy, on .*picture 00"):
        evaluate_together([subject(never, images)])


def test_several_networks_in_one_pass_are_those_of_several_passes(classifier, many, colour_engine):
    others = [
        classifier,
        replace(classifier, engine=colour_engine(seed=3)),
        replace(classifier, engine=colour_engine(seed=4), protocol=Protocol(36, 32, 12, channel_order="RGB")),
    ]
    images = dataset(many, [i % 7 for i in range(19)])
    Path(many[3]).unlink()
    together = evaluate_together([subject(one, images) for one in others])
    for one, found in zip(others, together, strict=True):
        assert found.summary() == evaluate(one, images).summary()


def test_label_sets_in_one_pass(classifier, many, scores_of):
    best = [int(s.argmax()) for s in scores_of(many)]
    images = dataset(many, best)
    real = LabelSet("real", tuple(() if i < 5 else (best[i], 0) if i % 2 else ((best[i] + 1) % 7,) for i in range(19)))
    (result,) = evaluate_together([Subject(classifier, images, (own_labels(images), real))])
    assert [(r.name, r.top1) for r in result.rates] == [("labels", ErrorRate(0, 19)), ("real", ErrorRate(7, 14))]
    record = json.loads(json.dumps(result.to_json()))
    assert [one["top1_error"] for one in record["label_sets"]] == [0, 50]


def test_a_subset_of_classes_takes_part_alone(classifier, many, scores_of):
    scores = scores_of(many)
    subset = (0, 3, 5)
    labels = [subset[i % 3] for i in range(19)]
    images = dataset(many, labels)
    (result,) = evaluate_together([Subject(classifier, images, (own_labels(images),), subset)])
    wrong = sum(max(subset, key=lambda k: s[k]) != label for s, label in zip(scores, labels, strict=True))
    assert (result.top1, result.top5, result.class_subset) == (ErrorRate(wrong, 19), None, 3)
    assert {guess for _, guess, _ in result.confusion} <= set(subset)


def test_scores_that_are_not_finite_name_the_image(classifier, pictures):
    run = classifier.engine.run

    def broken(batch):
        scores = run(batch)["prob"]
        scores[-1, 0] = np.nan
        return {"prob": scores}

    classifier.engine.run = broken
    with pytest.raises(EngineError, match=r"picture 03.jpg: the network's scores are not finite"):
        evaluate(classifier, dataset(pictures, [0] * 11))
    with pytest.raises(EngineError, match=r"picture 03.jpg: the network's scores are not finite"):
        list(classify(classifier, pictures))


def test_classify_orders_names_and_goes_on(classifier, pictures, scores, tmp_path):
    names = ("red", "green", "blue", "grey", "pink", "black", "white")
    named = replace(classifier, recipe=replace(classifier.recipe, label_order="other", class_names=names))
    found = list(classify(named, [pictures[0], tmp_path / "none.jpg", pictures[1]], top=3))
    assert [type(item) for item in found] == [Classification, ImageError, Classification]
    first = found[0]
    order = [int(i) for i in np.argsort(-scores[0])[:3]]
    assert [(g.index, g.label) for g in first.top] == [(i, names[i]) for i in order]
    np.testing.assert_allclose(first.probabilities, scores[0], atol=1e-6)
    record = json.loads(json.dumps(first.to_json()))
    assert list(record) == ["image", "top", "probabilities", "output", "kind"]
    assert record["top"][0] == {"index": order[0], "label": names[order[0]], "probability": first.probabilities.max()}
    assert len(next(classify(named, pictures, top=99)).top) == 7
    with pytest.raises(UsageError, match="--top 1 or more"):
        list(classify(named, pictures, top=0))


def test_class_names(classifier):
    recipe = classifier.recipe
    assert recipe.class_name(0, 1000) == "class 0"  # a thousand classes are not ImageNet's by that alone
    assert replace(recipe, label_order="2012").class_name(0, 1000) == "tench, Tinca tinca"
    assert replace(recipe, label_order="2015").class_name(0, 1000) == "kit fox, Vulpes macrotis"
    assert recipe.class_name(3, 7) == "class 3"
    assert replace(recipe, label_order="other").class_name(3, 1000) == "class 3"
