"""Networks that are no classifiers against real Caffe on the same cores, and how soon a long prototxt is shown.

    python benchmarks/kinds.py [--caffe-python PYTHON] [--threads N] [--rounds N] [--only NAME] [--json]

OpenPose's body network at 368 x 368 and three recurrent networks, all with seeded weights: a captioner's step by step
(LRCN), lines of text behind convolutions, frames of speech. Both get the same float blobs and give all outputs, equal
to 1e-4 of each blob's largest before anything is timed; Caffe's time is its forward alone, ours the whole call. They
take turns, each warms up in its turn, and figures are medians. ``show`` is the time of a whole process, from command to
last line, on a prototxt of 1,000 layers. Exit status 1 if a bound is missed.
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

import numpy as np
from turns import in_turns

from caffezoo.engines.registry import create_engine
from caffezoo.engines.seeding import seeded_weights
from caffezoo.formats.prototxt import write_prototxt
from caffezoo.net.graph import Network
from caffezoo.zoo.builder import NetBuilder

ROOT = Path(__file__).resolve().parent.parent
SHOW_S = 1.0


def openpose_body() -> NetBuilder:
    """Return OpenPose's body network for COCO's 18 keypoints: VGG-19's first ten convolutions, then six stages.

    Every stage has two branches, of part affinity (38 maps) and of keypoints (19); from the second on they see the
    features and both maps of the stage before.
    """
    net = NetBuilder("openpose-body")

    def conv(name: str, bottom: str, channels: int, kernel: int, relu: bool = True) -> str:
        x = net.conv(name, bottom, channels, kernel, pad=kernel // 2, bias=True)
        return net.relu(f"{name}_relu", x) if relu else x

    x = net.input((1, 3, 368, 368), "image")
    for block, widths in enumerate(((64, 64), (128, 128), (256,) * 4, (512, 512)), 1):
        for i, channels in enumerate(widths, 1):
            x = conv(f"conv{block}_{i}", x, channels, 3)
        if block < 4:
            x = net.pool(f"pool{block}", x, 2, stride=2)
    features = conv("conv4_4_CPM", conv("conv4_3_CPM", x, 256, 3), 128, 3)
    seen = features
    for stage in range(1, 7):
        maps = []
        for branch, outputs in ((1, 38), (2, 19)):
            y, tag = seen, f"stage{stage}_L{branch}"
            for i in range(1, 4 if stage == 1 else 6):
                y = conv(f"conv{i}_{tag}", y, 128, 3 if stage == 1 else 7)
            y = conv(f"conv_inner_{tag}", y, 512 if stage == 1 else 128, 1)
            maps.append(conv(f"conv_outer_{tag}", y, outputs, 1, relu=False))
        seen = net.concat(f"concat_stage{stage + 1}", [*maps, features] if stage < 6 else maps[::-1])
    return net


def captioner() -> NetBuilder:
    """Return an LSTM of 1,000 hidden values over 20 words, as LRCN's captioner has: words and an image's features."""
    net = NetBuilder("lrcn-captioner")
    words, marks = net.input((20, 1, 1000), "words"), net.input((20, 1), "cont")
    image = net.input((1, 1000), "image")
    h = net.layer("LSTM", "lstm", [words, marks, image], recurrent_param=_recurrent(1000))
    net.layer("InnerProduct", "predict", h, inner_product_param=_product(8801, axis=2))
    return net


def text_lines() -> NetBuilder:
    """Return a recogniser of lines of text: convolutions over 32 x 128 pixels, two LSTMs of 256 over 32 columns."""
    net = NetBuilder("text-lines")
    x, marks = net.input((1, 1, 32, 128), "line"), net.input((32, 1), "cont")
    for i, channels in enumerate((64, 128), 1):
        x = net.relu(f"relu{i}", net.conv(f"conv{i}", x, channels, 3, pad=1, bias=True))
        x = net.pool(f"pool{i}", x, 2, stride=2)
    x = net.relu("relu3", net.conv("conv3", x, 256, (8, 3), pad=(0, 1), bias=True))
    columns = [f"column{i}" for i in range(32)]
    net.layer("Slice", "columns", x, columns, slice_param={"axis": 3})
    x = net.layer("Concat", "steps", columns, concat_param={"axis": 0})
    x = net.reshape("sequence", x, (32, 1, 256))
    for i in (1, 2):
        x = net.layer("LSTM", f"lstm{i}", [x, marks], recurrent_param=_recurrent(256))
    net.layer("InnerProduct", "letters", x, inner_product_param=_product(37, axis=2))
    return net


def speech_frames() -> NetBuilder:
    """Return two LSTMs of 128 over 100 frames of 40 bands, 16 speakers at once."""
    net = NetBuilder("speech-frames")
    x, marks = net.input((100, 16, 40), "frames"), net.input((100, 16), "cont")
    for i in (1, 2):
        x = net.layer("LSTM", f"lstm{i}", [x, marks], recurrent_param=_recurrent(128))
    net.layer("InnerProduct", "phones", x, inner_product_param=_product(61, axis=2))
    return net


def _recurrent(width: int) -> dict[str, object]:
    return {"num_output": width, "weight_filler": {"type": "uniform"}, "bias_filler": {"type": "constant"}}


def _product(width: int, axis: int = 1) -> dict[str, object]:
    return {"num_output": width, "axis": axis, "weight_filler": {"type": "xavier"}}


KINDS: dict[str, tuple[Callable[[], NetBuilder], float]] = {
    "openpose-body": (openpose_body, 2.5),
    "lrcn-captioner": (captioner, 1.0),
    "text-lines": (text_lines, 1.0),
    "speech-frames": (speech_frames, 1.0),
}
"""What builds each, and how many times Caffe's speed is wanted."""


