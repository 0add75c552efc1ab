"""What evaluation costs beside the network: `evaluate` against the engine's own images/s, memory, and time to start.

ResNet-50 with weights by formula (the arithmetic does not depend on them) on JPEGs of 500 x 375 px that are made here.
Contenders take turns; medians are printed, and the exit status is 1 where a threshold of the project is missed.

Run: ``python benchmarks/evaluation.py [--engine openvino] [--rounds 5] [--images 48]``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from caffezoo.engines.seeding import seeded_weights
from caffezoo.evaluation.classifier import Classifier, open_classifier
from caffezoo.evaluation.concurrency import default_workers
from caffezoo.evaluation.dataset import Dataset
from caffezoo.evaluation.evaluator import evaluate
from caffezoo.evaluation.labels import LabelledImage
from caffezoo.evaluation.recipe import Recipe
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.formats.image_size import Size
from caffezoo.formats.preprocessing import Preprocessing
from caffezoo.net.graph import Network
from caffezoo.zoo.resources import data_path

PROTOTXT = "prototxt/resnet/deploy_resnet50.prototxt"
MEAN = (102.98, 115.947, 122.772)
BATCH_SIZE = 8
ONE_CROP_RATIO, TWELVE_CROP_RATIO, EQUAL_CROPS_COST = 0.85, 0.93, 2.3
PEAK_BYTES, FIRST_IMAGE_SECONDS = 1.2e9, 1.2


def write_images(folder: Path, count: int) -> list[Path]:
    """Write JPEGs of 500 x 375 px with the detail, and so the decoding time, of photographs (about 110 kB each)."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(count):
        picture = np.full((375, 500, 3), 128.0, np.float32)
        for side, contrast in ((4, 45), (16, 30), (64, 20), (200, 12)):
            coarse = rng.normal(0, contrast, (side, side, 3)).astype(np.float32)
            picture += cv2.resize(coarse, (500, 375), interpolation=cv2.INTER_CUBIC)
        path = folder / f"{i:04}.jpg"
        path.write_bytes(cv2.imencode(".jpg", np.clip(picture, 0, 255).astype(np.uint8))[1].tobytes())
        paths.append(path)
    return paths


def write_network(folder: Path) -> Recipe:
    """Write ResNet-50's files."""
    network = Network.load(data_path(PROTOTXT))
    weights, _ = seeded_weights(network)
    write_caffemodel(folder / "resnet50.caffemodel", network.prototxt.net, weights)
    preprocessing = Preprocessing(MEAN, base_size=Size.of(256), crop_size=Size.of(224))
    return Recipe("resnet50", data_path(PROTOTXT), folder / "resnet50.caffemodel", preprocessing)


def evaluation_seconds(classifier: Classifier, paths: list[Path]) -> float:
    """Seconds an image, decoding and all."""
    images = tuple(LabelledImage(str(path), 0) for path in paths)
    return evaluate(classifier, Dataset("made", images, ""), workers=default_workers()).seconds / len(paths)


def engine_seconds(classifier: Classifier, crops: int) -> float:
    """Seconds a crop of the engine alone, in full batches."""
    shape = (BATCH_SIZE, *classifier.protocol.crop_size, 3)
    batch = np.random.default_rng(1).integers(0, 256, shape).astype(classifier.protocol.input_dtype)
    batches = max(1, round(crops / BATCH_SIZE))
    start = time.perf_counter()
    for _ in range(batches):
        classifier.engine.run(batch)
    return (time.perf_counter() - start) / (batches * BATCH_SIZE)


