"""Record what real Caffe computes, for the tests that replay it where Caffe cannot run.

    CAFFE_PYTHON=.oracle/bin/python python tools/record_golden.py [NAME ...]

Writes ``layers/<Type>.json``, ``networks/<name>.json`` and ``zoo/<name>.json`` below ``tests/golden/`` for the cases
of ``tests/golden/cases.py`` (all of them, or those of the given layer types and networks). Caffe runs the plain-BVLC
form of each, with inputs and weights by formula. Run it when a case is added, or when a generator's layers change.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from caffezoo.formats.caffemodel import read_weights
from caffezoo.training.caffe_log import parse_training_log
from tests.golden import records
from tests.golden.cases import CLASS_STEP, FOLDER, LAYERS, QUICK, ZOO, NetworkCase
from tests.oracle import caffe_outputs, caffe_process, plain_net
from tests.training.caffe_runs import caffe_solves
from tests.training.solver_cases import RECORDED, draw


def record_layers(names: set[str]) -> None:
    """Record the layer cases, a file a type."""
    by_type: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for case in LAYERS:
        if names and case.type not in names:
            continue
        text, blobs = plain_net(case.network())
        tops = caffe_outputs(text, blobs, case.inputs(), list(case.proto().top))
        packed = {name: records.pack(x) for name, x in tops.items()}
        by_type[case.type].append({"fields": case.fields, "shapes": case.shapes, "tops": packed})
    for type_, cases in by_type.items():
        records.write(FOLDER / "layers" / f"{type_}.json", {"caffe": caffe_process().version, "cases": cases})
        print(f"layers/{type_}.json: {len(cases)} cases")


def record_networks(cases: list[NetworkCase]) -> None:
    """Record networks, a file each."""
    for case in cases:
        network, exponents = case.network()
        text, blobs = plain_net(network)
        output = network.outputs[-1]
        inputs = case.inputs(network)
        x = caffe_outputs(text, blobs, inputs, [output])[output].reshape(case.batch, -1)
        record = {
            "caffe": caffe_process().version,
            "path": case.path,
            "inputs": {name: list(array.shape) for name, array in inputs.items()},
            "exponents": exponents,
            "output": output,
            "top5": np.argsort(-x)[:, :5].tolist(),
            "values": records.pack(x[:, ::CLASS_STEP]),
        }
        records.write(case.file, record)
        e = np.exp(x - x.max(1, keepdims=True))
        largest = (e.max(1) / e.sum(1)).max()
        file = case.file.relative_to(FOLDER)
        print(f"{file}: logits' deviation {x.std():.2f}, largest probability {largest:.3f}", flush=True)


def record_trainings() -> None:
    """Record what Caffe makes of the first drawn trainings: every loss, and the sums of the final blobs."""
    found = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        cases = [draw(number) for number in range(RECORDED)]
        logs = caffe_solves(*(case.write() for case in cases))
        for case in cases:
            curve = parse_training_log(logs[f"{case.name}.prototxt"]).curve
            weights = read_weights(case.snapshot).by_name()
            sums = {
                n: [float(np.abs(b.data).sum()) for b in layer.blobs] for n, layer in weights.items() if layer.blobs
            }
            found.append({"case": case.name, "curve": [v["value"] for v in curve], "sums": sums})
    records.write(FOLDER / "training" / "solvers.json", {"caffe": caffe_process().version, "cases": found})
    print(f"training/solvers.json: {len(found)} cases")


def main() -> None:
    """Record the cases named on the command line, or all."""
    names = set(sys.argv[1:])
    if not names or "training" in names:
        record_trainings()
        if names == {"training"}:
            return
    networks = [case for case in [*QUICK, *ZOO] if not names or case.name in names]
    unknown = names - {case.type for case in LAYERS} - {case.name for case in networks}
    if unknown:
        sys.exit(f"no case for {', '.join(sorted(unknown))}")
    record_layers(names)
    record_networks(networks)


if __name__ == "__main__":
    main()
