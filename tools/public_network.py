"""One file of ``tools/public_networks.py``: load it, run it, and hold its outputs against a judge's.

python tools/public_network.py FILE RESULT.json
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from public_refusals import own_modules, refused_by_caffe  # noqa: E402
from public_shapes import LABEL, given_by_trying  # noqa: E402

TOLERANCE = 1e-4
MARKER = re.compile(r"cont|clip|mask|ind|indicator|.*_cont", re.I)


def load(path: str) -> tuple[Any, bool]:
    """Return a file's network, and whether something of it had to be given: shapes of data, or leave for odd fields."""
    from caffezoo.errors import PrototxtError, ZooError
    from caffezoo.formats.phases import filter_net
    from caffezoo.formats.prototxt import read_prototxt
    from caffezoo.net.graph import Network

    def attempt(**options: Any) -> tuple[Any, ZooError | None]:
        try:
            return Network.load(path, **options), None
        except ZooError as error:
            return None, error

    network, first = attempt()
    if first is None:
        return network, False
    lenient = isinstance(first, PrototxtError) and "field" in first.message
    if lenient:
        network, first = attempt(lenient=True)
        if first is None:
            return network, True
    if "--shape" not in str(first):
        raise first
    return given_by_trying(filter_net(read_prototxt(path, lenient=lenient)), first), True


