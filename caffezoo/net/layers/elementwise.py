"""Layers that combine blobs of one shape element by element."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, PlainForm, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope


@register("Eltwise")
class Eltwise(Layer):
    """Product, sum (each bottom times its ``coeff``, default 1) or maximum of bottoms of one shape; no broadcasting."""

    param_name = "eltwise_param"
    bottom_count = (2, None)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        coefficients = len(self.param.coeff)
        if coefficients and self.param.operation == pb.EltwiseParameter.PROD:
            self.fail("coeff is for SUM only, the operation is PROD")
        if coefficients not in (0, len(bottoms)):
            self.fail(f"takes one coeff a bottom: {len(bottoms)} bottoms, {coefficients} coeff")
        for i, shape in enumerate(bottoms):
            if shape != bottoms[0]:
                name = self.proto.bottom
                self.fail(f"bottoms must have one shape: '{name[0]}' has {bottoms[0]}, '{name[i]}' has {shape}")
        return [bottoms[0]]

    def carries(self, bottoms: Sequence[Shape]) -> bool:
        weights = list(self.param.coeff) or [1.0] * len(bottoms)
        mean = self.param.operation == pb.EltwiseParameter.SUM and abs(sum(weights) - 1) < 1e-6
        return bool(mean and min(weights) >= 0)

    def onnx(self, scope: LayerScope) -> list[str]:
        bottoms = list(scope.bottoms)
        kind = {pb.EltwiseParameter.PROD: "Mul", pb.EltwiseParameter.SUM: "Add"}.get(self.param.operation, "Max")
        if kind == "Add":
            for i, coefficient in enumerate(self.param.coeff):
                if coefficient != 1:
                    bottoms[i] = scope.op("Mul", bottoms[i], scope.const(coefficient))
        return [reduce(lambda a, b: scope.op(kind, a, b), bottoms)]

    def torch(self, scope: TorchScope) -> Compute:
        torch, coefficients = scope.torch, list(self.param.coeff)
        if self.param.operation == pb.EltwiseParameter.SUM:
            if any(c != 1 for c in coefficients):
                return lambda own, *xs: [sum(x * c for x, c in zip(xs, coefficients, strict=True))]
            return lambda own, *xs: [reduce(torch.add, xs)]
        combine = torch.mul if self.param.operation == pb.EltwiseParameter.PROD else torch.maximum
        return lambda own, *xs: [reduce(combine, xs)]


@register("Axpy")
class Axpy(Layer):
    """``a x + y`` with a gate ``a`` of shape [N, C] or [N, C, 1, 1] (SENet's fork)."""

    bottom_count = (3, 3)
    in_place_allowed = False

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        gate, x, y = bottoms
        if len(x) < 2 or x != y:
            self.fail(f"second and third bottom must have one shape with two axes or more, have {x} and {y}")
        if len(gate) < 2 or gate[:2] != x[:2] or any(d != 1 for d in gate[2:]) or len(gate) > len(x):
            self.fail(f"the gate must have shape {x[:2]} or {(*x[:2], *(1 for _ in x[2:]))}, has {gate}")
        return [x]

    def onnx(self, scope: LayerScope) -> list[str]:
        gate, (a, x, _) = scope.bottoms[0], scope.bottom_shapes
        if len(a) < len(x):
            gate = scope.op("Unsqueeze", gate, scope.ints(range(len(a), len(x))))
        return [scope.op("Add", scope.op("Mul", scope.bottoms[1], gate), scope.bottoms[2])]

    def torch(self, scope: TorchScope) -> Compute:
        torch, (gate, inner) = scope.torch, (len(s) for s in scope.bottom_shapes[:2])
        behind = (1,) * (inner - gate)
        return lambda own, a, x, y: [torch.addcmul(y, x, a.reshape(a.shape + behind))]

    def plain(self, bottoms: Sequence[Shape]) -> PlainForm:
        gate, x, y = self.proto.bottom
        layers = []
        if len(bottoms[0]) > 2:
            flat = f"{self.name}/gate"
            layers.append(pb.LayerParameter(name=flat, type="Reshape", bottom=[gate], top=[flat]))
            layers[0].reshape_param.shape.dim.extend([0, 0])
            gate = flat
        scaled = f"{self.name}/scaled"
        layers.append(pb.LayerParameter(name=scaled, type="Scale", bottom=[x, gate], top=[scaled]))
        layers[-1].scale_param.axis = 0
        layers.append(pb.LayerParameter(name=self.name, type="Eltwise", bottom=[scaled, y], top=self.proto.top))
        return PlainForm(layers)
