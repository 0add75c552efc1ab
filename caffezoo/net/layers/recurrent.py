"""LSTM and RNN of BVLC: a recurrence along axis 0, with a marker that ends sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

MOST_STEPS = 1 << 16
"""Longest sequence that is unrolled."""


class RecurrentLayer(Layer):
    """What BVLC's recurrent layers share (``recurrent_layer.cpp``).

    Bottoms: x [T, N, ...]; cont [T, N], 0 where a sequence begins and 1 where it goes on; an optional static input
    [N, ...]; with ``expose_hidden`` the states before the first step, [1, N, D] each. Tops: o [T, N, D] and, with
    ``expose_hidden``, the states after the last step. Without it a run starts from states of 0: Caffe goes on from its
    last run's unless the first cont is 0.
    """

    param_name = "recurrent_param"
    bottom_count = (2, None)
    top_count = (1, None)
    in_place_allowed = False
    states: ClassVar[int] = 1
    gates: ClassVar[int] = 1

    @property
    def width(self) -> int:
        """D, the number of hidden values."""
        return int(self.param.num_output)

    @property
    def exposed(self) -> int:
        """States among bottoms and tops."""
        return self.states if self.param.expose_hidden else 0

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def has_static(self, bottoms: Sequence[Any]) -> bool:
        """Whether there is a static input."""
        return len(bottoms) == 3 + self.exposed

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        wanted = 2 + self.exposed
        if len(bottoms) not in (wanted, wanted + 1):
            self.fail(f"takes {wanted} or {wanted + 1} bottoms, has {len(bottoms)}")
        if len(self.proto.top) != 1 + self.exposed:
            self.fail(f"makes {1 + self.exposed} tops, has {len(self.proto.top)}")
        if self.width < 1:
            self.fail("num_output must be positive")
        x, cont = bottoms[:2]
        if len(x) < 2 or cont != x[:2]:
            self.fail(f"takes steps x samples x values and a marker for each step and sample, has {x} and {cont}")
        if x[0] > MOST_STEPS:
            self.fail(f"{x[0]} steps are more than the {MOST_STEPS} that are unrolled")
        if self.has_static(bottoms) and (not bottoms[2] or bottoms[2][0] != x[1]):
            self.fail(f"takes a static input for each of {x[1]} samples, has {bottoms[2]}")
        state = (1, x[1], self.width)
        for shape in bottoms[len(bottoms) - self.exposed :]:
            if shape != state:
                self.fail(f"takes states {state}, has {shape}")
        return [(x[0], x[1], self.width), *([state] * self.exposed)]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        rows = self.gates * self.width
        static = [(rows, math.prod(bottoms[2][1:]))] if self.has_static(bottoms) else []
        return [(rows, math.prod(bottoms[0][2:])), (rows,), *static, (rows, self.width)]

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Return those of the products of every step; element-wise work is not counted."""
        steps, samples = bottoms[0][:2]
        blobs = self.blob_shapes(bottoms)
        static = samples * math.prod(blobs[2]) if self.has_static(bottoms) else 0
        rest = [b for i, b in enumerate(blobs) if len(b) == 2 and not (i == 2 and self.has_static(bottoms))]
        return static + steps * samples * sum(math.prod(b) for b in rest)

    def parameter_count(self, bottoms: Sequence[Shape]) -> int:
        return sum(math.prod(s) for s in self.blob_shapes(bottoms))

    # The forms: what does not depend on the state is one product for all steps, the rest a loop over them.

    def onnx(self, scope: LayerScope) -> list[str]:
        from onnx import TensorProto, helper

        x, static = scope.bottom_shapes[0], self.has_static(scope.bottoms)
        rows, samples = self.gates * self.width, x[1]
        flat = scope.reshape(scope.bottoms[0], [0, 0, math.prod(x[2:])])
        driven = scope.op("MatMul", flat, scope.const(np.ascontiguousarray(scope.blobs[0].T)))
        driven = scope.op("Add", driven, scope.blob(1))
        if static:
            flat = scope.reshape(scope.bottoms[2], [samples, math.prod(scope.bottom_shapes[2][1:])])
            weight = scope.const(np.ascontiguousarray(scope.blobs[2].T))
            driven = scope.op("Add", driven, scope.op("MatMul", flat, weight))
        marks = scope.op("Unsqueeze", scope.bottoms[1], scope.ints([2]))
        if self.exposed:
            before = [scope.op("Squeeze", b, scope.ints([0])) for b in scope.bottoms[-self.exposed :]]
        else:
            before = [scope.const(np.zeros((samples, self.width)))] * self.states
        body = Body(scope.node.name, scope.blobs[2 + static])
        inside = [f"state{i}" for i in range(self.states)]
        after, out = self._step(body, inside, "driven", "mark")
        for i, name in enumerate((*after, out)):
            body.op("Identity", name, out=f"out{i}")
        sizes = {**dict.fromkeys(inside, self.width), "driven": rows, "mark": 1}
        outs = {f"out{i}": self.width for i in range(self.states + 1)}
        ports = [
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [samples, size]) for name, size in side.items()]
            for side in (sizes, outs)
        ]
        graph = helper.make_graph(body.operators, "step", *ports, body.constants)
        found = scope.ops("Scan", *before, driven, marks, outputs=self.states + 1, body=graph, num_scan_inputs=2)
        last = [scope.op("Unsqueeze", name, scope.ints([0])) for name in found[: self.exposed]]
        return [self._above(scope, found[-1]), *last]

    def torch(self, scope: TorchScope) -> Compute:
        torch, F, static = scope.torch, scope.F, self.has_static(scope.bottom_shapes)
        exposed, states, width = self.exposed, self.states, self.width
        scope.learn()

        def compute(own: Any, x: Any, cont: Any, *rest: Any) -> list[Any]:
            driven = F.linear(x.flatten(2), own.blob0, own.blob1)
            if static:
                driven = driven + F.linear(rest[0].flatten(1), own.blob2)
            inner = [own.blob(i) for i in range(2 + static, len(own.node.blob_shapes))]
            zero = x.new_zeros(x.shape[1], width)
            now = [s[0] for s in rest[len(rest) - exposed :]] if exposed else [zero] * states
            out = []
            for step in range(x.shape[0]):
                now, top = self._torch_step(torch, inner, now, driven[step], cont[step].unsqueeze(1))
                out.append(top)
            return [self._torch_above(torch, inner, torch.stack(out)), *(s.unsqueeze(0) for s in now[:exposed])]

        return compute

    def _step(self, body: Body, states: list[str], driven: str, mark: str) -> tuple[list[str], str]:
        """Append one step to the loop's body; return the new states and what the layer gives."""
        raise NotImplementedError

    def _torch_step(self, torch: Any, inner: list[Any], states: list[Any], driven: Any, mark: Any) -> tuple[Any, Any]:
        """Return the new states and what the layer gives."""
        raise NotImplementedError

    def _above(self, scope: LayerScope, hidden: str) -> str:
        """Append what the layer makes of the hidden values of all steps."""
        return hidden

    def _torch_above(self, torch: Any, inner: list[Any], hidden: Any) -> Any:
        """Return what the layer makes of the hidden values of all steps."""
        return hidden


