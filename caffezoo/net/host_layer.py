"""Layers that run in numpy between the compiled parts of a network.

What no runtime has in one operator, or whose tops are as long as the data say (boxes that are left of many), is a
function of arrays. An engine runs it between two parts of the network that it compiles
(:mod:`caffezoo.engines.partitioned`); where a layer can also be written in standard ONNX operators, its class overrides
``onnx``, and an export holds those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import numpy as np

from caffezoo.errors import EngineError
from caffezoo.net.layer import Layer

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


class HostLayer(Layer):
    """A layer that engines run as a function of numpy arrays.

    Attributes
    ----------
    in_caffe : bool
        Whether BVLC Caffe has the layer: engine ``caffe`` then runs it itself.
    """

    on_host = True
    in_place_allowed = False
    differentiable = False
    in_caffe: ClassVar[bool] = False

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the tops of these bottoms, float32.

        Parameters
        ----------
        bottoms : sequence of ndarray
            float32, of the bottoms' shapes, or shorter where a layer below has a ``bounded_axis``.
        blobs : sequence of ndarray
            The layer's learned blobs.

        Raises
        ------
        EngineError
            If these values have no answer; the message names the layer.
        """
        raise NotImplementedError(f"{type(self).__name__} has no host form")

    def onnx(self, scope: LayerScope) -> list[str]:
        raise scope.refuse("it has no form in standard ONNX operators; engines run it outside the model")

    def torch(self, scope: TorchScope) -> Compute:
        """Return the host form behind tensors: it computes on the CPU and has no gradient."""
        torch, scope_blobs = scope.torch, scope.blobs

        def compute(own: Any, *bottoms: Any) -> list[Any]:
            found = self.host([x.detach().float().cpu().numpy() for x in bottoms], scope_blobs)
            device, dtype = (bottoms[0].device, bottoms[0].dtype) if bottoms else ("cpu", torch.float32)
            return [torch.from_numpy(np.ascontiguousarray(top)).to(device, dtype) for top in found]

        return compute

    def check_finite(self, bottoms: Sequence[np.ndarray]) -> None:
        """Raise if a bottom holds NaN or infinity.

        Raises
        ------
        EngineError
        """
        for name, x in zip(self.proto.bottom, bottoms, strict=False):
            if not np.isfinite(x).all():
                bad = int(x.size - np.count_nonzero(np.isfinite(x)))
                self.fail_values(f"bottom '{name}' holds {bad} value(s) of {x.size} that are not finite")

    def fail_values(self, message: str, hint: str | None = None) -> NoReturn:
        """Raise an EngineError that names this layer: its bottoms hold values that have no answer."""
        raise EngineError(message, where=self.label, hint=hint)
