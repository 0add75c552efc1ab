"""Record what real Caffe computes, for the tests that replay it where Caffe cannot run.

    CAFFE_PYTHON=.oracle/bin/python python tools/record_golden.py [NAME ...]

Writes ``tests/golden/layers/<Type>.json`` and ``tests/golden/networks/<name>.json`` for the cases that stand in
``tests/golden/cases.py`` (all of them, or those of the given layer types and networks). Caffe runs the plain-BVLC form
of each, with inputs and weights by formula. Run it when a case is added, or when a generator's layer names change.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.golden import records
from tests.golden.cases import CLASS_STEP, FOLDER, LAYERS, NETWORKS
from tests.oracle import caffe_outputs, caffe_process, plain_net


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


def record_networks(names: set[str]) -> None:
    """Record the networks, a file each."""
    for case in NETWORKS:
        if names and case.name not in names:
            continue
        network, exponents = case.network()
        text, blobs = plain_net(network)
        output = network.outputs[-1]
        x = caffe_outputs(text, blobs, case.inputs(network), [output])[output].reshape(2, -1)
        record = {
            "caffe": caffe_process().version,
            "path": case.path,
            "size": case.size,
            "exponents": exponents,
            "output": output,
            "top5": np.argsort(-x)[:, :5].tolist(),
            "values": records.pack(x[:, ::CLASS_STEP]),
        }
        records.write(FOLDER / "networks" / f"{case.name}.json", record)
        print(f"networks/{case.name}.json: largest probability {x.max():.3f}")


def main() -> None:
    """Record the cases named on the command line, or all."""
    names = set(sys.argv[1:])
    unknown = names - {case.type for case in LAYERS} - {case.name for case in NETWORKS}
    if unknown:
        sys.exit(f"no case for {', '.join(sorted(unknown))}")
    record_layers(names)
    record_networks(names)


if __name__ == "__main__":
    main()
