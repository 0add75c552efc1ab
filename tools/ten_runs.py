"""Run the tests ten times, each in a fresh clone and each under another condition that a healthy machine may have.

    python tools/ten_runs.py                          # all ten, one after the other: hours
    python tools/ten_runs.py --only narrow            # one; may be repeated
    python tools/ten_runs.py --only narrow --tests tests/cli tests/zoo   # some of the tests

Every run clones the checkout's HEAD, makes its venv (the locked versions), and then runs ``make test``. Real Caffe and
OpenCV's importer are used where the checkout has them (``.oracle``, ``.oracle-cv``); ``--torch`` installs PyTorch into
each. What each run printed is kept in the folder, with a table (``runs.json`` holds it, so that a call can go on where
another was stopped). Exit status 1 if a run failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOBODY = "http://127.0.0.1:9"
"""A proxy that is not there: who wants the network gets none."""


@dataclass(frozen=True)
class Condition:
    """What is odd about a run.

    Attributes
    ----------
    python : str
        Version of the interpreter.
    environment : dict of str to str
        Variables of the run; ``HOME`` set to nothing means a new, empty folder.
    folder : str
        Name of the clone's folder.
    busy : int
        Endless loops beside it.
    offline : bool
        No network once it is installed.
    """

    python: str = "3.11"
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "checkout"
    busy: int = 0
    offline: bool = False


RUNS = {
    "busy": Condition(busy=2),
    "narrow": Condition(environment={"COLUMNS": "60"}),
    "c-locale": Condition(environment={"LC_ALL": "C", "LANG": "C"}),
    "auckland": Condition(environment={"TZ": "Pacific/Auckland"}),
    "dumb-terminal": Condition(environment={"TERM": "dumb"}),
    "empty-home": Condition(environment={"HOME": ""}),
    "umlaut-path": Condition(folder="Zoo für alle"),
    "python-3.12": Condition(python="3.12"),
    "python-3.13": Condition(python="3.13"),
    "offline": Condition(offline=True),
}


def find_python(version: str) -> str:
    """Return an interpreter of a version: on the path, else of pyenv."""
    found = [shutil.which(f"python{version}")]
    found += sorted(map(str, Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python")), reverse=True)
    for python in filter(None, found):
        done = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True)
        if done.stdout.decode().strip() == version:
            return python
    raise SystemExit(f"no Python {version} here: on the path as python{version}, or in ~/.pyenv")


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep processors busy."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def environment_of(condition: Condition, folder: Path) -> dict[str, str]:
    """Return the variables of a run's tests."""
    variables = {**os.environ, **condition.environment}
    if "HOME" in condition.environment:
        variables["HOME"] = str(folder / "home")
        Path(variables["HOME"]).mkdir(exist_ok=True)
    if condition.offline:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            variables |= {name: NOBODY, name.upper(): NOBODY}
    return variables


def without_network(command: list[str]) -> list[str]:
    """Return a command in a network of its own, where this system lets us make one; localhost stays."""
    wrapped = ["unshare", "-n", "sh", "-c", 'ip link set lo up 2>/dev/null || true; exec "$@"', "sh", *command]
    lo = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname()).close()"
    probe = [*wrapped[: -len(command)], sys.executable, "-c", lo]
    if shutil.which("unshare") and subprocess.run(probe, capture_output=True).returncode == 0:
        return wrapped
    return command


def run(name: str, folder: Path, tests: list[str], torch: bool) -> dict[str, str]:
    """Make one run; return what the table shows."""
    condition = RUNS[name]
    place = folder / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    checkout = place / condition.folder
    begun = time.monotonic()
    with open(place / "log.txt", "w", encoding="utf-8") as log:

        def step(command: list[str], variables: dict[str, str]) -> int:
            log.write(f"$ {' '.join(command)}\n")
            log.flush()
            cwd = checkout if checkout.exists() else place
            return subprocess.run(command, cwd=cwd, env=variables, stdout=log, stderr=subprocess.STDOUT).returncode

        clean = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}
        # Not the HOME: pip's own configuration may lie there.
        clean |= {key: value for key, value in condition.environment.items() if key != "HOME"}
        status = step(["git", "clone", "-q", str(ROOT), str(checkout)], clean)
        for oracle in (".oracle", ".oracle-cv"):
            if (ROOT / oracle).exists() and checkout.exists():
                (checkout / oracle).symlink_to((ROOT / oracle).resolve())
        make = ["make", f"PYTHON={find_python(condition.python)}"]
        status = status or step([*make, ".venv/.test"], clean)
        if torch:
            status = status or step(["sh", "tools/make_torch.sh", ".venv/bin/python"], clean)
        installed = time.monotonic()
        some = [".venv/bin/python", "-m", "pytest", "-m", "not slow", *tests]
        command = some if tests else [*make, "test"]
        if condition.offline:
            command = without_network(command)
        with busy_loops(condition.busy):
            status = status or step(command, environment_of(condition, place))
    text = (place / "log.txt").read_text(encoding="utf-8", errors="replace")
    git = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    head = subprocess.run(git, capture_output=True, text=True).stdout.strip()
    counts = re.findall(r"^=* ?((?:\d+ \w+,? ?)+) in [\d.]+s.*$", text, re.MULTILINE)
    return {
        "run": name,
        "python": condition.python,
        "outcome": "green" if status == 0 else f"FAILED, status {status}",
        "tests": counts[-1] if counts else "none ran",
        "installed": f"{(installed - begun) / 60:.1f} min",
        "tested": f"{(time.monotonic() - installed) / 60:.1f} min",
        "of": head,
    }


def table(rows: list[dict[str, str]]) -> str:
    """Return the rows as a table."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def main() -> int:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(RUNS), metavar="NAME", help=", ".join(RUNS))
    parser.add_argument("--tests", nargs="+", default=[], metavar="PATH", help="some of the tests")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "ten-runs", help="for clones and logs")
    parser.add_argument("--torch", action="store_true", help="with PyTorch, where a build without CUDA is to be had")
    parser.add_argument("--keep", action="store_true", help="leave the clones that passed")
    options = parser.parse_args()
    folder = options.folder.resolve()
    record = folder / "runs.json"
    rows = {row["run"]: row for row in (json.loads(record.read_text()) if record.exists() else [])}
    for name in options.only or RUNS:
        rows[name] = run(name, folder, options.tests, options.torch)
        record.write_text(json.dumps(list(rows.values()), indent=1) + "\n")
        print(f"{name}: {rows[name]['outcome']}, {rows[name]['tests']}; {folder / name / 'log.txt'}", flush=True)
        if rows[name]["outcome"] == "green" and not options.keep:
            shutil.rmtree(folder / name / RUNS[name].folder)
    shown = [rows[name] for name in RUNS if name in rows]
    print(table(shown))
    return int(any(rows[name]["outcome"] != "green" for name in options.only or RUNS))


if __name__ == "__main__":
    sys.exit(main())
