"""Every worker collects the same tests, whatever the clock, the hash seed, the machine and the place say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.oracle import ROOT


def collecting(folder: Path, plugin: str | None = None, **settings: str) -> subprocess.Popen[bytes]:
    """Start a process that lists every test."""
    folder.mkdir()
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "-p", "no:cacheprovider"]
    command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), "--no-header", "-W", "ignore"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(ROOT), **settings}
    with open(folder / "list.txt", "w") as output:
        return subprocess.Popen(
            [*command, *(["-p", plugin] if plugin else []), str(ROOT / "tests")],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def test_two_processes_collect_the_same(tmp_path: Path) -> None:
    elsewhere = tmp_path / "ä b"
    processes = [
        collecting(tmp_path / "here", PYTHONHASHSEED="1"),
        collecting(
            elsewhere, "tests.other_day", PYTHONHASHSEED="2", COLUMNS="60", LC_ALL="C", TZ="Pacific/Auckland",
            TERM="dumb", HOME=str(elsewhere), TMPDIR=str(elsewhere),
        ),
    ]  # fmt: skip
    statuses = [process.wait(timeout=300) for process in processes]
    outputs = [(folder / "list.txt").read_text(encoding="utf-8") for folder in (tmp_path / "here", elsewhere)]
    assert statuses == [0, 0], outputs
    first, second = ([line for line in text.splitlines() if "::" in line] for text in outputs)
    assert len(first) > 1000
    assert first == second
    names = [line.partition("::")[2] for line in first]
    assert [name for name in names if str(ROOT) in name or "pytest-of-" in name] == []


def test_a_machine_without_torch_collects_the_rest(tmp_path: Path) -> None:
    status = collecting(tmp_path / "bare", "tests.without_torch").wait(timeout=300)
    output = (tmp_path / "bare" / "list.txt").read_text(encoding="utf-8")
    assert status == 0, output[-3000:]


def test_the_other_day_is_another_day() -> None:
    code = (
        "import time; t = time.time(); import tests.other_day; from datetime import date, datetime; import gzip, os; "
    )
    code += "print(time.time() - t > 86400 * 399, datetime.now().timestamp() - t > 86400 * 399, os.cpu_count(), "
    code += "int.from_bytes(gzip.compress(b'')[4:8], 'little') - t > 86400 * 399, "
    code += "(date.today() - date.fromtimestamp(t)).days)"
    found = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT)
    assert found.split()[:4] == ["True", "True", "3", "True"]
    assert int(found.split()[4]) >= 400
