"""Contenders: processes of their own that sleep between blocks, and end with whoever started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from caffezoo.errors import EngineUnavailableError, PrecisionError, UnknownNameError
from caffezoo.timing.contender import Contender, Turns, take_turns
from caffezoo.timing.networks import Job
from caffezoo.timing.subjects import Settings
from tests.engines.networks import small_network
from tests.oracle import oracle_python, requires_caffe

SETTINGS = Settings("openvino", threads=1, backward=False)
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def state(pid: int) -> str:
    """Return a process' state as /proc tells it: T where it is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.fixture(scope="module")
def contender() -> Contender:
    with Contender(small_network(), SETTINGS) as found:
        yield found


def test_it_says_what_it_runs(contender: Contender) -> None:
    assert (contender.precision, contender.threads) == ("float32", 1)
    assert contender.version
    assert contender.load_seconds > 0
    assert contender.pid != os.getpid()


def test_a_block_has_the_dropped_calls_first_and_some_at_least(contender: Contender) -> None:
    seconds = contender.block(0.0, least=4, dropped=3)
    assert len(seconds) == 7
    assert min(seconds) > 0


def test_a_block_lasts_as_long_as_wanted(contender: Contender) -> None:
    seconds = contender.block(0.05, least=1, dropped=0)
    assert sum(seconds[:-1]) <= 0.05  # no call began when the time was over
    assert len(seconds) > 1


@linux
def test_it_is_stopped_between_blocks(contender: Contender) -> None:
    contender.block(0.0)
    deadline = time.monotonic() + 30
    while state(contender.pid) != "T" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert state(contender.pid) == "T"


def test_turns_drop_first_calls_and_keep_blocks_apart() -> None:
    turns = Turns.of([[0.009, 0.003, 0.001, 0.001], [0.007, 0.005, 0.002, 0.002]], dropped=2)
    assert (turns.steady.median_ms, turns.steady.count) == (1.5, 4)
    assert (turns.cold.median_ms, turns.cold.count) == (8.0, 2)
    assert turns.block_ms == (1.0, 2.0)
    both = Turns.joined([turns, Turns.of([[0.5, 0.4, 0.003]], dropped=2)], dropped=2)
    assert both.block_ms == (1.0, 2.0, 3.0)
    assert both.steady.count == 5


def test_contenders_take_turns_and_the_first_block_of_each_does_not_count(contender: Contender) -> None:
    done: list[tuple[int, int]] = []
    with Contender(small_network(), SETTINGS) as other:
        turns = take_turns(
            [contender, other], blocks=2, block_s=0.0, least=3, dropped=1, on_block=lambda *s: done.append(s)
        )
    assert [(t.steady.count, t.cold.count, len(t.block_ms)) for t in turns] == [(6, 2, 2)] * 2
    assert done == [(i, 6) for i in range(1, 7)]


def test_a_job_gets_weights_by_formula_there(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text(
        'input: "data" input_shape { dim: 1 dim: 3 dim: 8 dim: 8 } layer { name: "c" type: "Convolution" '
        'bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 3 } }'
    )
    with Contender(Job("net", file, None, 2), SETTINGS) as found:
        assert len(found.block(0.0, least=1, dropped=0)) == 1


@requires_caffe
def test_real_caffe_is_one_too() -> None:
    settings = Settings("caffe", threads=1, backward=False, caffe_python=oracle_python())
    with Contender(small_network(), settings) as found:
        assert found.version
        assert len(found.block(0.0, least=2, dropped=1)) == 3


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        (Settings("openvinno"), UnknownNameError, "did you mean openvino"),
        (Settings("openvino", precision="float61"), UnknownNameError, "unknown precision 'float61'"),
        (Settings("onnxruntime", precision="bfloat16"), PrecisionError, "bfloat16"),
        (Settings("caffe", caffe_python="/nowhere/python"), EngineUnavailableError, "/nowhere/python"),
    ],
    ids=["engine", "precision", "not-on-it", "no-caffe"],
)
def test_what_loading_raises_there_is_raised_here(settings: Settings, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        Contender(small_network(), settings)


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="needs signals")
def test_one_that_dies_or_hangs_is_told(contender: Contender) -> None:
    from caffezoo.errors import EngineError

    with Contender(small_network(), SETTINGS) as dying:
        os.kill(dying.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match="its process ended"):
            dying.block(0.0)
    with Contender(small_network(), SETTINGS) as hanging:
        hanging._timeout_s = 0.3
        with pytest.raises(EngineError, match=r"no answer in 0\.3 s"):
            hanging.block(600.0)


@linux
def test_a_stopped_one_ends_when_its_parent_is_killed() -> None:
    code = (
        "import sys, time; from caffezoo.timing.contender import Contender; "
        "from caffezoo.timing.subjects import Settings; from tests.engines.networks import small_network; "
        "c = Contender(small_network(), Settings('openvino', threads=1)); print(c.pid, flush=True); time.sleep(600)"
    )
    root = Path(__file__).resolve().parent.parent.parent
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            if state(pid) == "Z":
                return
        except (OSError, IndexError):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("it goes on without its parent")
