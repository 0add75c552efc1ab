"""Training against the same network written by hand in torch, against real Caffe, and at its three precisions.

    python benchmarks/training.py [--caffe-python PYTHON] [--rounds N] [--images N] [--json]

All runners of a part take turns within one run, so that a slow minute of the machine hits them alike; figures are
medians of whole iterations: data, forward, backward, update. Images are drawn by seed; JPEGs of 500x375 px. Exit status
1 if a ratio is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from caffezoo.formats.image_size import Size
from caffezoo.formats.preprocessing import Preprocessing
from caffezoo.net.graph import Network
from caffezoo.training.feeds.base import FeedOptions, make_feed
from caffezoo.training.finetune import FineTuning
from caffezoo.training.job import Job
from caffezoo.training.precision_forms import PrecisionChoice

ROOT = Path(__file__).resolve().parent.parent
NETWORKS = {
    "resnet18": "prototxt/resnet/deploy_resnet18-priv.prototxt",
    "alexnet": "prototxt/alexnet/deploy_alexnet.prototxt",
}
BATCH = 16
BY_HAND, CAFFE, PRECISION = 0.95, 3.0, 1.6
SIZES = Preprocessing((104.0, 117.0, 123.0), (58.0,) * 3, Size.of(256), Size.of(224), "squash")

Runner = Callable[[], float]


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, below: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(below, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        same = stride == 1 and below == width
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(below, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet18_by_hand(classes: int) -> nn.Module:
    """ResNet-18 as one writes it in torch."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, 1))
    below = 64
    for width in (64, 128, 256, 512):
        for i in range(2):
            layers.append(Residual(below, width, 2 if i == 0 and width > 64 else 1))
            below = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


def alexnet_by_hand(classes: int) -> nn.Module:
    """BVLC's AlexNet, groups and normalisation included, as one writes it in torch."""
    conv: list[nn.Module] = [nn.Conv2d(3, 96, 11, 4), nn.ReLU(), nn.LocalResponseNorm(5), nn.MaxPool2d(3, 2)]
    conv += [nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), nn.LocalResponseNorm(5), nn.MaxPool2d(3, 2)]
    conv += [nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()]
    conv += [nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()]
    full = [nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()]
    return nn.Sequential(*conv, *full, nn.Linear(4096, classes))


BUILD = {"resnet18": resnet18_by_hand, "alexnet": alexnet_by_hand}


def draw_folder(root: Path, images: int) -> Path:
    """Write two classes of JPEGs of 500x375 px."""
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (root / name).mkdir(parents=True)
        for i in range(images):
            coarse = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            cv2.imwrite(str(root / name / f"{i}.jpg"), cv2.resize(coarse, (500, 375), interpolation=cv2.INTER_CUBIC))
    return root


def tuning(net: str, data: Path, output: Path, choice: PrecisionChoice | None = None) -> FineTuning:
    """Return a fine-tuning of a network that begins with He's weights."""
    network = Network.load(ROOT / NETWORKS[net])
    size = next(iter(network.inputs.values()))[2]
    sizes = Preprocessing(SIZES.mean, SIZES.std, Size.of(256), Size.of(size), "squash")
    return FineTuning(
        Job(net, network, sizes, str(data), output, 1000, BATCH, precision=choice or PrecisionChoice(), threads=2)
    )


def ours(training: FineTuning) -> Runner:
    """Return a runner of one iteration of ours."""

    def run() -> float:
        start = time.perf_counter()
        training.solver.step(1)
        return time.perf_counter() - start

    return run


def by_hand(net: str, training: FineTuning) -> Runner:
    """Return a runner of one iteration written by hand, on batches of the same data layer."""
    model = BUILD[net](2).to(memory_format=torch.channels_last)
    batches = iter_batches(training)
    images, labels = next(batches)
    model(images)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=0.0005)
    loss_of = nn.CrossEntropyLoss()

    def run() -> float:
        start = time.perf_counter()
        images, labels = next(batches)
        optimiser.zero_grad()
        loss = loss_of(model(images), labels)
        loss.backward()
        optimiser.step()
        float(loss.detach())
        return time.perf_counter() - start

    del images, labels
    return run


