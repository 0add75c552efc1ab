"""What smaller numbers gain: bfloat16 and int8 against real Caffe and against our own float32, in the same turns.

    python benchmarks/precision.py              # networks, then quantising ResNet-50, then folding ResNet-152
    python benchmarks/precision.py --record     # the same, and the table of docs/precision.md comes from it:
    caffezoo tables --table speed-precision

Contenders take turns as in benchmarks/engines.py. Which ratio is wanted depends on the CPU: AMX multiplies tiles of
bfloat16 and int8, AVX-512 (VNNI, BF16) only vectors; what it has is said and recorded. int8 is quantised on the way, on
drawn inputs: times do not depend on the scales. --images says how many images the timed quantisation takes: the 20
built-in ones, again and again, or those of --calibration. Exit status 1 if a ratio or a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contest import Contest, Entrant, arguments, installed, job

from caffezoo.cli.calibration import quantise_jobs
from caffezoo.engines.registry import DEFAULT_ENGINE
from caffezoo.errors import ZooError
from caffezoo.report.provenance import cpu_instructions
from caffezoo.version import __version__

AGAINST_CAFFE = {("resnet50", 1, "bfloat16"): 20.0, ("resnet50", 8, "bfloat16"): 28.0, ("resnet50", 8, "int8"): 35.0}
AGAINST_CAFFE |= {("mobilenet-v1-1.0", 1, "float32"): 11.0}
AGAINST_FLOAT32 = {"bfloat16": {"AMX": 4.2}, "int8": {"AMX": 6.5, "AVX-512": 1.7}}
"""By precision and kind of CPU; at batch 8."""
QUANTISE_S, QUANTISE_BYTES, FOLD_S = 120.0, 3e9, 5.0
RATIO_BATCH = 8


def kind_of_cpu() -> str:
    """Return which products of small numbers the CPU has: AMX, AVX-512, or none of both."""
    have = set(cpu_instructions())
    if {"amx_bf16", "amx_int8"} <= have:
        return "AMX"
    return "AVX-512" if {"avx512f", "avx512_vnni"} <= have else "neither AMX nor AVX-512 VNNI"


def ratios(contest: Contest, name: str, batch: int, entrants: list[Entrant], kind: str) -> bool:
    """Print every ratio of one run with what is wanted of it; return whether all are met."""
    good = True
    own = {e.precision: e for e in entrants if e.engine == DEFAULT_ENGINE}
    caffe = next((e for e in entrants if e.engine == "caffe"), None)
    for precision, entrant in own.items():
        rows: list[tuple[str, Entrant | None, float | None]] = [
            ("real Caffe", caffe, AGAINST_CAFFE.get((name, batch, precision))),
        ]
        if precision != "float32":
            bounds = AGAINST_FLOAT32.get(precision, {}) if (name, batch) == ("resnet50", RATIO_BATCH) else {}
            rows.append(("own float32", own.get("float32"), bounds.get(kind)))
        for title, other, wanted in rows:
            if other is None:
                continue
            ratio = other.ms / entrant.ms
            amx_only = title == "real Caffe" and precision != "float32" and kind != "AMX"
            said = "" if wanted is None else f" (wanted {wanted:g}{' with AMX' if amx_only else ''})"
            if wanted is not None and not amx_only:
                said += ": ok" if ratio >= wanted else ": MISSED"
                good &= ratio >= wanted
            print(f"  {precision} is {ratio:.2f}x of {title}{said}", flush=True)
    return good


def networks(contest: Contest, kind: str) -> bool:
    """Let all precisions of ResNet-50 and MobileNet-v1 take turns."""
    caffe = ["caffe"] if contest.options.caffe_python else []
    if not caffe:
        print("no real Caffe: `make oracle`, or --caffe-python; its rows are left out", file=sys.stderr)
    good = True
    for name, batches, precisions in (
        ("resnet50", (1, 8), ("float32", "bfloat16", "int8")),
        ("mobilenet-v1-1.0", (1,), ("float32", "bfloat16", "int8")),
    ):
        if contest.options.networks and name not in contest.options.networks:
            continue
        for batch in batches:
            work = job(name, batch)
            wanted = []
            for precision in precisions:
                try:
                    quantise_jobs([work], precision)
                    wanted.append(precision)
                except ZooError as error:
                    print(f"left out: {name}, {precision}: {error}", file=sys.stderr)
            print(f"{name}, batch {batch}", flush=True)
            entries = [*((work, engine, "float32") for engine in caffe)]
            entries += [(work, DEFAULT_ENGINE, precision) for precision in wanted]
            good &= ratios(contest, name, batch, contest.run(entries), kind)
    return good


def tasks(contest: Contest) -> bool:
    """Time quantising ResNet-50 and folding ResNet-152, each in a process of its own."""
    o = contest.options
    good = True
    quantised = _in_child("quantise", str(o.images), o.calibration)
    work = job("resnet50")
    what = f"quantise, {o.images} images"
    print("resnet50", flush=True)
    contest.task(work, "nncf", quantised["version"], "int8", what, quantised["seconds"], quantised["bytes"])
    good &= quantised["seconds"] < QUANTISE_S and (quantised["bytes"] or 0) < QUANTISE_BYTES
    print(f"  (wanted: below {QUANTISE_S:g} s and {QUANTISE_BYTES / 1e9:g} GB)", flush=True)
    folded = _in_child("fold")
    print("resnet152", flush=True)
    contest.task(job("resnet152"), "caffezoo", __version__, "float32", "fold", folded["seconds"], folded["bytes"])
    print(f"  (wanted: below {FOLD_S:g} s)", flush=True)
    return good and folded["seconds"] < FOLD_S


def _in_child(*task: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, __file__, "--task", *task], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(task)} failed")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def quantise_task(images: str, where: str) -> str:
    """Quantise ResNet-50 as ``caffezoo precision --calibration`` does; return NNCF's version."""
    import nncf

    from caffezoo.evaluation.protocol import Protocol
    from caffezoo.precision.quantisation import CalibrationImages, calibration_files, quantise

    network = job("resnet50").load()
    files = calibration_files(where)
    files = [files[i % len(files)] for i in range(int(images))]
    protocol = Protocol(base_size=256, crop_size=224, mean=(104.0, 117.0, 124.0), std=(1.0, 1.0, 1.0))
    blobs = CalibrationImages(files, protocol, next(iter(network.inputs)))
    quantise(network, network.outputs, blobs, calibration=blobs.hashes, name="resnet50")
    return str(nncf.__version__)


