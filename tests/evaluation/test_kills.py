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


def after_shards(count, then):
    """A program that is the command, and does something just before a shard is written."""
    return (
        "import sys, os, resource, caffezoo.evaluation.runs.folder as f\n"
        "write, shards = f.Run.write, []\n"
        "def counted(self, shard, *a):\n"
        f"    if len(shards) == {count}:\n"
        f"        {then}\n"
        "    shards.append(shard)\n"
        "    write(self, shard, *a)\n"
        "f.Run.write = counted\n"
        "from caffezoo.cli.main import main\n"
        "main(sys.argv[1:])\n"
    )


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        # The kernel refuses to write more than this into a file, as a full disk or a quota does.
        ("resource.setrlimit(resource.RLIMIT_FSIZE, (512, resource.RLIM_INFINITY))", "File too large"),
        ("os.rename(self.path / 'shards', self.path / 'moved')", "No such file or directory"),
        ("resource.setrlimit(resource.RLIMIT_NOFILE, (3, 64))", "Too many open files"),
    ],
    ids=["no room", "no folder", "no file handles"],
)
def test_what_cannot_be_written_ends_the_run_and_loses_nothing(files, options, then, reason):  # noqa: F811
    many(files, 600)
    subprocess.run(command(files, "whole"), check=True, **options)
    arguments = command(files, "run")[3:]
    ended = subprocess.run([sys.executable, "-c", after_shards(2, then), *arguments], **options)
    assert (ended.returncode, ended.stdout) == (1, "")
    errors = [line for line in ended.stderr.splitlines() if "error: " in line]
    assert len(errors) == 1, ended.stderr
    assert f"the run cannot be kept: {reason}; the same command goes on from here" in errors[0]
    if (files / "run/moved").exists():
        (files / "run/moved").rename(files / "run/shards")
    assert sorted(p.name for p in (files / "run/shards").iterdir()) == ["000000.json", "000001.json"]
    assert not (files / "run/summary.json").exists()
    finished = subprocess.run(command(files, "run"), check=True, **options)
    assert "going on after 256 of 600 images" in finished.stderr
    assert (files / "run/summary.json").read_bytes() == (files / "whole/summary.json").read_bytes()


def test_images_that_go_away_while_the_run_goes_on(files, options):  # noqa: F811
    many(files, 600)
    then = "[os.unlink(f'{sys.argv[sys.argv.index(\"--data\") + 1]}/{i}.jpg') for i in range(500, 600)]"
    ended = subprocess.run(
        [sys.executable, "-c", after_shards(1, then), *command(files, "run")[3:]], check=True, **options
    )
    record = json.loads(ended.stdout)
    gone = [one["image"].rpartition("/")[2] for one in record["unreadable"]]
    assert record["total"] == 600
    assert record["images"] + len(gone) == 600
    assert {one["reason"] for one in record["unreadable"]} == {"no such image"}
    assert gone == [f"{i}.jpg" for i in range(600 - len(gone), 600)]
    assert len(gone) >= 50  # what was read ahead was there


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
