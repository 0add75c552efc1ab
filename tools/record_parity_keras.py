"""Run every network imported from Keras beside its source model, and write what was found into docs/parity-keras.md.

    python tools/record_parity_keras.py --tf-python PYTHON --keras-python PYTHON --old DIR [--only 'keras-nasnet*']

The first interpreter has TensorFlow 2.15 or earlier, keras-applications 1.0.8 and keras-squeezenet; the second has
Keras 3 with torch; DIR holds keras-applications 1.0.2, the last with the first ResNet50. tools/keras_source.py runs in
them. Results are kept in a file, so that a call can go on where another was stopped; the document and the list of
layers (tests/weights/keras_layers.json.xz) are written from all of them. Exit status 1 if a comparison fails.
"""

from __future__ import annotations

import argparse
import datetime
import fnmatch
import json
import lzma
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from keras_source import MODELS

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # this checkout, not an installed caffezoo

from caffezoo.engines.registry import create_engine
from caffezoo.errors import ZooError
from caffezoo.net.graph import Network
from caffezoo.net.scores import classifier_head
from caffezoo.weights.convert import convert_weights
from caffezoo.zoo.index import load_index

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4
WITHOUT_TORCH = ("keras-nasnet-mobile", "keras-nasnet-large")  # Keras 3 refuses them on torch
OLD = "keras-resnet50-v0.2"
NOT_IN_KERAS_3 = ("keras-resnext50", "keras-resnext101", OLD)


def combinations(options: argparse.Namespace) -> dict[tuple[str, str], list[str]]:
    """Return the call of tools/keras_source.py up to its arguments, by network and package."""
    calls = {}
    for network in MODELS:
        old = ["--path", options.old] if network == OLD else []
        calls[network, "keras-applications"] = [options.tf_python, *old]
    calls["keras-squeezenet-v1.1", "keras-squeezenet"] = [options.tf_python]
    for network in MODELS:
        if network not in (*WITHOUT_TORCH, *NOT_IN_KERAS_3):
            calls[network, "keras"] = [options.keras_python]
    return calls


def record(network: str, package: str, call: list[str]) -> dict[str, Any]:
    """Run one comparison."""
    start = time.monotonic()
    entry = load_index().network(network)
    python, *more = call
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [python, str(ROOT / "tools" / "keras_source.py"), network, name, "--package", package, *more]
        subprocess.run(command, check=True, capture_output=True, text=True)
        facts = json.loads((folder / "source.json").read_text())
        source = np.load(folder / "source.npz")
        imported: dict[str, bytes] = {}
        files = []
        # A file that names no layers is the newer ResNet50's, whose shapes are the same.
        layouts = [x for x in facts["files"] if network != OLD or x != "model.weights.h5"]
        for file in layouts:
            target = folder / f"{file}.caffemodel"
            report = convert_weights(network, "keras", folder / file, entry.prototxt_path, target)
            imported[file] = target.read_bytes()
            files.append([file, report.scheme, report.tensors_read, report.tensors_mapped, report.elements_read])
            (folder / file).unlink()
        same = len(set(imported.values())) == 1
        net = Network.load(entry.prototxt_path, folder / "listed.h5.caffemodel")
    blob = classifier_head(net).logits
    preset = entry.preprocessing
    with create_engine("openvino", net, outputs=[blob]) as engine:
        runs = []
        for pixels in (source["image"][..., ::-1], source["image"]):  # BGR, and its channels swapped
            x = (pixels.astype(np.float32) - np.array(preset.mean)) / np.array(preset.std)
            runs.append(engine.run(x.transpose(0, 3, 1, 2).astype(np.float32))[blob].ravel().astype(np.float64))
        versions = {**facts["versions"], "python": platform.python_version(), "openvino": engine.version}
    logits = source["logits"].ravel().astype(np.float64)
    largest = float(np.abs(logits).max())
    return {
        "network": network,
        "package": package,
        "size_px": int(source["image"].shape[1]),
        "relative": float(np.abs(runs[0] - logits).max()) / largest,
        "swapped": float(np.abs(runs[1] - logits).max()) / largest,
        "same_top5": bool((np.argsort(-runs[0])[:5] == np.argsort(-logits)[:5]).all()),
        "files": files,
        "same_files": same,
        "parameters": facts["parameters"],
        "seconds": round(time.monotonic() - start, 1),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": versions,
        "layers": facts["layers"],
    }


