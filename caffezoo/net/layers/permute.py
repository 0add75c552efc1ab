"""Permute (SSD): axes in another order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from caffezoo.errors import LoweringError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.layer import Layer, PlainForm, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

PLAIN_SLICE_LIMIT = 256
"""Slices that a plain form may cut an axis into: every slice is two layers."""


@register("Permute")
class Permute(Layer):
    """Top axis i is bottom axis ``order[i]``; axes that ``order`` leaves out follow in rising order."""

    param_name = "permute_param"
    in_place_allowed = False

    def carries(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [tuple(bottoms[0][i] for i in self._order(len(bottoms[0])))]

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return self._order(len(bottoms[0]))[:1] != [0]

    def _order(self, rank: int) -> list[int]:
        order = [int(i) for i in self.param.order]
        if any(i >= rank for i in order):
            self.fail(f"order {order} names an axis that a blob with {rank} axes does not have")
        if len(set(order)) != len(order):
            self.fail(f"order {order} names an axis twice")
        return order + [i for i in range(rank) if i not in order]

    def onnx(self, scope: LayerScope) -> list[str]:
        order = self._order(len(scope.bottom_shapes[0]))
        if order == sorted(order):
            return [scope.bottoms[0]]
        return [scope.op("Transpose", scope.bottoms[0], perm=order)]

    def torch(self, scope: TorchScope) -> Compute:
        order = self._order(len(scope.bottom_shapes[0]))
        return lambda own, x: [x.permute(order)]

    def plain(self, bottoms: Sequence[Shape]) -> PlainForm:
        """Return a chain that moves one axis at a time: cut along it, and put together where it belongs."""
        shape, order = list(bottoms[0]), list(range(len(bottoms[0])))
        wanted = self._order(len(order))
        layers: list[pb.LayerParameter] = []
        blob = self.proto.bottom[0]
        for place in range(len(wanted)):
            source = order.index(wanted[place])
            if source == place:
                continue
            order.insert(place, order.pop(source))
            size = shape.pop(source)
            dims = [*shape[:place], 1, *shape[place:]]
            dims[order.index(0)] = -1  # the batch axis itself is never cut: what lies behind it moves
            layers += self._move(f"{self.name}/axis{place}", blob, size, source, place, dims)
            shape.insert(place, size)
            blob = layers[-1].top[0]
        if not layers:
            layers = [pb.LayerParameter(type="Power", bottom=[blob])]
        layers[-1].name = self.name
        del layers[-1].top[:]
        layers[-1].top.extend(self.proto.top)
        return PlainForm(layers)

    def _move(
        self, stem: str, blob: str, size: int, source: int, place: int, dims: list[int]
    ) -> list[pb.LayerParameter]:
        """Return the layers that move axis ``source`` of ``size`` to ``place``; ``dims`` is the shape of a slice."""
        if size > PLAIN_SLICE_LIMIT:
            raise LoweringError(
                f"its plain form would cut an axis into {size} slices, more than {PLAIN_SLICE_LIMIT}", where=self.label
            )
        parts = [f"{stem}/part{i}" for i in range(size)]
        moved = [f"{stem}/moved{i}" for i in range(size)]
        cut = pb.LayerParameter(name=f"{stem}/slice", type="Slice", bottom=[blob], top=parts)
        cut.slice_param.axis = source
        layers = [cut]
        for part, top in zip(parts, moved, strict=True):
            layers.append(pb.LayerParameter(name=top, type="Reshape", bottom=[part], top=[top]))
            layers[-1].reshape_param.shape.dim.extend(dims)
        layers.append(pb.LayerParameter(name=stem, type="Concat", bottom=moved, top=[stem]))
        layers[-1].concat_param.axis = place
        return layers
