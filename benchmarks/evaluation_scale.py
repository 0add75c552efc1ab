"""What evaluation at full scale costs: against the original's loop on real Caffe, against the cores' own sum, together.

- ``evaluate`` against a plain loop that does what the original script does on real pycaffe (``CAFFE_PYTHON``);
- ``evaluate`` against (core seconds of the engine alone + core seconds of decoding and cutting alone) / cores;
- four networks in one pass against four passes;
- two Ray workers of one thread against one process with two (``--ray``).

Networks have weights by formula; JPEGs of 500 x 375 px are made here. Contenders take turns, medians are printed, and
the exit status is 1 where a threshold of the project is missed. Run on a quiet machine:
``python benchmarks/evaluation_scale.py [--rounds 3] [--images 48] [--ray] [--no-caffe]``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from evaluation import BATCH_SIZE, interleaved_medians, report, write_images

from caffezoo.engines.base import Engine
from caffezoo.engines.registry import create_engine
from caffezoo.engines.seeding import seeded_weights
from caffezoo.evaluation.answer_keys import own_labels
from caffezoo.evaluation.classifier import Classifier, open_classifier
from caffezoo.evaluation.concurrency import cores, default_streams, default_workers
from caffezoo.evaluation.crops import cut_views
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.decoders import decode
from caffezoo.evaluation.evaluator import evaluate, evaluate_together
from caffezoo.evaluation.labels import LabelledImage
from caffezoo.evaluation.protocol import Protocol
from caffezoo.evaluation.recipe import Recipe
from caffezoo.evaluation.runs.ray_pool import ray_scorer
from caffezoo.evaluation.runs.scoring import Subject
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.formats.image_size import Size
from caffezoo.formats.preprocessing import Preprocessing
from caffezoo.net.graph import Network
from caffezoo.zoo.resources import data_path

RESNET = "prototxt/resnet/deploy_resnet50.prototxt"
MOBILENET = "prototxt/mobilenet/deploy_mobilenet-v1-1.0.prototxt"
MEAN = (102.98, 115.947, 122.772)
AGAINST_CAFFE = {("float32", 1, 224): 5.0, ("float32", 12, 224): 5.0, ("float32", 12, 320): 28.0}
AGAINST_CAFFE_BF16 = {("bfloat16", 1, 224): 15.0, ("bfloat16", 12, 224): 28.0}
OVERHEAD, FOUR_NETWORKS, RAY = 1.05, 0.9, 0.85


def recipe_of(folder: Path, prototxt: str, size: int = 224) -> Recipe:
    """Write a network's weights by formula."""
    path = data_path(prototxt)
    network = Network.load(path)
    weights = folder / f"{path.stem}.caffemodel"
    if not weights.exists():
        write_caffemodel(weights, network.prototxt.net, seeded_weights(network)[0])
    base = 256 if size == 224 else size
    return Recipe(path.stem, path, weights, Preprocessing(MEAN, base_size=Size.of(base), crop_size=Size.of(size)))


def dataset(paths: list[Path]) -> Dataset:
    return Dataset("made", tuple(LabelledImage(str(path), 0) for path in paths), "")


def opened(recipe: Recipe, crops: int = 1, precision: str = "float32") -> Classifier:
    streams = default_streams("openvino")
    return open_classifier(recipe, crops=crops, precision=precision, batch_size=BATCH_SIZE, streams=streams)


def evaluation_seconds(classifier: Classifier, paths: list[Path]) -> float:
    """Seconds an image."""
    return evaluate(classifier, dataset(paths), workers=default_workers()).seconds / len(paths)


