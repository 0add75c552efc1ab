"""ConvLSTM: a recurrence whose products are convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

MOST_STEPS = 256
"""Longest sequence: every step is written out in the model."""
GATES = 4


@register("ConvLSTM")
class ConvLSTM(Layer):
    """``c = m f c' + i g``, ``h = o tanh(c)``: gates of ``W * x + R * (m h') + b``, to which i, f and o add ``V c'``.

    Gates i, f, o are sigmoids, g a tanh; m is the step's cont. Bottoms: x [T, N, C, H, W], cont [T, N] and, with
    ``expose_hidden``, the states before the first step, [1, N, D, H, W] each; tops likewise. Blobs: W of i, f, o and g;
    R and b of each in turn; V of i, f and o, over the axes ``axis_hadamard`` and on of a state
    (``conv_lstm_layer.cpp`` of agethen/ConvLSTM-for-Caffe).
    """

    param_name = "lstm_conv_param"
    bottom_count = (2, 4)
    top_count = (1, 3)
    in_place_allowed = False

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    @property
    def exposed(self) -> int:
        """States among bottoms and tops."""
        return 2 if self.proto.recurrent_param.expose_hidden else 0

    def window(self) -> tuple[list[int], list[int]]:
        """Return pad and dilation along height and width, after checking that maps keep their size."""
        p = self.param
        kernel, pad = ([*values, default][0] for values, default in ((p.kernel_size, 0), (p.pad, 0)))
        dilation, stride = ([*values, 1][0] for values in (p.dilation, p.stride))
        if kernel < 1 or stride != 1 or 2 * pad != dilation * (kernel - 1):
            self.fail("the convolution must keep the size of its map: kernel_size, pad and dilation do not fit")
        if p.group != 1 or self.proto.lstm_debug_param.ignore_x or self.proto.lstm_debug_param.expose:
            self.fail("groups, ignore_x and expose are not supported")
        return [pad, pad], [dilation, dilation]

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if len(bottoms) != 2 + self.exposed or len(self.proto.top) != 1 + self.exposed:
            self.fail(f"takes {2 + self.exposed} bottoms and {1 + self.exposed} tops")
        x, cont = bottoms[:2]
        if len(x) != 5 or cont != x[:2]:
            self.fail(f"takes steps x samples x maps and a marker for each step and sample, has {x} and {cont}")
        if x[0] > MOST_STEPS:
            self.fail(f"{x[0]} steps are more than the {MOST_STEPS} that are unrolled")
        if self.param.num_output < 1:
            self.fail("num_output must be positive")
        self.window()
        state = (1, *self._state(x))
        for shape in bottoms[2:]:
            if shape != state:
                self.fail(f"takes states {state}, has {shape}")
        return [(x[0], *self._state(x)), *([state] * self.exposed)]

    def _state(self, bottom: Shape) -> Shape:
        return (bottom[1], int(self.param.num_output), *bottom[3:])

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, width = bottoms[0], int(self.param.num_output)
        kernel = (int([*self.param.kernel_size, 0][0]),) * 2
        debug, state = self.proto.lstm_debug_param, (1, *self._state(x))
        axis = self.axis(debug.axis_hadamard, 5)
        count = int(debug.num_axes_hadamard)
        weight: Shape = state[axis : axis + count] if count >= 0 else state[axis:]
        driven: list[Shape] = [(width, x[2], *kernel)] * GATES
        recurrent: list[Shape] = [(width, width, *kernel), (width,)] * GATES
        return [*driven, *recurrent, *([weight] * 3)]

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Return those of the convolutions of every step."""
        x = bottoms[0]
        weights = sum(math.prod(b) for b in self.blob_shapes(bottoms)[: 3 * GATES] if len(b) == 4)
        return x[0] * x[1] * math.prod(x[3:]) * weights

    def _aligned(self, blob: np.ndarray) -> np.ndarray:
        """Return a peephole's weight so that it broadcasts over a state [N, D, H, W]."""
        axis = self.axis(self.proto.lstm_debug_param.axis_hadamard, 5)
        return blob.reshape(((1,) * axis + blob.shape + (1,) * (5 - axis - blob.ndim))[1:])

    def onnx(self, scope: LayerScope) -> list[str]:
        scope.fix_batch()
        x, blobs = scope.bottom_shapes[0], scope.blobs
        pad, dilation = self.window()
        setting = {"pads": pad * 2, "dilations": dilation}
        driven = scope.reshape(scope.bottoms[0], [x[0] * x[1], *x[2:]])
        driven = scope.op("Conv", driven, scope.const(np.concatenate(blobs[:GATES])), **setting)
        steps = scope.ops("Split", driven, scope.ints([x[1]] * x[0]), outputs=x[0], axis=0)
        cont = scope.reshape(scope.bottoms[1], [x[0] * x[1], 1, 1, 1])
        marks = scope.ops("Split", cont, scope.ints([x[1]] * x[0]), outputs=x[0], axis=0)
        weight = scope.const(np.concatenate(blobs[GATES : 3 * GATES : 2]))
        bias = scope.const(np.concatenate(blobs[GATES + 1 : 3 * GATES : 2]))
        peepholes = [scope.const(self._aligned(b)) for b in blobs[3 * GATES :]]
        if self.exposed:
            h, c = (scope.op("Squeeze", b, scope.ints([0])) for b in scope.bottoms[2:])
        else:
            h = c = scope.const(np.zeros(self._state(x)))
        out = []
        for step, mark in zip(steps, marks, strict=True):
            moved = scope.op("Conv", scope.op("Mul", h, mark), weight, bias, **setting)
            gates = scope.ops("Split", scope.op("Add", step, moved), outputs=GATES, axis=1)
            i, f, o = (
                scope.op("Sigmoid", scope.op("Add", gate, scope.op("Mul", c, peephole)))
                for gate, peephole in zip(gates, peepholes, strict=False)
            )
            kept = scope.op("Mul", f, scope.op("Mul", c, mark))
            c = scope.op("Add", kept, scope.op("Mul", i, scope.op("Tanh", gates[3])))
            h = scope.op("Mul", o, scope.op("Tanh", c))
            out.append(scope.op("Unsqueeze", h, scope.ints([0])))
        top = scope.op("Concat", *out, axis=0) if len(out) > 1 else out[0]
        return [top, *(scope.op("Unsqueeze", s, scope.ints([0])) for s in (h, c))][: 1 + self.exposed]

    def torch(self, scope: TorchScope) -> Compute:
        torch, F, exposed = scope.torch, scope.F, self.exposed
        pad, dilation = self.window()
        axis = self.axis(self.proto.lstm_debug_param.axis_hadamard, 5)
        scope.learn()

        def aligned(blob: Any) -> Any:
            return blob.reshape((1,) * axis + tuple(blob.shape) + (1,) * (5 - axis - blob.dim()))[0]

        def compute(own: Any, x: Any, cont: Any, *states: Any) -> list[Any]:
            blobs = [own.blob(i) for i in range(3 * GATES + 3)]
            driven = F.conv2d(x.flatten(0, 1), torch.cat(blobs[:GATES]), None, 1, pad, dilation)
            driven = driven.unflatten(0, x.shape[:2])
            weight, bias = torch.cat(blobs[GATES : 3 * GATES : 2]), torch.cat(blobs[GATES + 1 : 3 * GATES : 2])
            vi, vf, vo = (aligned(b) for b in blobs[3 * GATES :])
            zero = x.new_zeros(x.shape[1], weight.shape[1], *x.shape[3:])
            h, c = (s[0] for s in states) if states else (zero, zero)
            out = []
            for step in range(x.shape[0]):
                mark = cont[step].reshape(-1, 1, 1, 1)
                i, f, o, g = (driven[step] + F.conv2d(h * mark, weight, bias, 1, pad, dilation)).chunk(GATES, 1)
                i, f, o = (i + vi * c).sigmoid(), (f + vf * c).sigmoid(), (o + vo * c).sigmoid()
                c = f * (c * mark) + i * g.tanh()
                h = o * c.tanh()
                out.append(h)
            return [torch.stack(out), h.unsqueeze(0), c.unsqueeze(0)][: 1 + exposed]

        return compute
