"""Gradients of torch forms by finite differences in float64."""

from __future__ import annotations

import pytest

from tests.net.layers.cases import CASES
from tests.net.layers.test_cases import bottoms
from tests.net.layers.test_torch_forms import one_layer

torch = pytest.importorskip("torch")

CHECKED = [
    *("contrastive_loss", "contrastive_loss_legacy", "embed", "hinge_loss", "hinge_loss_l2", "im2col"),
    *("batch_reindex", "filter", "parameter", "spp", "spp_ave", "lstm", "lstm_static", "lstm_exposed"),
    *("rnn", "rnn_exposed", "sigmoid_cross_entropy_loss", "sigmoid_cross_entropy_loss_ignore"),
    *("multinomial_logistic_loss", "infogain_loss", "infogain_loss_axis"),
]


@pytest.mark.parametrize("name", CHECKED)
def test_gradients_are_those_of_the_function(name: str) -> None:
    from caffezoo.net.torch_module import to_torch

    case = CASES[name]
    module = to_torch(one_layer(case.layer, case.shapes)).double()
    inputs = [torch.from_numpy(x).double() for x in bottoms(case).values()]
    labels = case.labels % len(inputs) if case.classes else None
    for i, x in enumerate(inputs):
        x.requires_grad_(i != labels)
    parameters = [*module.parameters()]

    def run(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(module(*tensors[: len(inputs)]).values())

    assert torch.autograd.gradcheck(run, (*inputs, *parameters), eps=1e-6, atol=1e-5, fast_mode=True)