class Body:
    """Operators and constants of a loop's body.

    Parameters
    ----------
    name : str
        The layer's, for the names of operators.
    recurrent : ndarray
        The weight that the steps multiply the state by; its transpose is the constant ``recurrent``.
    """

    def __init__(self, name: str, recurrent: np.ndarray) -> None:
        from onnx import numpy_helper

        self._name = name
        self.operators: list[Any] = []
        self.constants = [numpy_helper.from_array(np.ascontiguousarray(recurrent.T, np.float32), "recurrent")]

    def op(self, kind: str, *inputs: str, out: str | None = None, outputs: int = 1, **attributes: Any) -> Any:
        """Append an operator; return the name of its output, or a list of names where there are several."""
        from onnx import helper

        number = len(self.operators)
        tops = [out] if out else [f"t{number}_{i}" for i in range(outputs)]
        self.operators.append(
            helper.make_node(kind, list(inputs), tops, name=f"{self._name}/step/{number}", **attributes)
        )
        return tops if outputs > 1 else tops[0]


@register("LSTM")
class LSTM(RecurrentLayer):
    """``c = m f c' + i g``, ``h = o tanh(c)``: gates i, f, o of a sigmoid and g of a tanh over ``W x + b + R (m h')``.

    m is the step's cont. Blobs: W [4D, I], b [4D], for a static input [4D, S], R [4D, D]; gates stand in the order i,
    f, o, g (``lstm_layer.cpp``, ``lstm_unit_layer.cpp`` of BVLC).
    """

    states = 2
    gates = 4

    def _step(self, body: Body, states: list[str], driven: str, mark: str) -> tuple[list[str], str]:
        h, c = (body.op("Mul", s, mark) for s in states)
        gates = body.op("Split", body.op("Add", driven, body.op("MatMul", h, "recurrent")), axis=1, outputs=4)
        i, f, o = (body.op("Sigmoid", g) for g in gates[:3])
        c = body.op("Add", body.op("Mul", f, c), body.op("Mul", i, body.op("Tanh", gates[3])))
        h = body.op("Mul", o, body.op("Tanh", c))
        return [h, c], h

    def _torch_step(self, torch: Any, inner: list[Any], states: list[Any], driven: Any, mark: Any) -> tuple[Any, Any]:
        h, c = states[0] * mark, states[1] * mark
        i, f, o, g = (driven + h @ inner[0].T).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        return [h, c], h


@register("RNN")
class RNN(RecurrentLayer):
    """``h = tanh(W x + b + R (m h'))``, ``o = tanh(V h + v)``; m is the step's cont.

    Blobs: W [D, I], b [D], for a static input [D, S], R [D, D], V [D, D], v [D] (``rnn_layer.cpp`` of BVLC).
    """

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [*super().blob_shapes(bottoms), (self.width, self.width), (self.width,)]

    def _step(self, body: Body, states: list[str], driven: str, mark: str) -> tuple[list[str], str]:
        # The marker behind the product: OpenVINO 2026.4 computes another value where the product follows the marker.
        h = body.op("Mul", body.op("MatMul", states[0], "recurrent"), mark)
        h = body.op("Tanh", body.op("Add", driven, h))
        return [h], h

    def _above(self, scope: LayerScope, hidden: str) -> str:
        y = scope.op("MatMul", hidden, scope.const(np.ascontiguousarray(scope.blobs[-2].T)))
        return scope.op("Tanh", scope.op("Add", y, scope.const(scope.blobs[-1])))

    def _torch_step(self, torch: Any, inner: list[Any], states: list[Any], driven: Any, mark: Any) -> tuple[Any, Any]:
        h = torch.tanh(driven + (states[0] * mark) @ inner[0].T)
        return [h], h

    def _torch_above(self, torch: Any, inner: list[Any], hidden: Any) -> Any:
        return torch.tanh(hidden @ inner[1].T + inner[2])