def smaller(network: Any, most_macs: float) -> Any:
    """Return the network at a batch of 2 at most, and at a size that leaves so many multiply-accumulates."""
    from caffezoo.errors import ZooError

    def attempt(change: Any) -> Any:
        try:
            return change()
        except ZooError:
            return network

    sizes = {s[0] for s in network.inputs.values() if s}
    if len(sizes) == 1 and max(sizes) > 2:
        network = attempt(lambda: network.reshaped(batch=2))
    images = [s for s in network.inputs.values() if len(s) == 4 and min(s[2:]) > 64]
    if network.macs > most_macs and images:
        part = (most_macs * 0.6 / network.macs) ** 0.5
        height, width = (max(int(d * part) // 8 * 8, 64) for d in images[0][2:])
        network = attempt(lambda: network.resized(height, width))
    return network


def inputs_of(network: Any) -> dict[str, np.ndarray]:
    """Return seeded inputs: images of blocks, whole numbers where layers take labels, boxes within the image."""
    from caffezoo.engines.seeding import hashed_uniform, seeded_inputs

    whole = {b.name for n in network.nodes if n.layer.judges and len(n.bottoms) > 1 for b in n.bottoms[1:2]}
    whole |= {
        b.name for n in network.nodes if n.layer.type in ("Embed", "BatchReindex", "Filter") for b in n.bottoms[-1:]
    }
    image = next((s[2:4] for s in network.inputs.values() if len(s) == 4 and min(s[2:]) > 1), (64, 64))
    found = {}
    for name, shape in network.inputs.items():
        x = seeded_inputs(network, batch=shape[0] if shape else 1)[name] if shape else np.ones((), np.float32)
        if "im_info" in name and np.prod(shape) >= 3:
            x = np.zeros(shape, np.float32)
            x.reshape(shape[0], -1)[:, :3] = (*image, 1)
        elif name in whole or MARKER.fullmatch(name) or (LABEL.search(name) and np.prod(shape[1:]) <= 64):
            x = (x > 0).astype(np.float32)
        elif "roi" in name.lower() and shape[-1:] == (5,):
            u = abs(hashed_uniform(name, (shape[0], 5)))
            low, span = u[:, 1:3] * 0.5 * image[::-1], 0.3 * np.array(image[::-1])
            x = np.concatenate([np.zeros((shape[0], 1)), low, low + span * (0.5 + u[:, 3:])], 1).astype(np.float32)
        found[name] = np.ascontiguousarray(x.reshape(shape))
    return found


def weights_of(network: Any) -> Any:
    """Return seeded weights; they are not measured, which would take longer than the run."""
    from caffezoo.engines.seeding import seeded_weights

    return seeded_weights(network, exponents={}, period=4099)[0]


def make_matrices(network: Any) -> None:
    """Write, as a seeded one, every infogain matrix that is not there: into the folder that this process runs in."""
    from caffezoo.engines.seeding import hashed_uniform
    from caffezoo.formats.binaryproto import write_binaryproto

    for node in network.nodes:
        source = node.layer.proto.infogain_loss_param.source
        if node.layer.type == "InfogainLoss" and source and len(node.bottom_shapes) == 2 and not Path(source).exists():
            classes = node.bottom_shapes[0][node.layer.along(node.bottom_shapes)]
            if not Path(source).is_absolute():
                Path(source).parent.mkdir(parents=True, exist_ok=True)
                write_binaryproto(Path(source), np.abs(hashed_uniform(source, (1, classes, classes))))


def distance(found: np.ndarray, wanted: np.ndarray) -> tuple[float, str]:
    """Return the largest difference by the largest value; inf where shapes, NaN or infinities differ."""
    if found.shape != wanted.shape:
        return float("inf"), f"shape {list(found.shape)}, not {list(wanted.shape)}"
    found, wanted = found.astype(np.float64), wanted.astype(np.float64)
    odd = [np.where(np.abs(x) < 1e37, 0.0, np.sign(x)) for x in (found, wanted)]
    if not np.array_equal(*odd, equal_nan=True):
        return float("inf"), "NaN or infinity elsewhere"
    plain = odd[1] == 0
    if not plain.any():
        return 0.0, ""
    top, delta = float(abs(wanted[plain]).max()), float(abs(found - wanted)[plain].max())
    return delta / top if top else float("inf") * (delta > 0) if delta else 0.0, ""


def boxes(found: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return detections to compare, with each row beside the judge's nearest of the same class.

    OpenCV fills up with rows of 0, where SSD has rows of class -1 if nothing is found; and rounding decides about the
    order of scores that are as good as equal, and so about a box in fifty at most.
    """
    rows, judged = (
        x.reshape(-1, 7)[(np.abs(x.reshape(-1, 7)).max(1) > 0) & (x.reshape(-1, 7)[:, 1] >= 0)] for x in (found, wanted)
    )
    if len(rows) != len(judged) or not len(rows):
        return rows, judged
    near = np.abs(rows[:, None] - judged[None]).max(2)
    best, far = near.argmin(1), near.min(1) > 1e-3
    if far.sum() * 50 <= len(rows):
        best[far], rows = np.flatnonzero(far), rows.copy()
        rows[far] = judged[best[far]]
    return rows, judged[best]


def judged_by_caffe(path: str, network: Any, inputs: Any, raw: bool) -> dict[str, np.ndarray]:
    """Return real Caffe's outputs of the file as it is, or with inputs in place of its data layers.

    The ``param`` of a BatchNorm, which only training reads, goes where Caffe ends itself over it (since 1.0 it does).
    """
    from caffezoo.engines.caffe_process import CaffeProcess
    from caffezoo.errors import CaffeAbortError
    from caffezoo.formats.prototxt import write_prototxt
    from caffezoo.net.plain import as_deploy
    from tests.oracle import oracle_python

    net = as_deploy(network)
    for layer in net.layer:
        if layer.type == "BatchNorm":
            layer.ClearField("param")
    texts = [Path(path).read_text("utf-8", "replace")] * raw + [write_prototxt(net)]
    for left, text in zip(reversed(range(len(texts))), texts, strict=True):
        text = re.sub(r"engine\s*:\s*CUDNN", "engine: CAFFE", text)  # a Caffe without a GPU ends itself over it
        try:
            with CaffeProcess(oracle_python(), threads=1, timeout_s=120) as process:
                process.load(text, network.weights, inputs={k: v.shape for k, v in inputs.items()})
                return process.run(inputs)
        except CaffeAbortError as error:
            if "Cannot configure batch normalization" not in error.message or not left:
                raise
    raise AssertionError


def judge(path: str, network: Any, inputs: Any, found: Any, raw: bool) -> dict[str, Any]:
    """Return what a judge says of the outputs."""
    from caffezoo.errors import CaffeAbortError, ZooError
    from tests.opencv_oracle import OpenCVError, opencv_outputs, opencv_python

    said: dict[str, Any] = {}
    try:
        wanted, said["judge"] = judged_by_caffe(path, network, inputs, raw), "Caffe"
    except CaffeAbortError as error:
        said["caffe"] = error.message[:200]
    except ZooError as error:
        return {"state": "only here", "caffe": f"not judged: {error}"[:200]}
    if "judge" not in said:
        if opencv_python() is None:
            return {"state": "only here", **said}
        try:
            wanted, said["judge"] = opencv_outputs(network, inputs, list(network.outputs)), "OpenCV"
        except (OpenCVError, ZooError, KeyError) as error:
            return {"state": "only here", "opencv": str(error)[:200], **said}
    own_statistics = re.search(r"use_global_stats\s*:\s*false", Path(path).read_text("utf-8", "replace"))
    worst, first = 0.0, ""
    if said["judge"] == "Caffe" and set(wanted) != set(found):
        worst, first = float("inf"), f"outputs {sorted(found)[:5]}, not {sorted(wanted)[:5]}"
    for name in [n for n in found if n in wanted]:
        x, y = found[name], wanted[name]
        if said["judge"] == "OpenCV" and x.ndim == 4 and x.shape[-1] == 7:
            x, y = boxes(x, y)
        if said["judge"] == "OpenCV" and x.size == y.size:
            y = y.reshape(x.shape)  # OpenCV drops and adds axes of 1
        far, why = distance(x, y)
        worst = max(worst, far)
        if far > TOLERANCE and not first:
            first = f"output {name}: {far:.2g} {why}".strip()
    if first and own_statistics:
        return {"state": "only here", "caffe": "not judged: this Caffe has no statistics of the batch", **said}
    if (
        first
        and said["judge"] == "OpenCV"
        and any(n.layer.type == "LRN" and n.layer.param.k != 1 for n in network.nodes)
    ):
        return {"state": "only here", "opencv": "not judged: OpenCV 4.12 takes an LRN's k for 1", **said}
    return {"state": "differs" if first else "agrees", "worst": worst, "why": first, **said}


def one(args: argparse.Namespace) -> None:
    """Run one file; what is known so far stands in the result's file."""
    from caffezoo.errors import PrototxtError, ZooError
    from tests.oracle import oracle_python

    limit = args.memory_mb << 20
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    known: dict[str, Any] = {"state": "failed", "why": "while it was loaded"}

    def note(**more: Any) -> None:
        known.update(more)
        Path(args.result).write_text(json.dumps(known, default=str))

    note()
    try:
        network, guessed = load(args.file)
        note(layers=len(network.nodes), guessed=guessed, why="while it was run")
        full = network.macs
        whole = dict(network.inputs)
        network = smaller(network, args.most_gmacs * 1e9)
        resized = any(s[2:] != whole[name][2:] for name, s in network.inputs.items())
        note(gmacs=round(full / 1e9, 2), run_gmacs=round(network.macs / 1e9, 2))
        make_matrices(network)
        network = network.with_weights(weights_of(network))
        inputs = inputs_of(network)
        from caffezoo.engines.registry import create_engine

        with create_engine("openvino", network, threads=args.threads) as engine:
            found = engine.run(inputs)
        raw = not guessed and not resized and all(n.layer.type == "Input" for n in network.nodes if n.layer.is_input)
        note(state="only here", why="", caffe="not judged: beyond its limits")
        note(**{"caffe": "", **judge(args.file, network, inputs, found, raw)})
    except ZooError as error:
        note(state="refused", error=type(error).__name__, why=str(error)[:600], own=own_modules(args.file))
        caffe = ""
        if isinstance(error, PrototxtError):
            caffe = refused_as_it_is(args.file)
        elif not known["own"]:
            caffe = refused_by_caffe(args.file, oracle_python())
        if caffe:
            note(state="no network", caffe=caffe)


def refused_as_it_is(path: str) -> str:
    """Return real Caffe's words of a file that it refuses; empty where it takes it, or where there is no Caffe."""
    from caffezoo.engines.caffe_process import CaffeProcess
    from caffezoo.errors import CaffeAbortError, ZooError
    from tests.oracle import oracle_python

    try:
        with CaffeProcess(oracle_python(), threads=1, timeout_s=60) as process:
            process.load(Path(path).read_text("utf-8", "replace"))
    except CaffeAbortError as error:
        return error.message[:200]
    except ZooError:
        pass
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("result")
    parser.add_argument("--memory-mb", type=int, default=8000)
    parser.add_argument("--most-gmacs", type=float, default=2)
    parser.add_argument("--threads", type=int, default=1)
    one(parser.parse_args())


if __name__ == "__main__":
    main()
