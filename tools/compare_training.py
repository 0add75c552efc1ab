"""Train a solver here and in real Caffe from the same weights, and draw both loss curves.

    python tools/compare_training.py SOLVER --caffe-python .oracle/bin/python --output curves.svg

It runs in the current folder, as both read a solver's paths from there. The first weights are drawn by this program's
fillers (``<snapshot_prefix>_begin.caffemodel``). Exit status 1 if a loss differs by more than a
hundredth.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this checkout, not an installed caffezoo

from caffezoo.errors import ZooError
from caffezoo.formats.caffemodel import write_caffemodel
from caffezoo.formats.solver import read_solver
from caffezoo.report.figure import COLOURS, new_figure, save
from caffezoo.training.caffe_log import TOTAL_LOSS, parse_training_log

PREFIX = "I1122 12:30:05.123456  4711 solver.cpp:51] "
CAFFE = """import caffe, sys
caffe.set_mode_cpu()
solver = caffe.get_solver(sys.argv[1])
solver.net.copy_from(sys.argv[2])
solver.solve()
"""

Curve = dict[int, float]


def ours(solver: str, begin: str) -> str:
    """Train here, write the weights that the training begins with, and return the log."""
    from caffezoo.training.solvers import make_solver

    lines: list[str] = []
    training = make_solver(solver, log=lines.append)
    write_caffemodel(begin, training.net.network.prototxt.net, training.net.weights())
    training.solve()
    training.close()
    return "\n".join(PREFIX + line for line in lines)


def caffes(solver: str, begin: str, python: str) -> str:
    """Let real Caffe train, and return its log."""
    done = subprocess.run([python, "-c", CAFFE, solver, begin], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"real Caffe failed: {done.stderr.splitlines()[-1:]}")
    return done.stderr


def curves(log: str) -> tuple[Curve, Curve]:
    """Return training losses and test accuracies by iteration."""
    curve = parse_training_log(log).curve
    losses = {v["iteration"]: v["value"] for v in curve if v["output"] == TOTAL_LOSS}
    tested = {v["iteration"]: v["value"] for v in curve if v["phase"] != "train" and v["kind"] == "metric"}
    return losses, tested


def draw(found: dict[str, tuple[Curve, Curve]], output: Path) -> None:
    """Draw both losses over each other, and the accuracies below."""
    figure = new_figure(7.0, 4.2)
    loss, accuracy = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    styles = {"real Caffe": {"color": COLOURS[1], "linewidth": 4, "alpha": 0.5}, "caffezoo": {"color": COLOURS[0]}}
    for name, style in styles.items():
        for axes, curve in zip((loss, accuracy), found[name], strict=True):
            axes.plot(list(curve), list(curve.values()), label=name, **style)
    loss.set_ylabel("training loss")
    loss.set_yscale("log")
    loss.legend(frameon=False)
    accuracy.set_ylabel("accuracy")
    accuracy.set_xlabel("iteration")
    save(figure, output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("solver")
    parser.add_argument("--caffe-python", required=True)
    parser.add_argument("--output", type=Path, required=True, help="FILE.svg or FILE.png")
    arguments = parser.parse_args()
    begin = f"{read_solver(arguments.solver).param.snapshot_prefix}_begin.caffemodel"
    own = ours(arguments.solver, begin)
    found = {"caffezoo": curves(own), "real Caffe": curves(caffes(arguments.solver, begin, arguments.caffe_python))}
    draw(found, arguments.output)
    (a, tested), (b, other) = found["caffezoo"], found["real Caffe"]
    worst = max(abs(a[i] - b[i]) / max(abs(b[i]), 1e-2) for i in b)
    print(f"{len(b)} losses: the largest relative difference is {worst:.2g}")
    print(f"accuracy at the end: {list(tested.values())[-1:]} here, {list(other.values())[-1:]} in real Caffe")
    print(f"wrote {arguments.output}")
    sys.exit(worst > 1e-2)


if __name__ == "__main__":
    try:
        main()
    except ZooError as error:
        sys.exit(f"compare_training: {error}")