def original_seconds(caffe: Engine, paths: list[Path], crops: int, size: int) -> float:
    """Seconds an image of the original's loop: read, resize, crop and normalise one by one, then forward."""
    base = 256 if size == 224 else size
    start = time.perf_counter()
    for path in paths:
        image = cv2.imread(str(path))
        height, width = image.shape[:2]
        short = min(height, width)
        image = cv2.resize(image, (width * base // short, height * base // short)).astype(np.float32) - np.float32(MEAN)
        if crops == 1:
            y, x = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
            views = [image[y : y + size, x : x + size]]
        else:
            square = cv2.resize(image, (base, base))
            views = []
            for side in (square, square[:, ::-1]):
                last, middle = base - size, (base - size) // 2
                places = ((0, 0), (last, last), (0, last), (last, 0), (middle, middle))
                views += [side[y : y + size, x : x + size] for y, x in places]
                views.append(cv2.resize(np.ascontiguousarray(side), (size, size)))
        caffe.run(np.ascontiguousarray(np.stack(views).transpose(0, 3, 1, 2)))
    return (time.perf_counter() - start) / len(paths)


def against_caffe(folder: Path, paths: list[Path], rounds: int, *, bfloat16: bool) -> bool:
    good = True
    for (precision, crops, size), limit in {**AGAINST_CAFFE, **(AGAINST_CAFFE_BF16 if bfloat16 else {})}.items():
        recipe = recipe_of(folder, RESNET, size)
        network = Network.load(recipe.prototxt).resized(size).with_weights_file(recipe.weights)
        ours = opened(recipe, crops, precision)
        with create_engine("caffe", network, batch_size=crops) as caffe:
            contenders: dict[str, Callable[[], float]] = {
                # Ours fills batches across images and runs several at a time: a few images would leave cores idle at
                # the end. The original takes image by image, and the same time for each.
                "ours": partial(evaluation_seconds, ours, paths),
                "original": partial(original_seconds, caffe, paths[:: max(1, len(paths) // 4)], crops, size),
                "engine": _parts(ours, paths, ())["engine"],
            }
            times = interleaved_medians(contenders, rounds)
        bound = times["original"] / (times["engine"] * ours.protocol.distinct_views / cores())
        ours.close()
        name = f"ResNet-50 {precision}, {crops} crops of {size}: original / evaluate"
        good &= report(name, times["original"] / times["ours"], limit, at_least=True, unit="x")
        print(f"{'':4}the engine alone, without decoding: {bound:.3f}x")
    return good


def core_seconds(work: Callable[[int], object], callers: int, count: int) -> float:
    """CPU seconds of all threads an item, of ``work(caller)`` done by several threads at once, as in a run."""
    threads = [threading.Thread(target=work, args=(caller,)) for caller in range(callers)]
    before = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.process_time() - before) / count


def against_its_parts(folder: Path, paths: list[Path], rounds: int, *, bfloat16: bool) -> bool:
    good = True
    contents = [path.read_bytes() for path in paths]
    for prototxt in (RESNET, MOBILENET):
        for precision in ("float32", *(["bfloat16"] if bfloat16 else [])):
            classifier = opened(recipe_of(folder, prototxt), precision=precision)
            name = f"{classifier.recipe.name} {precision}"
            times = interleaved_medians(_parts(classifier, paths, contents), rounds)
            classifier.close()
            ideal = (times["engine"] + times["images"]) / cores()
            print(f"{name}: " + ", ".join(f"{k} {1e3 * v:.2f} ms" for k, v in times.items()))
            good &= report(f"{name}: evaluate / its parts", times["evaluate"] / ideal, OVERHEAD, at_least=False)
    return good


def _parts(classifier: Classifier, paths: list[Path], contents: Sequence[bytes]) -> dict[str, Callable[[], float]]:
    """Core seconds an image of the engine alone and of decoding and cutting alone, and seconds of the whole.

    Either alone has all cores, as in a run: the engine a caller for each of its streams, since two streams at once take
    a few hundredths more of the cores' time than one after the other.
    """
    protocol: Protocol = classifier.protocol
    shape = (BATCH_SIZE, *protocol.crop_size, 3)
    batch = np.random.default_rng(1).integers(0, 256, shape).astype(protocol.input_dtype)
    streams = classifier.engine.streams
    batches = -(-len(paths) // (BATCH_SIZE * streams))

    def engine(_: int) -> None:
        for _ in range(batches):
            classifier.engine.run(batch)

    def images(caller: int) -> None:
        for content in contents[caller :: cores()]:
            cut_views(decode(content), protocol)

    return {
        "engine": lambda: core_seconds(engine, streams, batches * streams * BATCH_SIZE),
        "images": lambda: core_seconds(images, cores(), len(paths)),
        "evaluate": lambda: evaluation_seconds(classifier, paths),
    }


def four_networks(folder: Path, paths: list[Path], rounds: int, *, bfloat16: bool) -> bool:
    good = True
    for precision in ("float32", *(["bfloat16"] if bfloat16 else [])):
        recipe = recipe_of(folder, MOBILENET)
        four = [opened(recipe, precision=precision) for _ in range(4)]
        images = dataset(paths)
        subjects = [Subject(one, images, (own_labels(images),)) for one in four]
        times = interleaved_medians(
            {"together": partial(passes, [subjects]), "apart": partial(passes, subjects)}, rounds
        )
        for one in four:
            one.close()
        name = f"four MobileNets {precision} in one pass / in four"
        good &= report(name, times["together"] / times["apart"], FOUR_NETWORKS, at_least=False)
    return good


def passes(groups: Sequence[Subject | list[Subject]]) -> float:
    """Seconds of a pass for each group."""
    start = time.perf_counter()
    for group in groups:
        evaluate_together(group if isinstance(group, list) else [group], workers=default_workers())
    return time.perf_counter() - start


def two_ray_workers(folder: Path, paths: list[Path], count: int) -> bool:
    """Throughput without what it takes to start the cluster: a third of a run is subtracted from the whole."""
    recipe = recipe_of(folder, RESNET)
    classifier = open_classifier(recipe, batch_size=BATCH_SIZE, threads=2, streams=2)

    def seconds(count: int, ray: bool) -> float:
        images = dataset([paths[i % len(paths)] for i in range(count)])
        subject = Subject(classifier, images, (own_labels(images),))
        start = time.perf_counter()
        evaluate_together([subject], workers=2, scorer=ray_scorer(members=2, threads=1) if ray else None)
        return time.perf_counter() - start

    ray_s = seconds(count + count // 2, True) - seconds(count // 2, True)
    own_s = seconds(count + count // 2, False) - seconds(count // 2, False)
    classifier.close()
    return report(f"one process / two Ray workers, {count} images", own_s / ray_s, RAY, at_least=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument("--ray", action="store_true", help="measure Ray as well")
    parser.add_argument("--ray-images", type=int, default=1024, help="which is 8 shards")
    parser.add_argument("--no-caffe", action="store_true", help="leave real Caffe out")
    parser.add_argument("--only-ray", action="store_true", help="measure nothing else")
    options = parser.parse_args()
    from caffezoo.engines.openvino import OpenVINOEngine

    bfloat16 = "bfloat16" in OpenVINOEngine.probe().precisions
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_images(folder, options.images)
        good = True
        if not options.no_caffe and not options.only_ray:
            good = against_caffe(folder, paths, options.rounds, bfloat16=bfloat16) and good
        if not options.only_ray:
            good = against_its_parts(folder, paths, options.rounds, bfloat16=bfloat16) and good
            good = four_networks(folder, paths, options.rounds, bfloat16=bfloat16) and good
        if options.ray or options.only_ray:
            good = two_ray_workers(folder, paths, options.ray_images) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
