"""Runs in directories: what is written is whole or not there, and whatever else is in them is named."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from caffezoo.errors import DataError
from caffezoo.evaluation.outcomes import Outcome
from caffezoo.evaluation.runs.folder import Run, open_finished, shard_images

IDENTITY = {"network": "n", "versions": {"numpy": "2"}}
OUTCOMES = [Outcome((i % 3, None), i, (i, i + 1), (0.75, 0.125)) for i in range(19)]
OUTCOMES[5] = Outcome(reason="no such image")


def fill(run, shards=(0, 1, 2)):
    for shard in shards:
        run.write(shard, [OUTCOMES[i] for i in run.indices(shard)], 0.5)


def reopened(run):
    run.close()
    return Run.open(run.path, IDENTITY, 19, 8)


def test_what_is_written_is_read(tmp_path):
    run = Run.open(tmp_path / "a/run", IDENTITY, 19, 8)
    assert (run.shards, run.pending(), [len(run.indices(s)) for s in range(3)]) == (3, [0, 1, 2], [8, 8, 3])
    fill(run, (2, 0))
    run = reopened(run)
    assert (run.pending(), run.done_images, run.seconds) == ([1], 11, 1.0)
    with pytest.raises(DataError, match="8 of its 19 images are not scored yet"):
        open_finished(run.path)
    fill(run)
    assert list(run.outcomes()) == list(enumerate(OUTCOMES))
    assert list(open_finished(run.path).outcomes()) == list(enumerate(OUTCOMES))
    assert json.loads((run.path / "run.json").read_text())["identity"] == IDENTITY
    run.close()
    anew = Run.open(run.path, IDENTITY, 19, 8, resume=False)
    assert anew.pending() == [0, 1, 2]


def test_a_run_in_memory_is_the_same(tmp_path):
    run = Run(None, {}, 19, 8)
    fill(run, (1, 0, 2))
    fill(run, (1,))  # a shard that comes twice counts once
    assert list(run.outcomes()) == list(enumerate(OUTCOMES))
    assert run.seconds == 1.5


@pytest.mark.parametrize("damage", [b"", b"{", b"garbage\n[[]]\n", None])
def test_a_damaged_shard_is_done_again(tmp_path, damage):
    run = Run.open(tmp_path / "run", IDENTITY, 19, 8)
    fill(run)
    file = run.path / "shards/000001.json"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"0.75", b"0.25", 1) if damage is None else damage)
    (run.path / "shards/000002.json.part").write_bytes(b"half")
    run = reopened(run)
    assert (run.pending(), run.damaged) == ([1], 1)
    fill(run, (1,))
    assert file.read_bytes() == whole
    assert sorted(p.name for p in (run.path / "shards").iterdir()) == [f"00000{k}.json" for k in range(3)]


def test_another_process_is_refused(tmp_path):
    run = Run.open(tmp_path / "run", IDENTITY, 19, 8)
    program = (
        "import sys; from caffezoo.evaluation.runs.folder import Run; from pathlib import Path; "
        f"Run.open(Path(sys.argv[1]), {IDENTITY}, 19, 8)"
    )
    command = [sys.executable, "-c", program, str(run.path)]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert "another process is at this run" in refused.stderr
    run.close()
    assert subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("{}", "not a run's head"),
        ("[1", "not a run's head"),
        ('{"form": 99}', "a run in form 99, and this version reads form 1; name a new directory"),
        ('{"form": 1, "identity": 3}', "not a run's head"),
    ],
)
def test_a_directory_of_another_version_or_of_none(tmp_path, head, message):
    (tmp_path / "run.json").write_text(head)
    (tmp_path / "shards").mkdir()
    with pytest.raises(DataError, match=message):
        Run.open(tmp_path, IDENTITY, 19, 8)
    with pytest.raises(DataError, match=message):
        open_finished(tmp_path)


def test_a_directory_of_other_files_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(DataError, match="the directory holds other files and no run"):
        Run.open(tmp_path, IDENTITY, 19, 8)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="the run cannot be kept"):
        Run.open(tmp_path / "file", IDENTITY, 19, 8)
    with pytest.raises(DataError, match=r"no run; `caffezoo evaluate --run DIR` makes one"):
        open_finished(tmp_path)


def test_differences_are_named(tmp_path):
    Run.open(tmp_path / "run", IDENTITY, 19, 8).close()
    with pytest.raises(DataError, match=r'versions.numpy was "2" and is "3"; name another directory'):
        Run.open(tmp_path / "run", {**IDENTITY, "versions": {"numpy": "3"}}, 19, 8)
    with pytest.raises(DataError, match=r"shard_size was 8 and is 16"):
        Run.open(tmp_path / "run", IDENTITY, 19, 16)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed").chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(DataError, match="the run cannot be kept: Permission denied"):
        Run.open(tmp_path / "closed/run", IDENTITY, 19, 8)


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="needs /proc")
def test_a_directory_in_which_nobody_can_write():
    with pytest.raises(DataError, match=r"/proc/.*: the run cannot be kept: No such file or directory"):
        Run.open(Path("/proc/runs/a"), IDENTITY, 19, 8)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_loses_nothing(tmp_path):
    run = Run.open(tmp_path / "run", IDENTITY, 19, 8)
    fill(run, (0,))
    (run.path / "shards/000001.json.part").symlink_to("/dev/full")
    with pytest.raises(DataError, match="No space left on device; the same command goes on from here"):
        fill(run, (1,))
    run = reopened(run)
    assert run.pending() == [1, 2]
    fill(run)
    assert list(run.outcomes()) == list(enumerate(OUTCOMES))


def test_shards_are_whole_batches():
    assert [shard_images(views) for views in (1, 2, 10, 12, 144, 1000)] == [128, 64, 8, 8, 8, 8]
