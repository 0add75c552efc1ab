"""Warm-up, medians, turns, limits: with a subject whose times are known."""

from __future__ import annotations

import pytest

from caffezoo.net.graph import Network
from caffezoo.report.records import record_rows
from caffezoo.timing.clock import Spread, is_stable, share, warm_up
from caffezoo.timing.measurement import Measurement, measure
from caffezoo.timing.memory import MemoryPeak
from caffezoo.timing.operators import RUNTIME, operator_owners
from caffezoo.timing.subjects import KeepGoing, LayerTime, Settings, Subject
from tests.engines.networks import SMALL


class Known(Subject):
    """Takes 10 ms and 20 ms by its own account, after three slow runs."""

    def __init__(self, log: list[str], name: str) -> None:
        super().__init__(Network.from_text(SMALL), Settings("torch"))
        self.log, self.name, self.runs, self.layer_runs = log, name, 0, 0

    def whole(self) -> tuple[float, float | None]:
        self.log.append(self.name)
        self.runs += 1
        return (0.5 / self.runs if self.runs <= 3 else 0.010), 0.020

    def layers(self, keep_going: KeepGoing) -> list[LayerTime]:
        self.layer_runs = 1
        while keep_going():
            self.layer_runs += 1
        return [LayerTime("conv1", "Convolution", 9.0, 18.0)]

    def close(self) -> None:
        pass


def test_engines_take_turns_after_warming_up() -> None:
    log: list[str] = []
    blocks: list[tuple[int, int]] = []
    found = measure([Known(log, "a"), Known(log, "b")], iterations=7, on_block=lambda *b: blocks.append(b))
    assert [t.forward for t in found] == [Spread(10.0, 0.0, 7)] * 2
    assert [t.backward for t in found] == [Spread(20.0, 0.0, 7)] * 2
    warm = found[0].warm_up_runs
    assert warm >= 6
    assert "".join(log[2 * warm :]) == "aaaabbbb" + "aaabbb" * 2  # a run a block warms the caches
    assert blocks[-1] == (8, 8)


def test_iterations_bound_the_layers_too() -> None:
    subject = Known([], "a")
    measure([subject], iterations=5)
    assert subject.layer_runs == 5


def test_a_budget_gives_three_runs_at_least() -> None:
    subject = Known([], "a")
    (found,) = measure([subject], budget_s=1e-9)
    assert found.forward.count == 3
    assert subject.layer_runs == 3
    assert found.warm_up_runs == 1


def test_layers_are_left_out_on_demand() -> None:
    subject = Known([], "a")
    assert measure([subject], iterations=3, layers=False)[0].layers == ()
    assert subject.layer_runs == 0


def test_stability() -> None:
    assert is_stable([9, 1.0, 1.02, 1.04])
    assert not is_stable([1.0, 1.0])
    assert not is_stable([1.0, 1.1, 1.0])
    times = iter([5.0, 3.0, 1.0, 1.0, 1.0, 1.0])
    assert warm_up(lambda: next(times), 60) == 5


def test_shares() -> None:
    assert share(7, 3) == [3, 2, 2]
    assert share(1, 3) == [1, 0, 0]


def measurement(layer_ms: float) -> Measurement:
    layers = (LayerTime("conv1", "Convolution", layer_ms, 20.0),)
    return Measurement(
        "resnet50", 224, 1, "torch", "2.13", "CPU", "float32", 2, Spread(10, 0.5, 5), Spread(20, 1, 5), layers,
        1 << 20, {"torch": "2.13"}, "0" * 64,
    )  # fmt: skip


def test_layers_that_do_not_sum_up_are_doubted() -> None:
    assert measurement(10.0).doubt is None
    assert measurement(14.0).doubt is None
    assert measurement(16.0).doubt == "layers sum up to +20% of the whole network's time"
    assert measurement(1.0).disagreement == pytest.approx(-0.3)


def test_a_record_becomes_rows_of_the_store() -> None:
    record = {**measurement(10.0).to_record(), "date": "2026-01-02T03:04:05Z", "cpu": "x", "command": "caffezoo time"}
    whole, layer = record_rows(record, "here")
    assert (whole.forward_ms, whole.backward_ms, whole.iterations) == (10, 20, 5)
    assert (layer.run, layer.layer, layer.forward_ms) == (whole.run, "conv1", 10.0)


def test_operators_find_their_layers() -> None:
    network = Network.from_text(SMALL)
    operators = [
        ("data_abcd_acdb_conv1/WithoutBiases", "Reorder"),
        ("conv1/relu:0_nchwc", "Conv"),  # fused, and named after its last layer
        ("conv1/relu:0_bn", "Add"),
        ("pool", "MaxPool"),
        ("fc/2", "FullyConnected"),
        ("prob_1", "Softmax"),
        ("ReorderOutput_3", "Reorder"),
        ("poolside", "Relu"),
    ]
    owners = ["data", "conv1", "conv1/relu", "pool", "fc", "prob", RUNTIME, RUNTIME]
    assert list(operator_owners(operators, network).values()) == owners


def test_memory_peak_holds_what_was_taken_and_freed() -> None:
    peak = MemoryPeak()
    if peak.bytes is None:
        pytest.skip("this system does not tell")
    taken = bytearray(b"\1") * (64 << 20)
    del taken
    assert 60 << 20 < peak.bytes < 200 << 20