def interleaved_medians(contenders: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Let the contenders take turns, after one warm-up each, and return the median of each."""
    for contender in contenders.values():
        contender()
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            times[name].append(contender())
    return {name: statistics.median(values) for name, values in times.items()}


def report(text: str, value: float, limit: float, *, at_least: bool, unit: str = "") -> bool:
    good = value >= limit if at_least else value <= limit
    bound = f"{'at least' if at_least else 'at most'} {limit:g}{unit}"
    print(f"{text:58} {value:8.3f}{unit}  ({bound}: {'good' if good else 'MISSED'})", flush=True)
    return good


def compare(recipe: Recipe, paths: list[Path], engine: str, rounds: int) -> bool:
    """Measure the ratios."""
    sizes = {"base_size": 320, "crop_size": 320}
    one = open_classifier(recipe, engine=engine, batch_size=BATCH_SIZE)
    twelve = open_classifier(recipe, crops=12, engine=engine, batch_size=BATCH_SIZE)
    few = paths[: max(2, len(paths) // 12)]
    alone = "the engine alone, a crop"
    print(f"{one.engine.name} {one.engine.version}, {one.engine.device}, {one.engine.precision}, batch {BATCH_SIZE}")
    t1 = interleaved_medians(
        {alone: lambda: engine_seconds(one, len(paths)), "evaluate": lambda: evaluation_seconds(one, paths)}, rounds
    )
    t12 = interleaved_medians(
        {
            alone: lambda: engine_seconds(twelve, 12 * len(few)),
            "evaluate": lambda: evaluation_seconds(twelve, few) / 12,
        },
        rounds,
    )
    one.close()
    twelve.close()
    one = open_classifier(recipe, engine=engine, batch_size=BATCH_SIZE, **sizes)
    twelve = open_classifier(recipe, crops=12, engine=engine, batch_size=BATCH_SIZE, **sizes)
    half = paths[: max(2, len(paths) // 2)]
    t320 = interleaved_medians(
        {"1": lambda: evaluation_seconds(one, half), "12": lambda: evaluation_seconds(twelve, half)}, rounds
    )
    one.close()
    twelve.close()
    for name, times in (("1 crop 256/224", t1), ("12 crops 256/224", t12)):
        print(f"{name}: {1e3 * times[alone]:.2f} ms a crop alone, {1e3 * times['evaluate']:.2f} ms in evaluate")
    print(f"320/320: {1e3 * t320['1']:.2f} ms an image at 1 crop, {1e3 * t320['12']:.2f} ms at 12 crops")
    return all(
        [
            report("evaluate / engine alone, 1 crop", t1[alone] / t1["evaluate"], ONE_CROP_RATIO, at_least=True),
            report("evaluate / engine alone, 12 crops", t12[alone] / t12["evaluate"], TWELVE_CROP_RATIO, at_least=True),
            report("12 crops / 1 crop at 320/320", t320["12"] / t320["1"], EQUAL_CROPS_COST, at_least=False),
        ]
    )


# The command itself, in a process of its own, which tells its peak memory at the end.
COMMAND = """
import sys
from caffezoo.cli.main import main
try:
    main(["evaluate", *sys.argv[1:]])
finally:
    lines = open("/proc/self/status").read().splitlines()
    print(next(line for line in lines if line.startswith("VmHWM")), file=sys.stderr)
"""


def command(recipe: Recipe, paths: list[Path], folder: Path, engine: str) -> bool:
    """Run the command line itself: its peak memory, and its time for a single image on a warm cache."""
    (folder / "list.txt").write_text("".join(f"{path} 0\n" for path in paths))
    arguments = [
        *(sys.executable, "-c", COMMAND, "--prototxt", str(recipe.prototxt), "--weights", str(recipe.weights)),
        *("--mean", *(str(v) for v in MEAN), "--engine", engine, "--json"),
        *("--batch-size", str(BATCH_SIZE), "--data", str(folder / "list.txt")),
    ]
    seconds = []
    for _ in range(3):  # the first warms the file cache
        start = time.perf_counter()
        subprocess.run([*arguments, "--limit", "1"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    finished = subprocess.run(arguments, check=True, capture_output=True, text=True)
    assert json.loads(finished.stdout)["images"] == len(paths)
    peak_bytes = 1024 * int(finished.stderr.split()[-2])
    return all(
        [
            report(
                "peak memory of the command, batch 8", peak_bytes / 1e9, PEAK_BYTES / 1e9, at_least=False, unit=" GB"
            ),
            report("command to end of one image", min(seconds), FIRST_IMAGE_SECONDS, at_least=False, unit=" s"),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=48)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = write_network(folder)
        paths = write_images(folder, options.images)
        print(
            f"{len(paths)} JPEGs of 500 x 375 px, {sum(p.stat().st_size for p in paths) / len(paths) / 1e3:.0f} kB each"
        )
        good = compare(recipe, paths, options.engine, options.rounds)
        good = command(recipe, paths, folder, options.engine) and good
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
