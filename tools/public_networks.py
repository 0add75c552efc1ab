"""Load, run and compare every prototxt below a folder: here, and in real Caffe or OpenCV 4.12.

    python tools/public_networks.py FOLDER [--index KINDS.tsv] [--json OUT.json] [--markdown docs/coverage.md]

Each file goes through a process of its own, with limits of time and memory. It is loaded at phase TEST; data layers
whose shapes stand in files that are not there get a shape from a short list, as ``--shape`` would give it. Weights and
inputs are seeded, labels are 0 or 1. The judge is real Caffe (``CAFFE_PYTHON`` or ``.oracle``), which gets the file as
it is, or with inputs in place of its data layers; where Caffe refuses it, OpenCV 4.12 (``OPENCV_PYTHON``,
``.oracle-cv``).

agrees      every output within 1e-4 of the judge's, relative to the blob's largest value
differs     an output, a shape or the set of outputs is another; the first is named
only here   it runs here, and no judge takes it
refused     it is refused here, with the reason
no network  a fragment or a broken file, or a layer of Caffe's own that does not fit its bottoms: Caffe refuses it too
failed      it ended in a traceback, or beyond its limits

A run that is stopped goes on where it was when it is given the same ``--json`` again. Exit status 1 if a file differs.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

WORKER = Path(__file__).resolve().parent / "public_network.py"
STATES = ("agrees", "only here", "differs", "refused", "failed", "no network")


def run(path: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Return what became of one file."""
    with tempfile.TemporaryDirectory() as work:
        said = Path(work) / "said.json"
        command = [sys.executable, str(WORKER), str(path.resolve()), str(said)]
        command += [
            "--memory-mb",
            str(args.memory_mb),
            "--most-gmacs",
            str(args.most_gmacs),
            "--threads",
            str(args.threads),
        ]
        env = {**os.environ, "GLOG_minloglevel": "2", "OMP_NUM_THREADS": str(args.threads)}
        try:
            done = subprocess.run(
                command, cwd=work, env=env, capture_output=True, timeout=args.timeout, text=True, errors="replace"
            )
            log = done.stderr.strip().splitlines() if done.returncode else []
        except subprocess.TimeoutExpired:
            log = [f"more than {args.timeout:g} s"]
        found: dict[str, Any] = json.loads(said.read_text()) if said.exists() else {"state": "failed", "why": "at once"}
    if log and found["state"] in ("failed", "refused"):
        found.update(state="failed", why=f"{found['why']}: {log[-1][:300]}")
    return found


