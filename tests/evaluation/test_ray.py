"""Runs on a cluster of Ray: the same directory, the same result, whoever dies in the middle."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, redirect_stdout
from importlib.util import find_spec
from pathlib import Path

import pytest

from caffezoo.errors import EngineError
from caffezoo.evaluation.runs import ray_cluster
from caffezoo.evaluation.runs.ray_cluster import rows_while_it_lives
from tests.cli.test_evaluate import data_flags, files, network_flags  # noqa: F401

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="no Ray: pip install 'caffezoo[ray]'")
needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")


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


def many(folder, count):
    """``count`` images, some with another label; returns what a command of this test is run with."""
    for i in range(6, count):
        (folder / f"images/{i}.jpg").hardlink_to(folder / f"images/{i % 6}.jpg")
    (folder / "val.txt").write_text("\n".join(f"{i}.jpg {(i + i // 700) % 6}" for i in range(count)))
    environment = {**os.environ, "CAFFEZOO_CACHE": str(folder / "cache"), "RAY_TMPDIR": "/tmp"}
    return {"env": environment, "text": True, "stderr": subprocess.PIPE, "stdout": subprocess.PIPE}


def shards_of(run):
    return len(list((run / "shards").glob("*.json")))


def more_shards(run, running, count):
    """Wait until that many more are there."""
    there = shards_of(run)
    wait_for(lambda: shards_of(run) >= there + count, running)


@needs_ray
@needs_proc
def test_a_member_and_then_the_driver_are_killed(files):  # noqa: F811
    options = {**many(files, 4000), "cwd": files}  # a folder that the cluster's processes are not in
    ray = [word.replace(f"{files}/", "") for word in command(files, "ray", "--ray", "--ray-workers", "2")]
    alone = [word.replace(f"{files}/", "") for word in command(files, "alone")]
    subprocess.run(alone, check=True, **options)
    running = subprocess.Popen(ray, **options)
    more_shards(files / "ray", running, 2)
    os.kill(wait_for(lambda: members_of(running.pid), running)[0], signal.SIGKILL)
    more_shards(files / "ray", running, 4)
    running.kill()
    running.wait()
    assert not (files / "ray/summary.json").exists()
    finished = subprocess.run(ray, check=True, **options)
    assert "going on after" in finished.stderr
    assert (files / "ray/summary.json").read_bytes() == (files / "alone/summary.json").read_bytes()


@needs_ray
@needs_proc
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_thirty_kills_at_random_moments(files):  # noqa: F811
    """Members and the driver, in turns and at random, of a run of 500 images with a hundred crops each."""
    options = many(files, 500)
    crops = ("--crops", "100")
    subprocess.run(command(files, "alone", *crops), check=True, **options)
    summary = (files / "alone/summary.json").read_bytes()
    rng, kills, starts = random.Random(12), 0, 0

    def finished():
        assert (files / "ray/summary.json").read_bytes() == summary
        subprocess.run(["rm", "-r", files / "ray"], check=True)

    while kills < 30:
        starts += 1
        assert starts < 120
        quiet = {**options, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        running = subprocess.Popen(command(files, "ray", *crops, "--ray", "--ray-workers", "2"), **quiet)
        end = time.monotonic() + 300
        for victim in ("member", "member", "driver"):
            while running.poll() is None and not members_of(running.pid):
                assert time.monotonic() < end
                time.sleep(0.05)
            time.sleep(rng.uniform(0, 2))
            members = members_of(running.pid)
            if running.poll() is None and (members or victim == "driver") and kills < 30:
                os.kill(rng.choice(members) if victim == "member" else running.pid, signal.SIGKILL)
                kills += 1
        if kills < 30 or running.poll() is not None:
            running.kill()
        running.wait()
        if (files / "ray/summary.json").exists():
            finished()
    subprocess.run(command(files, "ray", *crops, "--ray", "--ray-workers", "2"), check=True, **options)
    finished()


@pytest.fixture
def cluster(monkeypatch):
    """A head without cores of its own, and two nodes of one core; ends with the test."""
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")  # on a busy machine; read when ray is first imported
    utils = pytest.importorskip("ray.cluster_utils")
    made = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.first, made.second = made.add_node(num_cpus=1), made.add_node(num_cpus=1)
    yield made
    made.shutdown()


@needs_ray
@pytest.mark.slow
def test_a_node_dies_another_joins_and_ends_alone(files, cluster):  # noqa: F811
    options = many(files, 1500)
    crops = ("--crops", "100")
    subprocess.run(command(files, "alone", *crops), check=True, **options)
    there = ("--ray", cluster.address, "--ray-workers", "2")
    running = subprocess.Popen(command(files, "ray", *crops, *there), **options)
    more_shards(files / "ray", running, 5)
    cluster.remove_node(cluster.first, allow_graceful=False)
    more_shards(files / "ray", running, 5)
    cluster.add_node(num_cpus=1)
    more_shards(files / "ray", running, 5)
    cluster.remove_node(cluster.second, allow_graceful=False)
    out, err = running.communicate(timeout=400)
    assert running.returncode == 0, err
    assert out.count("\n") == 1, out
    assert (files / "ray/summary.json").read_bytes() == (files / "alone/summary.json").read_bytes()


@needs_ray
@pytest.mark.slow
def test_a_head_that_vanishes_is_one_line_and_the_run_goes_on_without_ray(files, cluster):  # noqa: F811
    options = many(files, 1500)
    crops = ("--crops", "100")
    subprocess.run(command(files, "alone", *crops), check=True, **options)
    running = subprocess.Popen(command(files, "ray", *crops, "--ray", cluster.address, "--ray-workers", "2"), **options)
    more_shards(files / "ray", running, 5)
    cluster.remove_node(cluster.head_node, allow_graceful=False)
    out, err = running.communicate(timeout=300)
    assert (running.returncode, out) == (1, "")
    errors = [line for line in err.splitlines() if "error: " in line]
    assert len(errors) == 1, err
    assert "the Ray cluster failed" in errors[0]
    done = shards_of(files / "ray")
    assert 5 <= done < -(-1500 // 8)
    finished = subprocess.run(command(files, "ray", *crops), check=True, **options)
    assert f"going on after {8 * done} of 1500 images" in finished.stderr
    assert (files / "ray/summary.json").read_bytes() == (files / "alone/summary.json").read_bytes()


@needs_ray
def test_no_cluster_is_one_line(files):  # noqa: F811
    found = subprocess.run(command(files, "run", "--ray", "127.0.0.1:1"), capture_output=True, text=True)
    assert found.returncode == 1
    assert "no Ray cluster" in found.stderr
    assert "`ray start --head` makes one" in found.stderr
    assert found.stderr.count("\n") == 1


def test_what_rays_listening_thread_prints_is_no_output_of_the_command(capsys):
    with redirect_stdout(ray_cluster._WithoutRay(sys.stdout)):
        listening = threading.Thread(target=print, args=("a raylet died",), name="ray_listen_error_messages")
        listening.start()
        listening.join()
        print("the command's own", flush=True)
    assert capsys.readouterr().out == "the command's own\n"


def test_a_head_that_stops_listening_is_an_error_after_the_rows_that_came(monkeypatch):
    monkeypatch.setattr(ray_cluster, "KNOCK_EVERY_S", 0.01)
    never = threading.Event()

    def rows():
        yield from range(3)
        never.wait()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        head = f"127.0.0.1:{listening.getsockname()[1]}"
        assert list(rows_while_it_lives(iter(range(5)), head, "here")) == [0, 1, 2, 3, 4]
        found = rows_while_it_lives(rows(), head, "here")
        assert [next(found) for _ in range(3)] == [0, 1, 2]
    with closing(found), pytest.raises(EngineError, match="--ray here: the Ray cluster failed: its head is gone"):
        next(found)
    never.set()

    def broken():
        yield 1
        raise ValueError("as it came")

    with pytest.raises(ValueError, match="as it came"):
        list(rows_while_it_lives(broken(), "no address", "here"))
