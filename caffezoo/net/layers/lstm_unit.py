"""LSTMUnit of BVLC: one step of an LSTM, as its own LSTM layer unrolls it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("LSTMUnit")
class LSTMUnit(Layer):
    """``c = cont sigmoid(f) c' + sigmoid(i) tanh(g)``, ``h = sigmoid(o) tanh(c)``.

    Bottoms: c' [1, N, D], gates i, f, o, g [1, N, 4 D] and cont [1, N], 0 where a sequence begins; tops: c and h
    [1, N, D] (``lstm_unit_layer.cpp`` of BVLC).
    """

    bottom_count = (3, 3)
    top_count = (2, 2)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        cell, gates, cont = bottoms
        wanted = len(cell) == 3 and cell[0] == 1 and gates == (1, cell[1], 4 * cell[2]) and cont == (1, cell[1])
        if not wanted:
            self.fail(f"takes a cell [1, N, D], gates [1, N, 4 D] and markers [1, N], has {cell}, {gates} and {cont}")
        return [cell, cell]

    def onnx(self, scope: LayerScope) -> list[str]:
        scope.fix_batch()
        width = scope.bottom_shapes[0][2]
        bounds = [scope.ints([k * width]) for k in range(5)]
        i, f, o, g = (scope.op("Slice", scope.bottoms[1], low, high, scope.ints([2])) for low, high in pairwise(bounds))
        cont = scope.op("Unsqueeze", scope.bottoms[2], scope.ints([2]))
        kept = scope.op("Mul", scope.op("Mul", scope.op("Sigmoid", f), cont), scope.bottoms[0])
        cell = scope.op("Add", kept, scope.op("Mul", scope.op("Sigmoid", i), scope.op("Tanh", g)))
        return [cell, scope.op("Mul", scope.op("Sigmoid", o), scope.op("Tanh", cell))]

    def torch(self, scope: TorchScope) -> Compute:
        def compute(own: Any, cell: Any, gates: Any, cont: Any) -> list[Any]:
            i, f, o, g = gates.chunk(4, 2)
            cell = f.sigmoid() * cont.unsqueeze(2) * cell + i.sigmoid() * g.tanh()
            return [cell, o.sigmoid() * cell.tanh()]

        return compute
