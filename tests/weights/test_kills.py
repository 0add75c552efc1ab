"""kill -9 at random moments: what has come is kept, nobody sees a half file, and the end is right."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caffezoo.weights.http import CHUNK_BYTES

from . import tiny_network as tiny

ROOT = Path(__file__).resolve().parents[2]


def _drive(folder, url: str, data: bytes, kills: int, longest_s: float) -> dict[str, object]:
    sha256 = hashlib.sha256(data).hexdigest()
    arguments = [str(folder), url, sha256, str(kills), str(longest_s), "0"]
    command = [sys.executable, "-m", "tests.weights.kill_driver", *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert set(result["seen"]) <= {None, sha256}
    assert result["seen"][-1] == sha256
    return result


def test_fifty_kills_while_bytes_come(tmp_path, site):
    data = tiny.large_caffemodel(tmp_path)
    url = site.put("/f", data, piece_pause_s=0.02)
    result = _drive(tmp_path, url, data, 50, 0.06)
    assert result["killed"] == 50
    assert any(site.ranges_asked())
    assert site.sent_bytes <= 1.1 * len(data) + 50 * CHUNK_BYTES


def test_kills_while_it_is_verified_and_moved(tmp_path, site):
    data = tiny.large_caffemodel(tmp_path)
    result = _drive(tmp_path, site.put("/f", data), data, 30, 0)
    assert result["killed"] >= 10


@pytest.mark.slow
def test_fifty_kills_of_the_command(tmp_path, site):
    from tests.cli.fetch_index import write_index

    data = tiny.large_caffemodel(tmp_path, rows=60_000)
    sha256 = hashlib.sha256(data).hexdigest()
    url = site.put("/f", data, piece_pause_s=0.03)
    index = write_index(tmp_path, "large", tiny.LARGE % 60_000, {"scheme": "https", "url": url, "sha256": sha256})
    command = [sys.executable, str(ROOT / "tools" / "fetch.py"), "large", "--index", str(index)]
    command += ["--cache", str(tmp_path / "cache"), "--progress", "none"]
    rng, killed = random.Random(1), 0
    target = tmp_path / "cache" / "weights" / "large" / "large.caffemodel"
    while killed < 50 and not target.exists():
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0.6, 2.0))
        os.kill(process.pid, signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert subprocess.run(command, check=False, timeout=120).returncode == 0
    assert hashlib.sha256(target.read_bytes()).hexdigest() == sha256
    assert killed >= 10
    assert site.sent_bytes <= 1.1 * len(data) + killed * CHUNK_BYTES


CRASH = """
import os, sys
from pathlib import Path
from tests.weights import kill_driver
calls, at = 0, int(sys.argv[4])
def counted(true):
    def call(*arguments, **more):
        global calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), 9)
        return true(*arguments, **more)
    return call
for name in ("replace", "unlink", "rmdir", "mkdir", "rename"):
    setattr(os, name, counted(getattr(os, name)))
kill_driver.child(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
"""


def test_a_kill_before_every_change_of_the_folders(tmp_path, site):
    data = tiny.large_caffemodel(tmp_path)
    sha256, url = hashlib.sha256(data).hexdigest(), site.put("/f", data)
    target = tmp_path / "cache" / "weights" / "large" / "large.caffemodel"
    for at in range(1, 60):
        command = [sys.executable, "-c", CRASH, str(tmp_path), url, sha256, str(at)]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode in (0, -signal.SIGKILL), ran.stderr
        if target.exists():
            assert hashlib.sha256(target.read_bytes()).hexdigest() == sha256
            if ran.returncode == 0:
                break
    else:
        pytest.fail("it never came to its end")
    assert at > 3
