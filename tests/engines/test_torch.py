"""PyTorch as an engine: precision, devices, gradients."""

from __future__ import annotations

import numpy as np
import pytest

from caffezoo.engines.seeding import seeded_inputs
from caffezoo.errors import EngineUnavailableError, PrecisionError
from tests.engines.networks import small_network

torch = pytest.importorskip("torch")


def test_bfloat16_is_near_float32_and_not_equal() -> None:
    from caffezoo.engines.torch import TorchEngine

    network = small_network()
    inputs = seeded_inputs(network, batch=1)
    exact = TorchEngine(network, threads=1).run(inputs)["prob"]
    with TorchEngine(network, precision="bfloat16", threads=1) as engine:
        rough = engine.run(inputs)["prob"]
        assert engine.precision == "bfloat16"
    np.testing.assert_allclose(rough, exact, atol=0.05)
    assert not np.array_equal(rough, exact)


def test_float16_is_refused() -> None:
    from caffezoo.engines.torch import TorchEngine

    with pytest.raises(PrecisionError, match="float32 and bfloat16"):
        TorchEngine(small_network(), precision="float16")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    from caffezoo.engines.torch import TorchEngine

    with pytest.raises(EngineUnavailableError, match=r"no GPU 0: torch \S+ finds no CUDA device; leave --gpu out"):
        TorchEngine(small_network(), gpu=0)


def test_with_gradients_every_layer_is_in_the_module() -> None:
    from caffezoo.engines.torch import TorchEngine

    network = small_network()
    plain, folded = TorchEngine(network, gradients=True, threads=1), TorchEngine(network, threads=1)
    assert [layer.layer_name for layer in plain.module.layers] == [n.name for n in network.nodes[1:]]
    assert len(folded.module.layers) < len(plain.module.layers)
    inputs = seeded_inputs(network, batch=1)
    np.testing.assert_allclose(plain.run(inputs)["prob"], folded.run(inputs)["prob"], rtol=1e-5)
    plain.module(*plain.tensors(inputs))["prob"].square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in plain.module.parameters())
