"""Lstm of forks: the recurrence of Junhyuk Oh's layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, Shape, register
from caffezoo.net.layers.recurrent import LSTM, MOST_STEPS

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Lstm")
class Lstm(Layer):
    """``c = f c' + i g``, ``h = o tanh(c)``: gates i, f, o of a sigmoid and g of a tanh over ``W x + R h' + b``.

    The bottom is [T N, ...] with N of ``batch_size`` and the top [T N, H] (``lstm_layer.cpp`` of junhyukoh/caffe-lstm),
    or, where ``batch_size`` is not given and the bottom has three axes or more, [T, N, ...] and [T, N, H] (the forks of
    text recognition). A second bottom, one marker a step and sample, is 0 where a sequence begins; without it every run
    is one sequence. Blobs: W [4H, I], R [4H, H], b [4H], the gates in the order i, f, o, g. ``clipping_threshold``
    bounds gradients in Caffe, and nothing here.
    """

    param_name = "lstm_param"
    bottom_count = (1, 2)
    in_place_allowed = False

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def _split(self, bottom: Shape) -> tuple[int, int, int]:
        """Return steps, samples and values of a step."""
        if not self.param.HasField("batch_size") and len(bottom) >= 3:
            return bottom[0], bottom[1], math.prod(bottom[2:])
        samples = int(self.param.batch_size)
        if samples < 1 or bottom[0] % samples:
            self.fail(f"{bottom[0]} rows are no multiple of batch_size {samples}")
        return bottom[0] // samples, samples, math.prod(bottom[1:])

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        width = int(self.param.num_output)
        if width < 1 or not bottoms[0]:
            self.fail("num_output must be positive, and the bottom have an axis")
        steps, samples, _ = self._split(bottoms[0])
        if steps > MOST_STEPS:
            self.fail(f"{steps} steps are more than the {MOST_STEPS} that are unrolled")
        if len(bottoms) == 2 and math.prod(bottoms[1]) != steps * samples:
            self.fail(f"takes {steps * samples} markers, has {bottoms[1]}")
        joined = self.param.HasField("batch_size") or len(bottoms[0]) < 3
        return [(steps * samples, width) if joined else (steps, samples, width)]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        width = int(self.param.num_output)
        return [(4 * width, self._split(bottoms[0])[2]), (4 * width, width), (4 * width,)]

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Return those of the products of every step."""
        steps, samples, _ = self._split(bottoms[0])
        return steps * samples * sum(math.prod(b) for b in self.blob_shapes(bottoms)[:2])

    def onnx(self, scope: LayerScope) -> list[str]:
        scope.fix_batch()
        steps, samples, values = self._split(scope.bottom_shapes[0])
        x = scope.reshape(scope.bottoms[0], [steps, samples, values])
        if len(scope.bottoms) == 2:
            return [scope.reshape(self._marked(scope, x, (steps, samples, values)), list(scope.top_shapes[0]))]
        w, r, b = (self._reordered(blob) for blob in scope.blobs)
        bias = np.concatenate([b, np.zeros_like(b)])[None]
        y = scope.ops(
            "LSTM", x, scope.const(w[None]), scope.const(r[None]), scope.const(bias), outputs=1, hidden_size=len(b) // 4
        )[0]
        return [scope.reshape(y, list(scope.top_shapes[0]))]

    def _marked(self, scope: LayerScope, x: str, shape: tuple[int, int, int]) -> str:
        """Append the recurrence of BVLC's LSTM, which computes the same with a marker of 0 and 1."""
        proto = pb.LayerParameter(name=self.name, type="LSTM", bottom=["x", "cont"], top=["h"])
        proto.recurrent_param.num_output = self.param.num_output
        begins = scope.op("Equal", scope.reshape(scope.bottoms[1], list(shape[:2])), scope.const(0.0))
        cont = scope.op("Cast", scope.op("Not", begins), to=1)
        top = (*shape[:2], int(self.param.num_output))
        node = replace(scope.node, layer=LSTM(proto), bottom_shapes=(shape, shape[:2]), top_shapes=(top,))
        weight, recurrent, bias = scope.blobs
        return node.layer.onnx(scope.for_part(node, [x, cont], (weight, bias, recurrent)))[0]

    @staticmethod
    def _reordered(blob: np.ndarray) -> np.ndarray:
        """Return rows of the gates i, f, o, g in ONNX's order i, o, f, g."""
        i, f, o, g = np.split(blob, 4)
        return np.concatenate([i, o, f, g])

    def torch(self, scope: TorchScope) -> Compute:
        torch, F, split, top = scope.torch, scope.F, self._split(scope.bottom_shapes[0]), scope.top_shapes[0]
        width = int(self.param.num_output)
        scope.learn()

        def compute(own: Any, x: Any, *markers: Any) -> list[Any]:
            driven = F.linear(x.reshape(split), own.blob0, own.blob2)
            marks = markers[0].reshape(split[0], split[1], 1) if markers else None
            h = c = x.new_zeros(split[1], width)
            out = []
            for step in range(split[0]):
                if marks is not None:
                    goes_on = (marks[step] != 0).to(x.dtype)
                    h, c = h * goes_on, c * goes_on
                i, f, o, g = (driven[step] + h @ own.blob1.T).chunk(4, 1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                out.append(h)
            return [torch.stack(out).reshape(top)]

        return compute
