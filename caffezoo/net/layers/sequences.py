"""Layers of text recognition: Transpose, Reverse, ContinuationIndicator and CTCGreedyDecoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

MOST_STEPS = 1 << 20


@register("Transpose")
class Transpose(Layer):
    """Top axis i is bottom axis ``dim[i]``."""

    param_name = "transpose_param"
    in_place_allowed = False

    def carries(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return list(self.param.dim)[:1] != [0]

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        order, rank = [int(d) for d in self.param.dim], len(bottoms[0])
        if sorted(order) != list(range(rank)):
            self.fail(f"dim {order} must name every one of the {rank} axes once")
        return [tuple(bottoms[0][i] for i in order)]

    def onnx(self, scope: LayerScope) -> list[str]:
        return [scope.op("Transpose", scope.bottoms[0], perm=[int(d) for d in self.param.dim])]

    def torch(self, scope: TorchScope) -> Compute:
        order = [int(d) for d in self.param.dim]
        return lambda own, x: [x.permute(order)]


@register("Reverse")
class Reverse(Layer):
    """The bottom in reverse order along ``axis`` (0) (``reverse_layer.cpp`` of forks)."""

    param_name = "reverse_param"
    in_place_allowed = False

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return self.axis(self.param.axis, len(bottoms[0])) == 0

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self.axis(self.param.axis, len(bottoms[0]))
        return [bottoms[0]]

    def onnx(self, scope: LayerScope) -> list[str]:
        axis = self.axis(self.param.axis, len(scope.bottom_shapes[0]))
        ends = [scope.ints([value]) for value in (-1, -(2**31), axis, -1)]
        return [scope.op("Slice", scope.bottoms[0], *ends)]

    def torch(self, scope: TorchScope) -> Compute:
        axis = self.axis(self.param.axis, len(scope.bottom_shapes[0]))
        return lambda own, x: [x.flip(axis)]


@register("ContinuationIndicator")
class ContinuationIndicator(Layer):
    """[time_step, batch_size] of 0 in the first row and 1 below: the marker of sequences of one length
    (``continuation_indicator_layer.cpp`` of forks)."""

    param_name = "continuation_indicator_param"
    bottom_count = (0, 0)
    differentiable = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        steps, samples = int(self.param.time_step), int(self.param.batch_size)
        if steps < 1 or samples < 1:
            self.fail("time_step and batch_size must be given and positive")
        if steps * samples > MOST_STEPS:
            self.fail(f"{steps} steps of {samples} samples are more than {MOST_STEPS}")
        return [(steps, samples)]

    def _marks(self) -> np.ndarray:
        marks = np.ones((int(self.param.time_step), int(self.param.batch_size)), np.float32)
        marks[0] = 0
        return marks

    def onnx(self, scope: LayerScope) -> list[str]:
        scope.fix_batch()
        return [scope.op("Identity", scope.const(self._marks()))]

    def torch(self, scope: TorchScope) -> Compute:
        scope.constant("marks", self._marks())
        return lambda own: [own.marks]


@register("CTCGreedyDecoder")
class CTCGreedyDecoder(Layer):
    """The largest of C classes at each step, without repetitions and blanks, from the front; -1 behind the last.

    Bottoms: scores [T, N, C] and, where sequences differ in length, markers [T, N], 0 at the step behind the last (that
    of step 0 does not count). Tops: [N, T, 1, 1], and the product of the largest scores [N, 1, 1, 1]. The blank is
    ``blank_index``, by default the last class (``ctc_decoder_layer.cpp`` of ChWick/caffe).
    """

    param_name = "ctc_decoder_param"
    bottom_count = (1, 2)
    top_count = (1, 2)
    in_place_allowed = False
    differentiable = False

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x = bottoms[0]
        if len(x) != 3:
            self.fail(f"takes steps x samples x classes, has {x}")
        if len(bottoms) == 2 and bottoms[1] != x[:2]:
            self.fail(f"takes a marker for each step and sample, {x[:2]}, has {bottoms[1]}")
        if self._blank(x) >= x[2]:
            self.fail(f"blank_index {self._blank(x)} is none of {x[2]} classes")
        tops: list[Shape] = [(x[1], x[0], 1, 1), (x[1], 1, 1, 1)]
        return tops[: len(self.proto.top)]

    def _blank(self, bottom: Shape) -> int:
        blank = int(self.param.blank_index)
        return bottom[2] - 1 if blank < 0 else blank

    def onnx(self, scope: LayerScope) -> list[str]:
        scope.fix_batch()
        steps, samples, _ = shape = scope.bottom_shapes[0]
        best = scope.op("ArgMax", scope.bottoms[0], axis=2, keepdims=0)
        kept = scope.op("Not", scope.op("Equal", best, scope.const(self._blank(shape), np.int64)))
        if self.param.ctc_merge_repeated:
            line = scope.const(np.full((1, samples), -1), np.int64)
            before = scope.op("Concat", line, best, axis=0)
            before = scope.op("Slice", before, scope.ints([0]), scope.ints([steps]), scope.ints([0]))
            kept = scope.op("And", kept, scope.op("Not", scope.op("Equal", best, before)))
        active = None
        if len(scope.bottoms) == 2:
            ended = scope.op("Cast", scope.op("Equal", scope.bottoms[1], scope.const(0.0)), to=1)
            first = scope.const(np.arange(steps).reshape(-1, 1) > 0)
            ended = scope.op("CumSum", scope.op("Mul", ended, first), scope.const(0, np.int64))
            active = scope.op("Equal", ended, scope.const(0.0))
            kept = scope.op("And", kept, active)
        place = scope.op("CumSum", scope.op("Cast", kept, to=1), scope.const(0, np.int64))
        place = scope.op("Cast", scope.op("Sub", place, scope.const(1.0)), to=7)
        place = scope.op("Where", kept, place, scope.const(steps, np.int64))  # a line that is cut off takes the rest
        blank = scope.const(np.full((steps + 1, samples), -1))
        found = scope.op("ScatterElements", blank, place, scope.op("Cast", best, to=1), axis=0)
        found = scope.op("Slice", found, scope.ints([0]), scope.ints([steps]), scope.ints([0]))
        tops = [scope.reshape(scope.op("Transpose", found, perm=[1, 0]), [samples, steps, 1, 1])]
        if len(scope.node.tops) == 2:
            score = scope.op("ReduceMax", scope.bottoms[0], axes=[2], keepdims=0)
            if active is not None:
                score = scope.op("Where", active, score, scope.const(1.0))
            tops.append(scope.reshape(scope.op("ReduceProd", score, axes=[0], keepdims=0), [samples, 1, 1, 1]))
        return tops

    def torch(self, scope: TorchScope) -> Compute:
        torch, blank, merge = scope.torch, self._blank(scope.bottom_shapes[0]), bool(self.param.ctc_merge_repeated)
        tops = len(scope.node.tops)

        def compute(own: Any, x: Any, *markers: Any) -> list[Any]:
            best, steps = x.argmax(2), x.shape[0]
            kept, active = best != blank, torch.ones_like(best, dtype=torch.bool)
            if merge:
                kept[1:] &= best[1:] != best[:-1]
            if markers:
                active[1:] = (markers[0][1:] != 0).long().cumprod(0).bool()
            kept &= active
            place = torch.where(kept, kept.long().cumsum(0) - 1, steps)
            found = x.new_full((steps + 1, x.shape[1]), -1).scatter(0, place, best.to(x.dtype))[:steps]
            score = torch.where(active, x.amax(2), x.new_ones(()))
            return [found.T.reshape(-1, steps, 1, 1), score.prod(0).reshape(-1, 1, 1, 1)][:tops]

        return compute
