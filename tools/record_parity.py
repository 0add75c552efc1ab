"""Run every network imported from PyTorch beside its source model, and write what was found into docs/parity.md.

    python tools/record_parity.py --torch-python PYTHON [--only 'dpn-*'] [--results build/parity.json]

PYTHON has torch, torchvision, timm and pretrainedmodels. Each source model gets random weights and norms with sane
statistics, its state dict is written by torch, read and imported here, and one image goes through both. Results are
kept in the results file, so that a call can go on where another was stopped; the document and the list of tensor
names (tests/weights/torch_tensors.json.xz) are written from all of them. Exit status 1 if a comparison is above the
tolerance.
"""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import json
import lzma
import platform
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this checkout, not an installed caffezoo

from caffezoo.engines.registry import engine_infos
from caffezoo.errors import ZooError
from caffezoo.evaluation.parity import check_parity
from caffezoo.weights.torch_process import list_source_tensors
from caffezoo.zoo.architectures.registry import architectures
from caffezoo.zoo.index import load_index
from caffezoo.zoo.tensor_map import (
    AS_THEY_ARE,
    DIFFERENCES,
    Conventions,
    mapped_networks,
    refusal,
    tensor_maps,
)

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4
# Where the index's normalisation is not the source's, one network a family goes through with the index's too.
WITH_CONVENTIONS = {
    "se-resnet50": "pretrainedmodels:se_resnet50",
    "densenet121": "torchvision:densenet121",
    "squeezenet-v1.1": "torchvision:squeezenet1_1",
    "inception-v4": "timm:inception_v4",
    "xception": "timm:legacy_xception",
}


def combinations() -> list[tuple[str, str, str, bool]]:
    """(network, scheme, model, with the index's conventions), one of each family first."""
    found = []
    for network in mapped_networks("torch"):
        for scheme, mapping in tensor_maps(network, "torch").items():
            if mapping.models:
                found.append((network, scheme, mapping.models[0], False))
        if network in WITH_CONVENTIONS:
            model = WITH_CONVENTIONS[network]
            scheme = next(s for s, m in tensor_maps(network, "torch").items() if model in m.models)
            found.append((network, scheme, model, True))
    families: dict[str, int] = {}
    order = []
    for combination in found:
        family = combination[0][:4]
        families[family] = families.get(family, 0) + 1
        order.append((families[family] + (10 if family == "vgg1" and families[family] > 2 else 0), combination))
    return [combination for _, combination in sorted(order)]


def record(network: str, scheme: str, model: str, adapted: bool, python: str) -> dict[str, Any]:
    """Run one comparison."""
    wanted = AS_THEY_ARE
    if adapted:
        entry = load_index().network(network)
        wanted = Conventions(entry.preprocessing.mean, entry.preprocessing.std, str(entry.labels.order))
    start = time.monotonic()
    path = next(path for path, found in architectures().items() if found.name == network)
    run = check_parity(network, ROOT / path, model=model, scheme=scheme, wanted=wanted, python=python)
    plain, aligned = run.results[0], run.results[-1]
    return {
        "network": network,
        "scheme": scheme,
        "model": model,
        "adapted": adapted,
        "size_px": run.size_px,
        "relative": aligned.relative,
        "same_top5": aligned.same_top5,
        "unaligned": plain.relative if aligned.aligned else None,
        "differences": list(aligned.aligned),
        "tensors": [run.report.tensors_read, run.report.tensors_mapped],
        "elements": [run.report.elements_read, run.report.elements_written],
        "recipe": 2,
        "seconds": round(time.monotonic() - start, 1),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {
            **run.source.versions,
            "python": platform.python_version(),
            **{i.name: i.version for i in engine_infos() if i.name == "openvino"},
        },
    }