def fold_task() -> Callable[[], str]:
    """Write ResNet-152 with weights by formula; return what folds the files into others."""
    from caffezoo.net.files import write_network
    from caffezoo.net.fold_report import rounding
    from caffezoo.net.folding import fold
    from caffezoo.net.graph import Network

    folder = tempfile.TemporaryDirectory()
    prototxt, weights = write_network(job("resnet152").load(), Path(folder.name) / "resnet152")

    def run() -> str:
        network = Network.load(prototxt, weights)
        folding = fold(network)
        rounding(network, folding)
        write_network(folding.network, Path(folder.name) / "folded")
        folder.cleanup()
        return __version__

    return run


def child(task: list[str]) -> None:
    """Run one task and print its seconds and the process' largest memory."""
    run = fold_task() if task[0] == "fold" else lambda: quantise_task(*task[1:])
    start = time.perf_counter()
    version = run()
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "version": version, "bytes": _peak_bytes()}))


def _peak_bytes() -> int | None:
    """The most memory that this process has held, where Linux tells; not what its parent held when it forked."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))


def main() -> int:
    """Measure, print, and return 1 if something is missed."""
    parser = arguments(__doc__)
    parser.add_argument("--networks", nargs="*", metavar="NET", choices=["resnet50", "mobilenet-v1-1.0"])
    parser.add_argument("--images", type=int, default=300, help="to quantise ResNet-50 with (default: 300)")
    parser.add_argument("--calibration", default="sample", metavar="DIR", help="where they are (default: built in)")
    parser.add_argument("--no-tasks", action="store_true", help="neither quantise nor fold for the time that it takes")
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        child(options.task)
        return 0
    installed([DEFAULT_ENGINE])
    start = time.monotonic()
    contest = Contest("precision", options)
    kind = kind_of_cpu()
    print(f"small products: {kind}; bounds are those of {kind if kind != 'AVX-512' else 'AVX-512 without AMX'}")
    good = networks(contest, kind)
    if not options.no_tasks:
        good &= tasks(contest)
    print(f"{time.monotonic() - start:.0f} s")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
