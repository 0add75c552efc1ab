"""Data layers of forks for maps and joints: which shapes of their tops the prototxt says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from caffezoo.net.given_shapes import shape_flags
from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.inputs import ImageData, InputLayer


class PartlyKnown(InputLayer):
    """A data layer of whose tops the prototxt gives some shapes, and the caller the others."""

    top_count = (1, None)

    def known(self, images: Shape | None) -> Sequence[Shape | None]:
        """Return the shape of every top that is known, once that of the first one is."""
        return [None] * len(self.proto.top)

    def size(self, message: str, field: str) -> int:
        """Return a whole number of one of the layer's own messages; 0 where it is not given."""
        fields = self.extra.get(message, {})
        value = fields.get(field, 0) if isinstance(fields, dict) else 0
        return value if isinstance(value, int) else 0

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return self.input_shapes({})

    def input_shapes(self, given: Mapping[str, Shape]) -> list[Shape]:
        tops = list(self.proto.top)
        images = self.known(None)[0]
        images = tuple(given[tops[0]]) if tops[0] in given else images
        known = [*self.known(images), *[None] * len(tops)][: len(tops)]
        shapes = [tuple(given[t]) if t in given else (images if not i else known[i]) for i, t in enumerate(tops)]
        missing = [t for t, shape in zip(tops, shapes, strict=True) if shape is None]
        if missing:
            self.fail(f"the prototxt does not say what shape '{missing[0]}' has", f"say it: {shape_flags(missing)}")
        return [shape for shape in shapes if shape is not None]


@register("ImageLabelmapData")
class ImageLabelmapData(ImageData):
    """Images and maps of edges [N, 1, H, W] (HED, Xie and Tu, 2015; ``image_labelmap_data_layer.cpp``)."""

    def input_shapes(self, given: Mapping[str, Shape]) -> list[Shape]:
        images, labels = self.proto.top
        shape = tuple(given[images]) if images in given else super().top_shapes(())[0]
        return [shape, tuple(given.get(labels, (shape[0], 1, *shape[2:])))]

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return self.input_shapes({})


@register("DataHeatmap")
class DataHeatmap(PartlyKnown):
    """Images [N, 3, outsize, outsize] and a map of every joint (``data_heatmap.cpp`` of tpfister/caffe-heatmap)."""

    idle_fields = frozenset({"heatmap_data_param", "visualise", "visualise_channel"})

    def known(self, images: Shape | None) -> Sequence[Shape | None]:
        batch, side = self.size("heatmap_data_param", "batchsize"), self.size("heatmap_data_param", "outsize")
        high, wide = (self.size("heatmap_data_param", f"label_{side}") for side in ("height", "width"))
        chosen = self.extra.get("heatmap_data_param", {}).get("labelinds", "")
        joints = len(str(chosen).split(",")) // 2 if chosen else 0
        own = (batch, 3, side, side) if min(batch, side) > 0 else None
        return [own, (images[0], joints, high, wide) if images and min(joints, high, wide) > 0 else None]


@register("CPMData")
class CPMData(PartlyKnown):
    """Images of an LMDB, and maps of joints and limbs with a mask of each, ``stride`` times smaller.

    Its second top is [N, 2 (num_parts + 1), H / stride, W / stride]: OpenPose's training (``cpm_data_layer.cpp`` of
    CMU-Perceptual-Computing-Lab/caffe_train). What the images hold beside their colours stands in the LMDB.
    """

    idle_fields = frozenset({"cpm_transform_param"})

    def known(self, images: Shape | None) -> Sequence[Shape | None]:
        stride, parts = (self.size("cpm_transform_param", name) for name in ("stride", "num_parts"))
        if not images or len(images) != 4 or min(stride, parts) < 1:
            return [None, None]
        return [None, (images[0], 2 * (parts + 1), images[2] // stride, images[3] // stride)]
