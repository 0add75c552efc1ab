"""Runs on a cluster of Ray: the same directory, the same result, whoever dies in the middle."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.test_evaluate import data_flags, files, network_flags  # noqa: F401

pytest.importorskip("ray.data")
pytestmark = pytest.mark.slow


def command(folder, run, *more):
    flags = [*network_flags(folder), *data_flags(folder), "--run", str(folder / run), "--json", *more]
    return [sys.executable, "-m", "caffezoo", "evaluate", *flags]


def descends(pid, ancestor):
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            return False
    return False


def members_of(driver):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if name.startswith(b"ray::MapWorker") and descends(int(folder.name), driver):
            found.append(int(folder.name))
    return found


def wait_for(condition, running, seconds=240):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert running.poll() is None, "the run ended before"
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_a_member_and_then_the_driver_are_killed(files):  # noqa: F811
    for i in range(6, 12000):
        (files / f"images/{i}.jpg").hardlink_to(files / f"images/{i % 6}.jpg")
    (files / "val.txt").write_text("\n".join(f"{i}.jpg {(i + i // 700) % 6}" for i in range(12000)))
    environment = {**os.environ, "CAFFEZOO_CACHE": str(files / "cache"), "RAY_TMPDIR": "/tmp"}
    options = {"env": environment, "text": True, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE}
    subprocess.run(command(files, "alone"), check=True, **options)
    shards = files / "ray/shards"
    running = subprocess.Popen(command(files, "ray", "--ray", "--ray-workers", "2"), **options)
    wait_for(lambda: len(list(shards.glob("*.json"))) > 2, running)
    os.kill(wait_for(lambda: members_of(running.pid), running)[0], signal.SIGKILL)
    there = len(list(shards.glob("*.json")))
    wait_for(lambda: len(list(shards.glob("*.json"))) > there + 4, running)
    running.kill()
    running.wait()
    assert not (files / "ray/summary.json").exists()
    finished = subprocess.run(command(files, "ray", "--ray", "--ray-workers", "2"), check=True, **options)
    assert "going on after" in finished.stderr
    assert (files / "ray/summary.json").read_bytes() == (files / "alone/summary.json").read_bytes()


def test_no_cluster_is_one_line(files):  # noqa: F811
    found = subprocess.run(command(files, "run", "--ray", "127.0.0.1:1"), capture_output=True, text=True)
    assert found.returncode == 1
    assert "no Ray cluster" in found.stderr
    assert "`ray start --head` makes one" in found.stderr