def table(results: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Return rows of kind, files, one column a state, and the share of the whole networks that run."""
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    for found in results.values():
        for kind in (found.get("kind") or "all", "total"):
            by_kind[kind][found["state"]] += 1
    rows = []
    for kind in sorted(by_kind, key=lambda k: (k == "total", k)):
        count = by_kind[kind]
        whole = sum(count.values()) - count["no network"]
        ran = count["agrees"] + count["differs"] + count["only here"]
        share = f"{100 * ran / whole:.0f} %" if whole else ""
        own = sum(of_users(f) for f in results.values() if kind in ("total", f.get("kind") or "all"))
        rest = f"{100 * ran / (whole - own):.0f} %" if whole - own else ""
        rows.append([kind, str(sum(count.values())), *(str(count[s]) for s in STATES), share, str(own), rest])
    return rows


def of_users(found: dict[str, Any]) -> bool:
    """Whether a file is refused because it holds Python code of its author's, which is not part of it."""
    return found["state"] == "refused" and bool(found.get("own"))


HEAD = ["kind", "files", *STATES, "runs", "own code", "runs of the rest"]


def reasons(results: dict[str, dict[str, Any]], state: str) -> list[str]:
    """Return lines of why files have a state, the commonest reason first; a file may have several."""
    found: Counter[str] = Counter()
    for file in (f for f in results.values() if f["state"] == state):
        why = re.sub(r"^\S+?:(\d+:)? ?(layer '[^']*' ?)?", "", file["why"])
        names = re.findall(r"unknown layer type '(\w+)'|(?:: |; )(\w+): '", file["why"])
        own = {f"the author's Python module {module}" for module in file.get("own", ())}
        found.update(own or {f"layer type {a or b}" for a, b in names} or {why.lstrip(": ")[:90]})
    return [f"- {why.replace('|', '/')}: {n}" for why, n in sorted(found.items(), key=lambda r: (-r[1], r[0]))]


def commits(results: dict[str, dict[str, Any]]) -> str:
    """Return how many files were run at which commit."""
    count = Counter(f.get("commit", "") for f in results.values())
    said = [f"{commit} ({n} files)" for commit, n in count.most_common() if commit]
    return ", ".join([*said, *([f"earlier ones ({count['']} files)"] if count[""] else [])])


def markdown(results: dict[str, dict[str, Any]]) -> str:
    """Return the page of what runs."""
    lines = [" | ".join(row) for row in [HEAD, ["---"] * len(HEAD), *table(results)]]
    judges = Counter(f.get("judge", "") for f in results.values() if f["state"] == "agrees")
    return "\n".join(
        [
            "# What runs of people's networks",
            "",
            "*This page is for whoever wants to know whether a Caffe network will run here.*",
            "",
            "`tools/public_networks.py` writes it: the tool loads and runs every prototxt of a collection of public",
            "files and compares each output with real Caffe or, where that refuses the file, with OpenCV 4.12. Do not",
            "edit it by hand.",
            "",
            f"Run at commits {commits(results)}.",
            "",
            f"Of the files that agree, {judges['Caffe']} were judged by Caffe and {judges['OpenCV']} by OpenCV.",
            "",
            "- *agrees*: every output within 1e-4 of the judge's, relative to the blob's largest value",
            "- *only here*: it runs here, and no judge takes it",
            "- *no network*: a fragment or a broken file, which Caffe refuses as well; or one in which a layer of",
            "  Caffe's own does not fit its bottoms, shown to Caffe alone where the file has layers that it lacks",
            "- *runs*: the share of the others that run",
            "- *own code*: of the refused, those with a `Python` layer of the author's module, which the collection",
            "  does not hold; `--python-layers DIR` runs such a layer for whoever has the module",
            "- *runs of the rest*: the share of the whole networks without such code that run",
            "",
            *(f"| {line} |" for line in lines),
            "",
            "## Why files are refused",
            "",
            "How many files have each reason; one may have several.",
            "",
            *reasons(results, "refused"),
            "",
            "## Why files are no networks",
            "",
            *reasons(results, "no network"),
            "",
        ]
    )


def main() -> None:
    """Run a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="searched for *.prototxt and *.pbtxt, at any depth")
    parser.add_argument("--index", type=Path, help="tab-separated: number or first folder of a file, and its kind")
    parser.add_argument(
        "--json", type=Path, default=Path("public_networks.json"), help="results; a run goes on with it"
    )
    parser.add_argument("--markdown", type=Path, help="write the page here")
    parser.add_argument("--only", default="", help="regular expression on the path")
    parser.add_argument("--again", default="", help="states to run again, with commas")
    parser.add_argument("--timeout", type=float, default=240, help="seconds a file")
    parser.add_argument("--memory-mb", type=int, default=8000)
    parser.add_argument("--most-gmacs", type=float, default=2, help="larger networks run at a smaller size")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--summary", action="store_true", help="only print what stands in --json")
    args = parser.parse_args()
    folder = Path(args.folder)
    kinds = dict(line.split("\t")[:2] for line in args.index.read_text().splitlines()[1:]) if args.index else {}
    results: dict[str, dict[str, Any]] = json.loads(args.json.read_text()) if args.json.exists() else {}
    ask = ["git", "-C", str(WORKER.parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    again = set(filter(None, args.again.split(",")))
    files = [] if args.summary else sorted(p for p in folder.rglob("*") if p.suffix in (".prototxt", ".pbtxt"))
    for place, path in enumerate(files, 1):
        name = path.relative_to(folder).as_posix()
        if (name in results and results[name]["state"] not in again) or not re.search(args.only, name):
            continue
        found = run(path, args)
        found["commit"] = commit
        found["kind"] = kinds.get(name.split("/")[0], "")
        results[name] = found
        args.json.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        print(
            f"{place}/{len(files)} {name}: {found['state']} {found.get('judge', '')} {found.get('why', '')[:140]}",
            flush=True,
        )
    widths = [max(len(row[i]) for row in [HEAD, *table(results)]) for i in range(len(HEAD))]
    for row in [HEAD, *table(results)]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
    if args.markdown:
        args.markdown.write_text(markdown(results))
    sys.exit(any(found["state"] == "differs" for found in results.values()))


if __name__ == "__main__":
    main()
