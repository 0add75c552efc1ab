"""Runs that are killed at random moments, and what else befalls them, by the real command in a process of its own."""

import json
import os
import random
import subprocess
import sys
import time

import pytest

fcntl = pytest.importorskip("fcntl")

from tests.cli.test_evaluate import data_flags, files, network_flags  # noqa: E402, F401


def command(folder, run, *more):
    flags = [*network_flags(folder), *data_flags(folder), "--run", str(folder / run), "--json", *more]
    return [sys.executable, "-m", "caffezoo", "evaluate", *flags]


def many(folder, count, wrong=7):
    """``count`` images, of which every ``wrong``-th has another label."""
    for i in range(6, count):
        (folder / f"images/{i}.jpg").hardlink_to(folder / f"images/{i % 6}.jpg")
    lines = [f"{i}.jpg {(i + (i % wrong == 0)) % 6}" for i in range(count)]
    (folder / "val.txt").write_text("\n".join(lines))


@pytest.fixture
def options(tmp_path):
    return {"env": {**os.environ, "CAFFEZOO_CACHE": str(tmp_path / "cache")}, "capture_output": True, "text": True}


@pytest.mark.slow
def test_thirty_kills_at_random_moments(files, options):  # noqa: F811
    many(files, 500)
    crops = ("--crops", "12", "--batch-size", "4")
    start = time.monotonic()
    subprocess.run(command(files, "whole", *crops), check=True, **options)
    whole_s = time.monotonic() - start
    summary = (files / "whole/summary.json").read_bytes()
    rng, kills, rounds = random.Random(11), 0, 0
    while kills < 30:
        rounds += 1
        assert rounds < 200
        running = subprocess.Popen(
            command(files, "run", *crops), env=options["env"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(0.3, 1.0) * whole_s)
        if running.poll() is None:
            running.kill()
            kills += 1
        running.wait()
        if (files / "run/summary.json").exists():
            assert (files / "run/summary.json").read_bytes() == summary
            subprocess.run(["rm", "-r", files / "run"], check=True)
    subprocess.run(command(files, "run", *crops), check=True, **options)
    assert (files / "run/summary.json").read_bytes() == summary


def test_an_image_that_goes_away_between(files, options):  # noqa: F811
    many(files, 300)
    interrupt = (
        "import sys, caffezoo.evaluation.runs.folder as f, os\n"
        "write = f.Run.write\n"
        "def once(self, shard, *a):\n"
        "    write(self, shard, *a)\n"
        "    os.kill(os.getpid(), 9)\n"
        "f.Run.write = once\n"
        "from caffezoo.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )
    arguments = command(files, "run")[3:]
    killed = subprocess.run([sys.executable, "-c", interrupt, *arguments], **options)
    assert killed.returncode == -9
    for name in ("3.jpg", "299.jpg"):
        (files / "images" / name).unlink()
    (files / "images/200.jpg").unlink()
    (files / "images/200.jpg").write_bytes(b"")
    finished = subprocess.run(command(files, "run"), check=True, **options)
    assert "going on after 128 of 300 images" in finished.stderr
    record = json.loads(finished.stdout)
    assert (record["images"], record["total"]) == (298, 300)
    assert [one["reason"] for one in record["unreadable"]] == ["an empty file, not an image", "no such image"]


def test_two_processes_on_one_directory_and_another_list(files, options):  # noqa: F811
    many(files, 20)
    subprocess.run(command(files, "run"), check=True, **options)
    with (files / "run/lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = subprocess.run(command(files, "run"), **options)
    assert refused.returncode == 1
    assert "another process is at this run; wait for it, or name another" in refused.stderr
    lines = (files / "val.txt").read_text().splitlines()
    (files / "val.txt").write_text("\n".join([*lines[:-1], "19.jpg 0"]))
    changed = subprocess.run(command(files, "run"), **options)
    assert changed.returncode == 1
    assert "it is a run of other inputs: images_sha256 was" in changed.stderr
    assert changed.stderr.count("\n") == 1
    (files / "val.txt").write_text("\n".join([*lines, "0.jpg 1"]))
    twice = subprocess.run(command(files, "run2"), **options)
    assert "val.txt:21: '0.jpg' is listed twice, first in line 1" in twice.stderr
