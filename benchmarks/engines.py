"""Engines against real Caffe, and against the same network exported by torch, on the same two cores.

    python benchmarks/engines.py [--caffe-python PYTHON] [--torch-python PYTHON] [--rounds N] [--json]

All runners of a network take turns within one run, so that a slow minute of the machine hits them alike; figures are
medians. Batch 1, float32, seeded weights. Caffe's time is its forward alone; ours is the whole call from an image of
bytes to probabilities. Against torch's export both take the same float blob. Exit status 1 if a ratio is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from caffezoo.engines.registry import create_engine
from caffezoo.engines.seeding import seeded_inputs, seeded_weights
from caffezoo.net.graph import Network
from caffezoo.net.transform import Transform

ROOT = Path(__file__).resolve().parent.parent
TRANSFORM = Transform((103.94, 116.78, 123.68), (58.8, 58.8, 58.8))
NETWORKS = {
    "resnet50": ("prototxt/resnet/deploy_resnet50.prototxt", 4.0),
    "dpn-92": ("prototxt/dpn/deploy_dpn-92.prototxt", 3.5),
    "inception-v3": ("prototxt/inception/deploy_inception-v3.prototxt", 4.0),
    "mobilenet-v1": ("prototxt/mobilenet/deploy_mobilenet-v1-1.0.prototxt", 7.0),
}
"""File, and how many times Caffe's speed is wanted."""
TORCH_RATIO = 0.97
REST_S = 0.3
"""Pause between runners: BLAS and TBB threads of the last one stop spinning."""

Runner = Callable[[], float]


def timed(run: Callable[[], Any]) -> Runner:
    """Return a runner that gives the seconds of a call."""

    def measure() -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start

    return measure


def medians(runners: dict[str, Runner], rounds: int) -> dict[str, float]:
    """Run all in turns and return each one's median, ms."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    for index in range(rounds + 2):
        for name, run in runners.items():
            seconds = run()
            if index > 1:
                times[name].append(1e3 * seconds)
            time.sleep(REST_S)
    return {name: statistics.median(t) for name, t in times.items()}


def network_with_weights(path: str) -> Network:
    """Return a network of the zoo with seeded weights, batch 1."""
    network = Network.load(ROOT / path).reshaped(batch=1)
    return network.with_weights(seeded_weights(network)[0])


def against_caffe(path: str, caffe_python: str | None, threads: int, rounds: int) -> dict[str, float]:
    """Return medians, ms, of the engines and of real Caffe on one network."""
    network = network_with_weights(path)
    ((_, _, height, width),) = network.inputs.values()
    images = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    runners: dict[str, Runner] = {}
    engines = []
    for name in ("openvino", "onnxruntime"):
        engine = create_engine(name, network, transform=TRANSFORM, threads=threads)
        engines.append(engine)
        runners[name] = timed(lambda engine=engine: engine.run(images))  # type: ignore[misc]
    caffe: Any = create_engine("caffe", network, transform=TRANSFORM, threads=threads, caffe_python=caffe_python)
    engines.append(caffe)

    def forward() -> float:
        caffe.run(images)
        return float(caffe.forward_seconds)

    runners["caffe"] = forward
    try:
        return medians(runners, rounds)
    finally:
        for engine in engines:
            engine.close()


def against_torch(torch_python: str, threads: int, rounds: int) -> dict[str, float]:
    """Return medians, ms, of our engine and of torch's own ONNX of ResNet-50 in OpenVINO, on the same float blob."""
    import openvino

    network = network_with_weights(NETWORKS["resnet50"][0])
    blob = seeded_inputs(network, batch=1)
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "resnet50.onnx")
        script = str(Path(__file__).with_name("torch_resnet50.py"))
        subprocess.run([torch_python, script, file], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        core = openvino.Core()
        config = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        request = core.compile_model(core.read_model(file), "CPU", config).create_infer_request()
    with create_engine("openvino", network, threads=threads) as engine:
        runners = {
            "openvino": timed(lambda: engine.run(blob)),
            "torch export": timed(lambda: request.infer(list(blob.values()), share_inputs=True)),
        }
        return medians(runners, rounds)


def matrix_peak_gflops() -> float:
    """Return the best of twenty float32 products of 2048 x 2048 matrices in numpy, GFLOP/s: no engine can be faster."""
    a, b = np.random.default_rng(0).random((2, 2048, 2048), dtype=np.float32)
    return 2 * 2048**3 / min(timed(lambda: a @ b)() for _ in range(20)) / 1e9


def machine() -> dict[str, Any]:
    """Return what the times depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    names = ("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_VERBOSE")
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "float32 matrix peak GFLOP/s": round(matrix_peak_gflops(), 1),
        **{n: os.environ.get(n, "unset") for n in names},
    }


def main() -> int:
    """Measure, print, and return 1 if a ratio is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    oracle = ROOT / ".oracle" / "bin" / "python"
    parser.add_argument(
        "--caffe-python", default=os.environ.get("CAFFE_PYTHON") or (oracle if oracle.exists() else None)
    )
    parser.add_argument("--torch-python", default=os.environ.get("TORCH_PYTHON"))
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    result: dict[str, Any] = {"machine": machine(), "threads": options.threads, "rounds": options.rounds, "ratios": []}

    def report(network: str, times: dict[str, float], other: str, wanted: float) -> None:
        ratio = times[other] / times["openvino"]
        giga = 2e-9 * Network.load(ROOT / NETWORKS[network][0]).reshaped(batch=1).macs
        needed = giga / (times[other] / wanted / 1e3)
        result["ratios"].append(
            {
                "network": network,
                "against": other,
                "ratio": ratio,
                "wanted": wanted,
                "median_ms": times,
                "openvino_gflops": giga / (times["openvino"] / 1e3),
                "wanted_gflops": needed,
            }
        )
        if not options.json:
            figures = "  ".join(f"{name} {ms:.1f} ms" for name, ms in times.items())
            verdict = "ok" if ratio >= wanted else "MISSED"
            print(
                f"{network:13s} {figures}  openvino is {ratio:.2f}x of {other} (wanted {wanted:g}: "
                f"{needed:.0f} GFLOP/s, it runs at {giga / times['openvino'] * 1e3:.0f}): {verdict}",
                flush=True,
            )

    if not options.json:
        print(", ".join(f"{k} {v}" for k, v in result["machine"].items()), flush=True)
    if options.caffe_python is None:
        print("no real Caffe: `make oracle`, or --caffe-python; its ratios are left out", file=sys.stderr)
    else:
        for name in options.networks:
            path, wanted = NETWORKS[name]
            report(
                name, against_caffe(path, str(options.caffe_python), options.threads, options.rounds), "caffe", wanted
            )
    if options.torch_python is None:
        print("no torch: --torch-python or TORCH_PYTHON; its ratio is left out", file=sys.stderr)
    elif "resnet50" in options.networks:
        times = against_torch(options.torch_python, options.threads, 2 * options.rounds)
        report("resnet50", times, "torch export", TORCH_RATIO)
    if options.json:
        print(json.dumps(result))
    return int(any(r["ratio"] < r["wanted"] for r in result["ratios"]))


if __name__ == "__main__":
    sys.exit(main())
