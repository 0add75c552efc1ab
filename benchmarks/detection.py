"""Detectors against OpenCV 4.12's Caffe importer on the same cores.

    python benchmarks/detection.py [--opencv-python PYTHON] [--threads N] [--rounds N] [--json]

The ResNet-10 SSD face detector with its own weights, and MobileNet-SSD for 20 classes with seeded weights, on noise.
Both runners get the same float blob, batch 1, and give all boxes; they take turns, and figures are medians of whole
calls. Before anything is timed, both must give the same boxes to 1e-3. Exit status 1 if a ratio is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from turns import in_turns

from caffezoo.engines.registry import create_engine
from caffezoo.engines.seeding import seeded_weights
from caffezoo.formats.caffemodel_writer import write_caffemodel
from caffezoo.formats.prototxt import write_prototxt
from caffezoo.net.graph import Network
from caffezoo.weights.fetch import fetch_network
from caffezoo.zoo.builder import NetBuilder
from caffezoo.zoo.index import load_index

ROOT = Path(__file__).resolve().parent.parent
WANTED_RATIO = 1.5
TOO_LARGE = {"loc": 300.0, "conf": 60.0}
"""What seeded offsets and scores are larger by than those of trained networks."""

WORKER = """
import sys, time
import cv2, numpy as np
folder, threads = sys.argv[1], int(sys.argv[2])
cv2.setNumThreads(threads)
net = cv2.dnn.readNetFromCaffe(folder + "/net.prototxt", folder + "/net.caffemodel")
blob = np.load(folder + "/blob.npy")
for line in sys.stdin:
    start = time.perf_counter()
    net.setInput(blob)
    found = net.forward()
    seconds = time.perf_counter() - start
    np.save(folder + "/opencv.npy", found)
    print(seconds, flush=True)
