"""Engines against each other and against real Caffe: what a user gets in steady state, and a first call after a pause.

    python benchmarks/engines.py                    # four networks, with real Caffe, each held against `caffezoo time`
    python benchmarks/engines.py --record           # the same, and README's table of speed comes from it:
    caffezoo tables --table speed
    python benchmarks/engines.py --all --record     # every network of the zoo: the default engine against the others
    caffezoo tables --table speed-all

Batch 1, float32, weights by formula, blobs as input. Contenders take turns in blocks of several calls, each in a
process of its own that sleeps meanwhile; the first two calls of a block do not count towards the steady time, and the
first is the cold one. Half-way, while all sleep, `caffezoo time` measures the default engine: its figure has to be the
same within --tolerance. torch runs the folded network, as `caffezoo evaluate --engine torch` does; real Caffe's time is
its forward alone. Exit status 1 if a ratio is missed, or `caffezoo time` disagrees.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from contest import Contest, arguments, installed, job
from onnx_file import OnnxFile

from caffezoo.engines.registry import DEFAULT_ENGINE
from caffezoo.timing.contender import Contender, take_turns
from caffezoo.timing.subjects import Settings
from caffezoo.zoo.index import load_index

NETWORKS = {"resnet50": 4.0, "dpn-92": 3.5, "inception-v3": 4.0, "mobilenet-v1-1.0": 11.0}
"""How many times Caffe's speed is wanted."""
OTHERS = ("onnxruntime", "torch")
MAX_SLOWER = 0.06
"""By what share the default engine may be slower than the fastest on any network."""
TORCH_RATIO = 0.97


def against_caffe(contest: Contest, names: list[str], tolerance: float) -> bool:
    """Compare engines and real Caffe on some networks; return whether all ratios are as wanted."""
    good = True
    engines = installed([DEFAULT_ENGINE, *OTHERS])
    if not contest.options.caffe_python:
        print("no real Caffe: `make oracle`, or --caffe-python; its rows are left out", file=sys.stderr)
    else:
        engines.append("caffe")
    for name in names:
        print(name, flush=True)
        work = job(name)
        entrants = contest.run(
            [(work, engine, "float32") for engine in engines], checked=DEFAULT_ENGINE, tolerance=tolerance
        )
        found = {e.engine: e for e in entrants}
        if "caffe" in found:
            ratio = found["caffe"].ms / found[DEFAULT_ENGINE].ms
            wanted = NETWORKS.get(name, 1.0)
            good &= ratio >= wanted
            print(
                f"  {DEFAULT_ENGINE} is {ratio:.2f}x of real Caffe (wanted {wanted:g}): "
                f"{'ok' if ratio >= wanted else 'MISSED'}",
                flush=True,
            )
    return good and not contest.apart


def every_network(contest: Contest, names: list[str]) -> bool:
    """Compare the default engine with the others on every network; return whether it is never much slower."""
    engines = installed([DEFAULT_ENGINE, *OTHERS])
    worst: list[tuple[float, str, str]] = []
    for number, name in enumerate(names, 1):
        print(f"{name} ({number} of {len(names)})", flush=True)
        entrants = {e.engine: e for e in contest.run([(job(name), engine, "float32") for engine in engines])}
        if DEFAULT_ENGINE in entrants and len(entrants) > 1:
            best = min(entrants.values(), key=lambda e: e.ms)
            worst.append((entrants[DEFAULT_ENGINE].ms / best.ms - 1, name, best.engine))
    slower = sorted(((s, n, e) for s, n, e in worst if s > 0), reverse=True)
    print(f"{DEFAULT_ENGINE} is the fastest on {len(worst) - len(slower)} of {len(worst)} networks")
    for share, name, engine in slower:
        print(f"  {name}: {share:.1%} slower than {engine}{'' if share <= MAX_SLOWER else ': MISSED'}")
    return all(share <= MAX_SLOWER for share, _, _ in slower)


def against_torch_export(contest: Contest) -> bool:
    """Compare our ResNet-50 with torch's own ONNX of it in OpenVINO; return whether ours is as fast."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "resnet50.onnx"
        script = Path(__file__).with_name("torch_resnet50.py")
        done = subprocess.run([sys.executable, str(script), str(file)], capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"left out: torch's export: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
            return True
        print("resnet50, exported by torch and run by OpenVINO", flush=True)
        o, work = contest.options, job("resnet50")
        settings = Settings("openvino", threads=o.threads, backward=False)
        with Contender(work, settings) as ours, Contender(OnnxFile(str(file), work), settings) as theirs:
            turns = take_turns([ours, theirs], blocks=o.blocks, block_s=o.block_seconds)
    ratio = turns[1].steady.median_ms / turns[0].steady.median_ms
    print(
        f"  ours is {ratio:.2f}x of torch's export (wanted {TORCH_RATIO}): {'ok' if ratio >= TORCH_RATIO else 'MISSED'}"
    )
    return ratio >= TORCH_RATIO


def main() -> int:
    """Measure, print, and return 1 if something is missed."""
    # Every network of the zoo takes long enough with fewer and shorter blocks.
    parser = arguments(__doc__, blocks=3, seconds=0.5) if "--all" in sys.argv else arguments(__doc__)
    parser.add_argument("--networks", nargs="*", metavar="NET", help="default: four, with --all every one")
    parser.add_argument("--all", action="store_true", help="the installed engines on every network, without Caffe")
    parser.add_argument("--tolerance", type=float, default=5.0, help="percent (default: 5)")
    options = parser.parse_args()
    start = time.monotonic()
    contest = Contest("all" if options.all else "engines", options)
    if options.all:
        good = every_network(contest, options.networks or list(load_index()))
    else:
        names = options.networks or list(NETWORKS)
        good = against_caffe(contest, names, options.tolerance / 100)
        if "resnet50" in names:
            good &= against_torch_export(contest)
    print(f"{time.monotonic() - start:.0f} s")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
