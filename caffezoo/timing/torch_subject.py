"""A network in PyTorch, timed forward and backward; CUDA with events."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from caffezoo.engines.seeding import seeded_inputs
from caffezoo.engines.torch import TorchEngine
from caffezoo.net.graph import Network
from caffezoo.timing.memory import MemoryPeak
from caffezoo.timing.subjects import KeepGoing, LayerSamples, LayerTime, Settings, Subject


class TorchSubject(Subject):
    """The unfolded module, so that every layer of the prototxt has its time.

    The backward pass starts from gradients of 1 at every output and computes the gradients that training computes:
    those of all blobs but the network's inputs, and those of all weights. With ``backward`` the forward pass keeps what
    the backward pass needs; without, it runs in inference mode.
    """

    def __init__(self, network: Network, settings: Settings, inputs: Mapping[str, np.ndarray] | None = None) -> None:
        super().__init__(network, settings)
        peak = MemoryPeak()
        batch = next(iter(network.inputs.values()))[0]
        self._engine = TorchEngine(
            network,
            batch_size=batch,
            precision=settings.precision,
            threads=settings.threads,
            gpu=settings.gpu,
            gradients=True,
        )
        import torch

        self._torch = torch
        self._module = self._engine.module
        self._inputs = self._engine.tensors(seeded_inputs(network, batch=batch) if inputs is None else inputs)
        if settings.gpu is not None:
            torch.cuda.reset_peak_memory_stats(settings.gpu)
        self.whole()
        self.memory_peak_bytes = (
            peak.bytes if settings.gpu is None else int(torch.cuda.max_memory_allocated(settings.gpu))
        )
        engine = self._engine
        self.version, self.device, self.precision, self.threads = (
            engine.version,
            engine.device,
            engine.precision,
            engine.threads,
        )

    def whole(self) -> tuple[float, float | None]:
        torch = self._torch
        if not self.settings.backward:
            with torch.inference_mode():
                start = self._mark()
                self._module(*self._inputs)
                return self._seconds(start, self._mark()), None
        self._module.zero_grad(set_to_none=True)
        start = self._mark()
        tops = [x for x in self._module(*self._inputs).values() if x.requires_grad]
        gradients = [torch.ones_like(x) for x in tops]
        middle = self._mark()
        torch.autograd.backward(tops, gradients)
        end = self._mark()
        return self._seconds(start, middle), self._seconds(middle, end)

    def layers(self, keep_going: KeepGoing) -> list[LayerTime]:
        samples = LayerSamples()
        while True:
            samples.begin()
            marks = self._with_backward() if self.settings.backward else self._forward_only()
            for layer, forward, backward in marks:
                samples.add(layer, self._seconds(*forward), self._seconds(*backward) if backward else None)
            if not keep_going():
                return samples.medians([layer.layer_name for layer in self._module.layers], self._types)

    def close(self) -> None:
        self._module.zero_grad(set_to_none=True)
        self._inputs = []
        del self._module
        self._engine.close()

    def _forward_only(self) -> list[tuple[str, tuple[Any, Any], None]]:
        found: list[tuple[str, tuple[Any, Any], None]] = []
        with self._torch.inference_mode():
            values = self._module.sources(self._inputs)
            for layer, bottoms, tops, dead in self._module.steps():
                start = self._mark()
                above = layer(*(values[b] for b in bottoms))
                found.append((layer.layer_name, (start, self._mark()), None))
                values.update(zip(tops, above, strict=True))
                for blob in dead:
                    del values[blob]
        return found

    def _with_backward(self) -> list[tuple[str, tuple[Any, Any], tuple[Any, Any] | None]]:
        """Run each layer on detached bottoms, so that its backward pass can be run and timed alone."""
        torch, module = self._torch, self._module
        module.zero_grad(set_to_none=True)
        values = module.sources(self._inputs)
        passes = []
        for layer, bottoms, tops, _ in module.steps():
            below = [values[b].detach().requires_grad_(values[b].requires_grad) for b in bottoms]
            start = self._mark()
            above = layer(*below)
            passes.append((layer, bottoms, below, tops, above, (start, self._mark())))
            values.update(zip(tops, above, strict=True))
        gradients = {blob: torch.ones_like(values[blob]) for blob in module.results.values()}
        backward: list[tuple[Any, Any] | None] = []
        for _, bottoms, below, tops, above, _ in reversed(passes):
            pairs = [
                (x, gradients.pop(top))
                for top, x in zip(tops, above, strict=True)
                if top in gradients and x.requires_grad
            ]
            if not pairs:
                backward.append(None)
                continue
            start = self._mark()
            torch.autograd.backward([x for x, _ in pairs], [g for _, g in pairs])
            for blob, x in zip(bottoms, below, strict=True):
                if x.grad is not None:
                    gradients[blob] = gradients[blob] + x.grad if blob in gradients else x.grad
                    x.grad = None
            backward.append((start, self._mark()))
        return [
            (layer.layer_name, forward, back)
            for (layer, *_, forward), back in zip(passes, reversed(backward), strict=True)
        ]

    def _mark(self) -> Any:
        """Return this moment: of the CPU, or in the CUDA device's queue."""
        if self.settings.gpu is None:
            return time.perf_counter()
        event = self._torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _seconds(self, start: Any, end: Any) -> float:
        if self.settings.gpu is None:
            return float(end - start)
        end.synchronize()
        return float(start.elapsed_time(end)) * 1e-3