"""


def mobilenet_ssd() -> Network:
    """Return MobileNet-SSD at 300 x 300 for 20 classes and a background, with seeded weights.

    MobileNet v1 with folded batch norm, four pairs of smaller maps behind it, and heads on six maps: the layout that
    chuanqi305/MobileNet-SSD made known.
    """
    net = NetBuilder("mobilenet-ssd")
    image = net.input((1, 3, 300, 300))

    def conv(name: str, bottom: str, channels: int, kernel: int, stride: int = 1, group: int = 1) -> str:
        x = net.conv(name, bottom, channels, kernel, stride=stride, pad=kernel // 2, group=group, bias=True)
        return net.relu(f"{name}/relu", x)

    x = conv("conv0", image, 32, 3, 2)
    wide = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    strided = {2, 4, 6, 12}
    maps = []
    for i, channels in enumerate(wide, 1):
        x = conv(f"conv{i}/dw", x, net.channels(x), 3, 2 if i in strided else 1, net.channels(x))
        x = conv(f"conv{i}", x, channels, 1)
        if i in (11, 13):
            maps.append(x)
    for i, (inner, outer) in enumerate(((256, 512), (128, 256), (128, 256), (64, 128)), 14):
        x = conv(f"conv{i}_2", conv(f"conv{i}_1", x, inner, 1), outer, 3, 2)
        maps.append(x)
    _ssd_heads(net, image, maps, classes=21)
    network = Network.from_proto(net.net)
    weights = dict(seeded_weights(network)[0])
    for name, blobs in weights.items():
        kind = name.rpartition("_")[2]
        if kind in TOO_LARGE:
            weights[name] = [blob / np.float32(TOO_LARGE[kind]) for blob in blobs]
    return network.with_weights(weights)


def _ssd_heads(net: NetBuilder, image: str, maps: list[str], classes: int) -> None:
    sizes = [60.0, 105.0, 150.0, 195.0, 240.0, 285.0, 300.0]
    found: dict[str, list[str]] = {"loc": [], "conf": [], "priorbox": []}
    for i, blob in enumerate(maps):
        ratios = [2.0] if i == 0 else [2.0, 3.0]
        priors = 1 + 2 * len(ratios) + (i > 0)
        for kind, values in (("loc", 4), ("conf", classes)):
            y = net.conv(f"{blob}_{kind}", blob, priors * values, 1, bias=True)
            y = net.layer("Permute", f"{blob}_{kind}_perm", y, permute_param={"order": [0, 2, 3, 1]})
            found[kind].append(net.flatten(f"{blob}_{kind}_flat", y))
        param: dict[str, Any] = {"min_size": [sizes[i]], "aspect_ratio": ratios, "flip": True, "clip": False}
        param |= {"variance": [0.1, 0.1, 0.2, 0.2], "offset": 0.5} | ({"max_size": [sizes[i + 1]]} if i else {})
        found["priorbox"].append(net.layer("PriorBox", f"{blob}_priorbox", [blob, image], prior_box_param=param))
    for kind, axis in (("loc", 1), ("conf", 1), ("priorbox", 2)):
        net.layer("Concat", f"mbox_{kind}", found[kind], concat_param={"axis": axis})
    y = net.reshape("conf_reshape", "mbox_conf", (0, -1, classes))
    y = net.flatten("conf_flat", net.layer("Softmax", "conf_softmax", y, softmax_param={"axis": 2}))
    output = {"num_classes": classes, "share_location": True, "background_label_id": 0, "code_type": "CENTER_SIZE"}
    output |= {"nms_param": {"nms_threshold": 0.45, "top_k": 100}, "keep_top_k": 100, "confidence_threshold": 0.25}
    net.layer("DetectionOutput", "detection_out", ["mbox_loc", y, "mbox_priorbox"], detection_output_param=output)


def res10() -> Network:
    """Return the ResNet-10 SSD face detector with its weights, fetched where needed."""
    entry = load_index().network("res10-ssd-face")
    return Network.load(entry.prototxt_path, fetch_network(entry))


def compare(
    name: str, network: Network, blob: np.ndarray, python: str, threads: int, rounds: int
) -> dict[str, float | str | int]:
    """Time both, and return medians in ms and their ratio.

    Raises
    ------
    SystemExit
        OpenCV does not start, or the boxes differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "net.prototxt").write_text(write_prototxt(network.prototxt.net))
        write_caffemodel(Path(folder) / "net.caffemodel", network.prototxt.net, network.weights)
        np.save(Path(folder) / "blob.npy", blob)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        command = [python, "-c", WORKER, folder, str(threads)]
        worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean)

        def opencv() -> float:
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
            answer = worker.stdout.readline()
            if not answer:
                raise SystemExit(f"{name}: OpenCV did not answer")
            return float(answer)

        with create_engine("openvino", network, batch_size=1, threads=threads) as engine:
            run = engine.prepare(blob)
            opencv()
            theirs = np.load(Path(folder) / "opencv.npy").reshape(-1, 7)
            ours = run()["detection_out"].reshape(-1, 7)
            count = _same_boxes(name, ours, theirs[theirs[:, 2] > 0])
            seconds = in_turns({"caffezoo": lambda: _timed(run), "opencv": opencv}, rounds, calls=10, warm_up=3)
        assert worker.stdin is not None
        worker.stdin.close()
        worker.wait()
    times = {key: median(values) * 1e3 for key, values in seconds.items()}
    return {
        "network": name,
        "boxes": count,
        "caffezoo_ms": round(times["caffezoo"], 2),
        "opencv_ms": round(times["opencv"], 2),
        "ratio": round(times["opencv"] / times["caffezoo"], 2),
    }


def _same_boxes(name: str, ours: np.ndarray, theirs: np.ndarray) -> int:
    """Return how many boxes both find."""
    ours = ours[ours[:, 1] >= 0]
    if ours.shape != theirs.shape or (len(ours) and np.abs(ours - theirs).max() > 1e-3 * np.abs(theirs).max()):
        raise SystemExit(f"{name}: the boxes differ: {len(ours)} and {len(theirs)}")
    return len(ours)


def _timed(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> int:
    """Print the table, and return whether a ratio is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("OPENCV_PYTHON") or str(ROOT / ".oracle-cv" / "bin" / "python")
    parser.add_argument("--opencv-python", default=default, help="Python with cv2 4.12 (`make oracle`)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    blob = rng.normal(0, 50, (1, 3, 300, 300)).astype(np.float32)
    rows = [
        compare(name, network, blob, args.opencv_python, args.threads, args.rounds)
        for name, network in (("res10-ssd-face", res10()), ("mobilenet-ssd, seeded", mobilenet_ssd()))
    ]
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        for row in rows:
            print(
                f"{row['network']:<24} caffezoo {row['caffezoo_ms']:7.2f} ms  OpenCV 4.12 {row['opencv_ms']:7.2f} ms  "
                f"{row['ratio']:.2f}x  ({row['boxes']} boxes)"
            )
    return int(any(float(row["ratio"]) < WANTED_RATIO for row in rows))


if __name__ == "__main__":
    sys.exit(main())
