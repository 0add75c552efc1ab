from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest

from caffezoo.engines.registry import create_engine
from caffezoo.engines.seeding import hashed_uniform, seeded_weights
from caffezoo.errors import EngineError, ShapeError
from caffezoo.net.graph import Network
from tests.engines.networks import requires_torch

STEPS, CLASSES = 4, 3
HEAD = """input: "x" input_shape { dim: 4 dim: 2 dim: 3 } input: "label" input_shape { dim: 2 dim: 3 }
layer { name: "l" bottom: "x" bottom: "label" top: "y" """
CTC = HEAD + 'type: "CtcLoss" ctc_loss_param { blank_label: 2 alphabet_size: 3 time_step: %d } }'
LABELS = np.array([[0, 1, 2], [1, 1, 2]], np.float32)


def by_every_path(x: np.ndarray, labels: np.ndarray, blank: int) -> float:
    """-log of the sum over all paths that come to the labels."""
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    total = 0.0
    for path in product(range(x.shape[1]), repeat=len(x)):
        merged = [c for i, c in enumerate(path) if c != blank and (i == 0 or path[i - 1] != c)]
        if merged == [c for c in labels.astype(int) if c != blank]:
            total += float(np.prod([p[t, c] for t, c in enumerate(path)]))
    return -np.log(total)


@pytest.mark.parametrize("engine", ["openvino", pytest.param("torch", marks=requires_torch)])
@pytest.mark.parametrize(
    ("text", "steps", "blank"),
    [(CTC % 4, 4, 2), (CTC % 3, 3, 2), (HEAD + 'type: "WarpCTCLoss" }', 4, 0)],
    ids=["ctc", "ctc_three_steps", "warp"],
)
def test_loss_is_the_sum_over_all_paths(text: str, steps: int, blank: int, engine: str) -> None:
    x = hashed_uniform("x", (4, 2, 3)) * 2
    with create_engine(engine, Network.from_text(text), threads=1) as run:
        found = run.run({"x": x, "label": LABELS})["y"]
    wanted = np.mean([by_every_path(x[:steps, i].astype(np.float64), LABELS[i], blank) for i in range(2)])
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_labels_that_do_not_fit_count_nothing() -> None:
    x = hashed_uniform("x", (4, 2, 3))
    labels = np.array([[0, 1, 2], [1, 1, 1]], np.float32)  # three times 1 takes five steps
    with create_engine("openvino", Network.from_text(CTC % 4), threads=1) as run:
        found = run.run({"x": x, "label": labels})["y"]
    np.testing.assert_allclose(found, by_every_path(x[:, 0].astype(np.float64), labels[0], 2) / 2, rtol=1e-5)


def test_a_label_that_is_no_class_is_refused() -> None:
    network = Network.from_text(CTC % 4)
    with create_engine("openvino", network, threads=1) as run, pytest.raises(EngineError, match="sample 1"):
        run.run({"x": np.zeros((4, 2, 3), np.float32), "label": np.array([[0, 1, 2], [1, 7, 2]], np.float32)})


@pytest.mark.parametrize(("was", "is_"), [("time_step: 4", "time_step: 5"), ("size: 3", "size: 4"), ("l: 2", "l: 3")])
def test_parameters_that_do_not_fit_are_refused(was: str, is_: str) -> None:
    with pytest.raises(ShapeError, match=r"layer 'l' \(CtcLoss\)"):
        Network.from_text((CTC % 4).replace(was, is_))