def failed(result: dict[str, Any]) -> bool:
    """Whether a comparison is not exact; NaN is not either."""
    return not (result["relative"] <= TOLERANCE and result["same_files"])


def document(results: list[dict[str, Any]]) -> str:
    """Return docs/parity-keras.md."""
    versions = sorted({f"{k} {v}" for r in results for k, v in r["versions"].items()})
    dates = sorted({r["date"] for r in results})
    lines = [
        "# Parity with Keras",
        "",
        "*This page is for whoever wants to know whether an imported network computes what its Keras original does.*",
        "",
        "Written by `tools/record_parity_keras.py`; do not edit. A model of keras-applications (run on tf.keras), of",
        "keras-squeezenet or of `keras.applications` in Keras 3 gets random kernels, and BatchNormalizations with the",
        "shaken statistics of noise. Keras writes its weights in every layout that it knows; each file is imported",
        "into this zoo's prototxt, and all must give the same caffemodel. One image goes through the source, prepared",
        "by its own `preprocess_input`, and through OpenVINO in float32, prepared as the index says. The figure is the",
        f"largest difference of two logits over the source's largest logit; above {TOLERANCE:g} the comparison counts",
        "as failed. `swapped` is the same figure for the image with red and blue exchanged, to show what a wrong order",
        "would give. Names: `keras-applications` are that package's, `keras` those of `keras.applications`,",
        "`keras-by-order` a file that names no layers.",
        "",
        f"Run on {dates[0]}{f' to {dates[-1]}' if len(dates) > 1 else ''}, CPU, {', '.join(versions)}: "
        f"{len(results)} comparisons, {sum(map(failed, results))} failed.",
        "",
        "The old ResNet50 (`keras-resnet50-v0.2`) comes from keras-applications 1.0.2. Keras 3 has no ResNeXt and",
        "refuses NASNet on torch: these are compared with keras-applications alone.",
        "",
        "| network | source | px | files and their names | tensors | parameters | difference | same top 5 | swapped |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in sorted(results, key=lambda r: (r["network"], r["package"])):
        files = ", ".join(f"{file} ({scheme})" for file, scheme, *_ in r["files"])
        lines.append(
            f"| {r['network']} | {r['package']} | {r['size_px']} | {files} | {r['files'][0][3]} | "
            f"{r['parameters']:,} | {r['relative']:.1e} | {'yes' if r['same_top5'] else 'no'} | {r['swapped']:.1e} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Parse, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tf-python", required=True)
    parser.add_argument("--keras-python", required=True)
    parser.add_argument("--old", required=True, help="folder of keras-applications 1.0.2")
    parser.add_argument("--only", default="*", help="shell pattern of networks")
    parser.add_argument("--package", default="*", help="shell pattern of packages")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "parity-keras.json")
    options = parser.parse_args()
    results = json.loads(options.results.read_text()) if options.results.exists() else []
    done = {(r["network"], r["package"]) for r in results}
    options.results.parent.mkdir(parents=True, exist_ok=True)
    errors = 0
    for (network, package), call in combinations(options).items():
        wanted = fnmatch.fnmatch(network, options.only) and fnmatch.fnmatch(package, options.package)
        if (network, package) in done or not wanted:
            continue
        try:
            result = record(network, package, call)
        except (ZooError, subprocess.CalledProcessError) as error:
            print(f"{network} {package}: {error} {getattr(error, 'stderr', '')[-600:]}", flush=True)
            errors += 1
            continue
        results.append(result)
        options.results.write_text(json.dumps(results))
        print(
            f"{network} {package}: {result['relative']:.2e}, swapped {result['swapped']:.2e}, files alike "
            f"{result['same_files']}, {result['seconds']} s",
            flush=True,
        )
    if not results:
        return 1
    (ROOT / "docs" / "parity-keras.md").write_text(document(results))
    layers: dict[str, Any] = {}
    for r in sorted(results, key=lambda r: (r["package"], r["network"])):
        layers.setdefault(r["package"], {})[r["network"]] = r["layers"]
    packed = lzma.compress(json.dumps(layers, separators=(",", ":")).encode(), preset=9)
    (ROOT / "tests" / "weights" / "keras_layers.json.xz").write_bytes(packed)
    return int(bool(errors or any(map(failed, results))))


if __name__ == "__main__":
    sys.exit(main())