def document(results: list[dict[str, Any]]) -> str:
    """Return docs/parity.md."""
    versions = sorted({f"{k} {v}" for r in results for k, v in r["versions"].items()})
    dates = sorted({r["date"] for r in results})
    adapted = [r for r in results if r["adapted"]]
    lines = [
        "# Parity with PyTorch",
        "",
        "*This page is for whoever wants to know whether an imported network computes what its PyTorch original does.*",
        "",
        "Written by `tools/record_parity.py`; do not edit. A source model of torchvision, timm or Cadene's",
        "`pretrainedmodels` gets random weights and norms with the statistics of random images. Its state dict,",
        "written by torch, is imported into this zoo's prototxt, and one image goes through the source model and",
        "through the default engine in float32. The figure is the largest difference of two logits over the source's",
        f"largest logit; above {TOLERANCE:g} the comparison counts as failed.",
        "",
        f"Run on {dates[0]}{f' to {dates[-1]}' if len(dates) > 1 else ''}, CPU, {', '.join(versions)}: "
        f"{len(results)} comparisons, {sum(failed(r) for r in results)} failed.",
        "",
        "| network | names | source model | px | tensors read, mapped | difference | same top 5 |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in sorted((r for r in results if not r["adapted"]), key=lambda r: (r["network"], r["scheme"])):
        mark = (
            f"{r['relative']:.1e}"
            + ("" if r.get("recipe") == 2 else " (1)")
            + ("".join(f" [{k}]" for k in r["differences"]))
        )
        lines.append(
            f"| {r['network']} | {r['scheme'] or '-'} | {r['model']} | {r['size_px']} | "
            f"{r['tensors'][0]}, {r['tensors'][1]} | {mark} | {'yes' if r['same_top5'] else 'no'} |"
        )
    lines += [
        "",
        "How the weights are drawn matters: deep random networks whose norms shift about 0 are chaotic, and",
        "rounding alone changes their logits. Drawn so, with the statistics of white noise, se-resnet101 differed by",
        "3.4e-01 and senet by 5.3e-01; torch in float32 and torch in float64 differed by 2.2e-01 on the former. With",
        "the statistics of the test image's kind they differed by 3.1e-05 and 1.3e-04, and inception-v4 by 5.9e-04.",
        "The script now draws shifts about 1.",
    ]
    if any(r.get("recipe") != 2 for r in results):
        lines += ["", "(1) Drawn with shifts about 0."]
    lines += ["", "## Where the Caffe network computes otherwise than the source", ""]
    for key, text in DIFFERENCES.items():
        shown = [
            f"{r['network']} from {r['model']} {r['unaligned']:.1e}"
            for r in results
            if key in r["differences"] and not r["adapted"]
        ]
        lines.append(
            f"* **{key}**: {text}. The difference is undone in the source model for the table above; left as it is, the"
            f" logits of random weights differ by: {'; '.join(shown)}."
        )
    lines += [
        "",
        "## With the index's normalisation and order of classes",
        "",
        "Each side normalises the same pixels in its own way. The import scales the first convolution, which is exact,",
        "and moves the mean into the norm or bias behind it, which is exact but at the border of a convolution that",
        "pads: there the padding is another grey level.",
        "",
        "| network | source model | difference | same top 5 |",
        "|---|---|---|---|",
    ]
    for r in sorted(adapted, key=lambda r: r["network"]):
        lines.append(f"| {r['network']} | {r['model']} | {r['relative']:.1e} | {'yes' if r['same_top5'] else 'no'} |")
    lines += ["", "## Not offered", ""]
    for name in load_index().names("*"):
        if (reason := refusal(name, "torch")) is not None:
            lines.append(f"* {name}: {reason}.")
    return "\n".join(lines) + "\n"


def failed(result: dict[str, Any]) -> bool:
    """Whether a comparison that should be exact is not; means behind padding are recorded, not judged."""
    return not result["adapted"] and not result["relative"] <= TOLERANCE


def main() -> int:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch-python", required=True)
    parser.add_argument("--only", default="*", help="shell pattern of networks to run; '' runs none, and writes")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "parity.json")
    arguments = parser.parse_args()
    results = json.loads(arguments.results.read_text()) if arguments.results.exists() else []
    done = {(r["network"], r["scheme"], r["model"], r["adapted"]) for r in results}
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    errors = 0
    for combination in combinations():
        if combination in done or not fnmatch.fnmatch(combination[0], arguments.only):
            continue
        try:
            result = record(*combination, python=arguments.torch_python)
        except ZooError as error:
            print(f"{' '.join(map(str, combination))}: {error}", flush=True)
            errors += 1
            continue
        results.append(result)
        arguments.results.write_text(json.dumps(results))
        print(
            f"{' '.join(map(str, combination))}: {result['relative']:.2e}, unaligned {result['unaligned']}, "
            f"{result['seconds']} s",
            flush=True,
        )
    (ROOT / "docs" / "parity.md").write_text(document(results))
    models = {m for n in mapped_networks("torch") for found in tensor_maps(n, "torch").values() for m in found.models}
    names = list_source_tensors(sorted(models), arguments.torch_python)
    packed = lzma.compress(json.dumps(names, separators=(",", ":")).encode(), preset=9)
    (ROOT / "tests" / "weights" / "torch_tensors.json.xz").write_bytes(packed)
    return int(bool(errors or any(map(failed, results))))


if __name__ == "__main__":
    sys.exit(main())