@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("engine", ["openvino", pytest.param("torch", marks=requires_torch)])
def test_dense_block(engine: str, bottleneck: bool) -> None:
    text = f"""input: "x" input_shape {{ dim: 2 dim: 3 dim: 5 dim: 4 }}
    layer {{ name: "d" type: "DenseBlock" bottom: "x" top: "y" denseblock_param {{
      numTransition: 2 initChannel: 16 growthRate: 2 use_BC: {str(bottleneck).lower()} }} }}"""
    network = Network.from_text(text)
    blobs = seeded_weights(network, exponents={})[0]["d"]
    blobs = [*blobs[:-1], np.full(1, 2, np.float32)]
    x = hashed_uniform("x", (2, 3, 5, 4))
    with create_engine(engine, network.with_weights({"d": blobs}), threads=1) as run:
        found = run.run({"x": x})["y"]

    def convolved(y: np.ndarray, kernel: np.ndarray, norm: Sequence[np.ndarray]) -> np.ndarray:
        scale, shift, mean, variance = norm
        y = np.maximum(scale * (y - mean / 2) / np.sqrt(variance / 2 + 1e-5) + shift, 0)
        side = kernel.shape[2]
        y, top = np.pad(y, ((0, 0), (0, 0), *((side // 2, side // 2),) * 2)), np.zeros((2, len(kernel), 5, 4))
        for r, c in product(range(side), repeat=2):
            flipped = y[:, :, side - 1 - r : side + 4 - r, side - 1 - c : side + 3 - c]
            top += np.einsum("oc,nchw->nohw", kernel[:, :, r, c], flipped)
        return top

    wanted = x.astype(np.float64)
    for i in range(2):
        kernel, *norm = blobs[i:10:2]
        y = wanted
        if bottleneck:
            squeezing, *narrow = blobs[10 + i : 20 : 2]
            assert squeezing.shape == (8, 3 + 2 * i, 1, 1)
            y, norm = convolved(y, squeezing, norm), narrow
        wanted = np.concatenate([wanted, convolved(y, kernel, norm)], 1)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


MARKED = """input: "x" input_shape { dim: 4 dim: 3 dim: 3 } input: "mark" input_shape { dim: 4 dim: 3 }
input: "label" input_shape { dim: 4 dim: 3 }
layer { name: "l" type: "CTCLoss" bottom: "x" bottom: "mark" bottom: "label" top: "y" """


@pytest.mark.parametrize("engine", ["openvino", pytest.param("torch", marks=requires_torch)])
@pytest.mark.parametrize(("param", "blank"), [("", 2), ("ctc_loss_param { blank_index: 0 }", 0)], ids=["last", "first"])
def test_loss_of_marked_lengths(param: str, blank: int, engine: str) -> None:
    x = hashed_uniform("x", (4, 3, 3)) * 2
    marks = np.array([[0, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1]], np.float32)  # 4 and 3 steps, and one
    two = sorted({0, 1, 2} - {blank})
    labels = np.array([[two[0], two[1], -1], [two[1], two[1], 0], [-1, -1, 0], [0, 0, 0]], np.float32)
    with create_engine(engine, Network.from_text(MARKED + param + "}"), threads=1) as run:
        found = run.run({"x": x, "mark": marks, "label": labels})["y"]
    costs = [by_every_path(x[:length, i].astype(np.float64), labels[:2, i], blank) for i, length in enumerate((4, 3))]
    np.testing.assert_allclose(found, sum(costs) / 3, rtol=1e-5)


@requires_torch
def test_gradient_of_marked_lengths() -> None:
    import torch

    from caffezoo.net.torch_module import to_torch

    module = to_torch(Network.from_text(MARKED + "}")).double()
    x = torch.from_numpy(hashed_uniform("x", (4, 3, 3))).double().requires_grad_(True)
    marks = torch.tensor([[0, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1]]).double()
    labels = torch.tensor([[0, 1, -1], [1, 1, 0], [-1, -1, 0], [0, 0, 0]]).double()
    assert torch.autograd.gradcheck(lambda x: tuple(module(x, marks, labels).values()), (x,), fast_mode=True)


@pytest.mark.parametrize(
    ("labels", "message"),
    [([0, 0, 0, 0], "sample 1 has 4 labels in 3 steps"), ([2, -1, 0, 0], "a label of sample 1 is the blank")],
)
def test_marked_labels_that_cannot_be(labels: list[int], message: str) -> None:
    marks = np.array([[0, 0, 0], [1, 1, 0], [1, 1, 1], [1, 0, 1]], np.float32)
    line = np.array([[0, labels[i], -1] for i in range(4)], np.float32)
    line[1:, 0] = -1
    network = Network.from_text(MARKED + "}")
    with create_engine("openvino", network, threads=1) as run, pytest.raises(EngineError, match=message):
        run.run({"x": np.zeros((4, 3, 3), np.float32), "mark": marks, "label": line})


@pytest.mark.parametrize("param", ["output_delay: 1", "blank_index: 3", "ctc_merge_repeated: false"])
def test_marked_losses_that_are_refused(param: str) -> None:
    with pytest.raises(ShapeError, match=r"layer 'l' \(CTCLoss\)"):
        Network.from_text(MARKED + f"ctc_loss_param {{ {param} }} }}")