def inputs_of(network: Network) -> dict[str, np.ndarray]:
    """Return seeded inputs; a marker of sequences is 0 at its first step and 1 behind it."""
    rng = np.random.default_rng(0)
    blobs = {}
    for name, shape in network.inputs.items():
        blob = rng.standard_normal(shape).astype(np.float32)
        if name == "cont":
            blob[...] = 1
            blob[0] = 0
        blobs[name] = blob
    return blobs


def compare(name: str, caffe_python: str | None, threads: int, rounds: int) -> dict[str, float | str]:
    """Return medians of both in ms, and their ratio.

    Raises
    ------
    SystemExit
        Their outputs differ.
    """
    build, wanted = KINDS[name]
    network = Network.from_proto(build().net)
    network = network.with_weights(seeded_weights(network)[0])
    blobs = inputs_of(network)
    with (
        create_engine("openvino", network, threads=threads) as ours,
        create_engine("caffe", network, threads=threads, caffe_python=caffe_python) as caffe,
    ):
        theirs = caffe.run(blobs)
        for key, value in ours.run(blobs).items():
            if np.abs(value - theirs[key]).max() > 1e-4 * max(np.abs(theirs[key]).max(), 1e-30):
                raise SystemExit(f"{name}: blob '{key}' differs")

        def call_ours() -> float:
            start = time.perf_counter()
            ours.run(blobs)
            return time.perf_counter() - start

        def call_caffe() -> float:
            caffe.run(blobs)
            return float(caffe.forward_seconds)  # type: ignore[attr-defined]

        seconds = in_turns({"caffezoo": call_ours, "caffe": call_caffe}, rounds, calls=5, warm_up=2)
    ms = {key: 1e3 * median(values) for key, values in seconds.items()}
    row: dict[str, float | str] = {"what": name, "caffezoo_ms": round(ms["caffezoo"], 3), "wanted": wanted}
    return row | {"caffe_ms": round(ms["caffe"], 3), "ratio": round(ms["caffe"] / ms["caffezoo"], 2)}


def show_a_thousand(rounds: int) -> dict[str, float | str]:
    """Return how long ``caffezoo show`` takes for a chain of 1,000 layers, s."""
    net = NetBuilder("thousand")
    x = net.input((1, 8, 32, 32))
    for i in range(333):
        x = net.relu(f"relu{i}", net.batch_norm(f"bn{i}", net.conv(f"conv{i}", x, 8, 3, pad=1)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "thousand.prototxt"
        path.write_text(write_prototxt(net.net))
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            command = [sys.executable, "-m", "caffezoo", "show", str(path)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.perf_counter() - start)
    return {"what": f"show {len(net.net.layer)} layers", "seconds": round(median(seconds), 2), "wanted_s": SHOW_S}


def line(row: dict[str, float | str]) -> str:
    """Return a row as text."""
    if "seconds" in row:
        return f"{row['what']:<16} {row['seconds']:.2f} s (wanted {row['wanted_s']:.0f})"
    figures = f"caffezoo {row['caffezoo_ms']:9.3f} ms  real Caffe {row['caffe_ms']:9.3f} ms"
    return f"{row['what']:<16} {figures}  {row['ratio']:.2f}x (wanted {row['wanted']})"


def missed(row: dict[str, float | str]) -> bool:
    """Return whether a row misses its bound."""
    if "seconds" in row:
        return float(row["seconds"]) > float(row["wanted_s"])
    return float(row["ratio"]) < float(row["wanted"])


def main() -> int:
    """Print the table, and return whether a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    own = ROOT / ".oracle" / "bin" / "python"
    default = os.environ.get("CAFFE_PYTHON") or (str(own) if own.exists() else None)
    parser.add_argument("--caffe-python", default=default, help="Python with pycaffe (`make oracle`)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", choices=[*KINDS, "show"], metavar="NAME")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rows = []
    for name in args.only or [*KINDS, "show"]:
        row = (
            show_a_thousand(args.rounds)
            if name == "show"
            else compare(name, args.caffe_python, args.threads, args.rounds)
        )
        rows.append(row)
        if not args.json:
            print(line(row), flush=True)
    if args.json:
        print(json.dumps(rows, indent=1))
    return int(any(missed(row) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