def iter_batches(training: FineTuning) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield batches of the train net's own data layers."""
    while True:
        images, labels = training.solver.net.inputs()
        yield images, labels.long()


CAFFE_SCRIPT = """
import sys, time, caffe
caffe.set_mode_cpu()
solver = caffe.get_solver(sys.argv[1])
solver.step(1)
for line in sys.stdin:
    start = time.perf_counter()
    solver.step(1)
    print(time.perf_counter() - start, flush=True)
"""


def caffes(python: str, solver: Path) -> Runner:
    """Return a runner of one iteration of real Caffe, of the files that ours wrote."""
    threads = {"OMP_NUM_THREADS": str(os.cpu_count()), "OPENBLAS_NUM_THREADS": str(os.cpu_count())}
    child = subprocess.Popen(
        [python, "-c", CAFFE_SCRIPT, str(solver)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **threads},
    )

    def run() -> float:
        assert child.stdin is not None
        assert child.stdout is not None
        print(file=child.stdin, flush=True)
        return float(child.stdout.readline())

    return run


def medians(runners: dict[str, Runner], rounds: int) -> dict[str, float]:
    """Run all in turns; return each one's median seconds after a first round that does not count."""
    found: dict[str, list[float]] = {name: [] for name in runners}
    for number in range(rounds + 1):
        for name, run in runners.items():
            seconds = run()
            if number:
                found[name].append(seconds)
            time.sleep(0.2)
    return {name: statistics.median(times) for name, times in found.items()}


def reading_rate(training: FineTuning) -> float:
    """Return the images/s that the data layer alone decodes, resizes, cuts and turns."""
    net = training.solver.net.network.prototxt.net
    proto = next(layer for layer in net.layer if layer.type == "ImageData")
    feed = make_feed(proto, 0, "benchmark", FeedOptions(threads=2))
    feed.read(0)
    start, batches = time.perf_counter(), 8
    for number in range(1, batches + 1):
        feed.read(number)
    return batches * BATCH / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--caffe-python", help="without it Caffe is left out")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=60, help="of each of two classes")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder:
        data = draw_folder(Path(folder) / "images", arguments.images)
        for net in NETWORKS:
            training = tuning(net, data, Path(folder) / net)
            runners = {"ours": ours(training), "by hand": by_hand(net, tuning(net, data, Path(folder) / f"{net}-hand"))}
            if arguments.caffe_python:
                runners["caffe"] = caffes(arguments.caffe_python, Path(folder) / net / "solver.prototxt")
            for kind in ("8bit", "binary"):
                form = tuning(net, data, Path(folder) / f"{net}-{kind}", PrecisionChoice(kind))
                runners[kind] = ours(form)
            seconds = medians(runners, arguments.rounds)
            rates = {name: BATCH / s for name, s in seconds.items()}
            ratios = {"by hand": (rates["ours"] / rates["by hand"], BY_HAND)}
            if "caffe" in rates:
                ratios["caffe"] = (rates["ours"] / rates["caffe"], CAFFE)
            ratios |= {kind: (rates[kind] / rates["ours"], 1 / PRECISION) for kind in ("8bit", "binary")}
            ratios["reading"] = (reading_rate(training) / rates["ours"], 1.0)
            good &= all(found >= wanted for found, wanted in ratios.values())
            if arguments.json:
                print(json.dumps({"net": net, "images_per_second": rates, "ratios": ratios}))
                continue
            print(
                f"{net}, batch {BATCH}: "
                + ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items())
                + " images/s"
            )
            for name, (found, wanted) in ratios.items():
                print(f"  {name:<8} {found:.2f} (wanted {wanted:.2f}){'' if found >= wanted else '  MISSED'}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
