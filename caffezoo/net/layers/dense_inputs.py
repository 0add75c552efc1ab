"""Data layers of forks that are inputs: DenseImageData, ImageSegData and VideoData."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.given_shapes import shape_flags
from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.inputs import ImageInput


class DenseInput(ImageInput):
    """Images of a list and a label at every pixel, of ``new_height`` x ``new_width`` or of the crop size."""

    def _after(self, images: Shape) -> list[Shape]:
        """Return the shapes of the tops behind the images."""
        return [(images[0], 1, *images[2:])]

    def input_shapes(self, given: Mapping[str, Shape]) -> list[Shape]:
        images, *rest = self.proto.top
        if images in given and len(given[images]) == 4 and not any(top in given for top in rest):
            return [tuple(given[images]), *self._after(tuple(given[images]))][: len(self.proto.top)]
        return super().input_shapes(given)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        images = super().top_shapes(bottoms)[0]
        return [images, *self._after(images)][: len(self.proto.top)]

    def _image_size(self) -> tuple[int, int] | None:
        height, width = int(self.param.new_height), int(self.param.new_width)
        if (height == 0) != (width == 0):
            self.fail("takes both new_height and new_width")
        crop = super()._image_size()
        return crop or ((height, width) if height else None)

    def _channels(self, stored: tuple[int, int, int] | None) -> int:
        return 3 if self.param.is_color else 1


@register("DenseImageData")
class DenseImageData(DenseInput):
    """Images and their label images (``dense_image_data_layer.cpp`` of SegNet)."""

    param_name = "dense_image_data_param"


@register("ImageSegData")
class ImageSegData(DenseInput):
    """Images, their label images [N, 1, H, W], and height and width of each, [N, 1, 1, 2].

    Without labels (``label_type: NONE``) the second top is one value an image (``image_seg_data_layer.cpp`` of
    DeepLab).
    """

    param_name = "image_data_param"
    top_count = (1, 3)

    def _after(self, images: Shape) -> list[Shape]:
        pixels = self.param.label_type != pb.ImageDataParameter.NONE
        labels: Shape = (images[0], 1, *images[2:]) if pixels else (images[0], 1, 1, 1)
        return [labels, (images[0], 1, 1, 2)]


@register("VideoData")
class VideoData(ImageInput):
    """Frames of a camera or of a video file, and 0 as the label of each (``video_data_layer.cpp`` of SSD).

    A list of clips (``video_data_param { source }`` of C3D and of temporal segment networks) has no shape here but the
    one that is given.
    """

    param_name = "data_param"

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if self.proto.video_data_param.source:
            flags = shape_flags(self.proto.top)
            self.fail("the prototxt does not say how large its clips are", f"say it: {flags} (N,C,H,W or N,C,L,H,W)")
        return super().top_shapes(bottoms)

    def _image_size(self) -> tuple[int, int] | None:
        resized = self.proto.transform_param.resize_param
        if resized.height and resized.width and not self.proto.transform_param.crop_size:
            return int(resized.height), int(resized.width)
        return super()._image_size()
