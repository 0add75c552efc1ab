"""Input and the data layers, whose tops are the network's inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.first_record import database_image, find_source, hdf5_shapes, listed_image
from caffezoo.net.given_shapes import shape_flags
from caffezoo.net.layer import Layer, Shape, register

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope


class InputLayer(Layer):
    """A layer without bottoms; the driver makes its tops the model's inputs."""

    bottom_count = (0, 0)
    is_input = True

    @property
    def file(self) -> str:
        """The prototxt that the layer stands in."""
        return self.where.rpartition(":")[0] if self.where.rpartition(":")[2].isdigit() else self.where

    def onnx(self, scope: LayerScope) -> list[str]:
        return list(self.proto.top)

    def _one_per_top(self, shapes: Sequence[Sequence[int]], setting: str) -> list[Shape]:
        tops = len(self.proto.top)
        if len(shapes) not in (1, tops):
            self.fail(f"takes one {setting}, or one a top: {tops} tops, {len(shapes)} {setting}")
        checked = [tuple(int(d) for d in shape) for shape in shapes]
        for shape in checked:
            if any(d < 1 for d in shape):
                self.fail(f"shape {shape} has an axis below 1")
        return checked * tops if len(checked) == 1 else checked


@register("Input")
class Input(InputLayer):
    """Tops of given shapes: one ``shape`` for all of them, or one each."""

    param_name = "input_param"
    top_count = (1, None)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if not self.param.shape:
            self.fail(
                "has no shape", hint=f"give input_param {{ shape {{ dim: ... }} }}, or {shape_flags(self.proto.top)}"
            )
        return self._one_per_top([s.dim for s in self.param.shape], "shape")


@register("DummyData")
class DummyData(InputLayer):
    """Tops of given shapes, as ``shape`` or as num, channels, height and width."""

    param_name = "dummy_data_param"
    top_count = (1, None)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        legacy = [list(getattr(self.param, name)) for name in ("num", "channels", "height", "width")]
        if self.param.shape and any(legacy):
            self.fail("shape and num, channels, height, width exclude each other")
        if self.param.shape:
            return self._one_per_top([s.dim for s in self.param.shape], "shape")
        if not legacy[0]:
            flags = shape_flags(self.proto.top)
            self.fail("has no shape", hint=f"give dummy_data_param {{ shape {{ dim: ... }} }}, or {flags}")
        if any(len(values) not in (1, len(self.proto.top)) for values in legacy):
            self.fail("num, channels, height and width must each be given once, or once a top")
        count = max(len(values) for values in legacy)
        columns = [values * count if len(values) == 1 else values for values in legacy]
        return self._one_per_top(list(zip(*columns, strict=True)), "num")


class LabelledInput(InputLayer):
    """Images, and a label of each as a second top, which follows a shape that is given to the first."""

    top_count = (1, 2)

    def input_shapes(self, given: Mapping[str, Shape]) -> list[Shape]:
        images, *labels = self.proto.top
        if images in given and not any(label in given for label in labels):
            return [tuple(given[images]), (given[images][0],)][: len(self.proto.top)]
        return super().input_shapes(given)


class ImageInput(LabelledInput):
    """Images of ``crop_size`` with three channels (one where told so), and their labels as a second top."""

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        batch = int(self.param.batch_size)
        if batch < 1:
            self.fail("batch_size must be positive", hint=f"or give the shape: {shape_flags(self.proto.top[:1])}")
        stored = self._stored()
        size = self._image_size() or (stored[1:] if stored else None)
        if size is None:
            flag = shape_flags(self.proto.top[:1])
            absent = f", and its source '{self.param.source}' is not here" if self.param.source else ""
            self.fail(f"the prototxt does not say how large its images are{absent}", f"say it: {flag} (N,C,H,W)")
        return [(batch, self._channels(stored), *size), (batch,)][: len(self.proto.top)]

    def _image_size(self) -> tuple[int, int] | None:
        """Return height and width where the prototxt gives them."""
        crop = int(self.proto.transform_param.crop_size)
        return (crop, crop) if crop else None

    def _channels(self, stored: tuple[int, int, int] | None) -> int:
        if self.proto.transform_param.force_gray:
            return 1
        return stored[0] if stored and not self.proto.transform_param.force_color else 3

    def _stored(self) -> tuple[int, int, int] | None:
        """Return channels, height and width of the first image where the source is on this disk.

        Raises
        ------
        FormatError
            It is here and cannot be read.
        """
        return None

    def _source(self) -> Path | None:
        """Return where the layer's source lies; None where it is not here."""
        return find_source(self.param.source, self.file)


@register("Data")
class Data(ImageInput):
    """Images and labels of a LevelDB or LMDB, at the crop size, or as large as the first record of an LMDB."""

    param_name = "data_param"

    def _stored(self) -> tuple[int, int, int] | None:
        source = self._source()
        here = source is not None and self.param.backend == pb.DataParameter.LMDB
        return database_image(source) if here and source else None


@register("WindowData")
class WindowData(ImageInput):
    """Windows of images and their labels (R-CNN), at the crop size."""

    param_name = "window_data_param"
    top_count = (2, 2)


@register("ImageData")
class ImageData(ImageInput):
    """Images of a list and their labels, at the crop size, at new_height x new_width, or as large as the first one."""

    param_name = "image_data_param"
    top_count = (2, 2)

    def _image_size(self) -> tuple[int, int] | None:
        height, width = int(self.param.new_height), int(self.param.new_width)
        if (height == 0) != (width == 0):
            self.fail("takes both new_height and new_width")
        return (height, width) if height and not self.proto.transform_param.crop_size else super()._image_size()

    def _channels(self, stored: tuple[int, int, int] | None) -> int:
        return 3 if self.param.is_color else 1

    def _stored(self) -> tuple[int, int, int] | None:
        source = self._source()
        if source is None or self._image_size() is not None:
            return None
        return listed_image(source, self.param.root_folder, self.file)


@register("MemoryData")
class MemoryData(LabelledInput):
    """Images and labels that a program hands over, of the given shape, which naibaf7's fork gives as ``dim``."""

    param_name = "memory_data_param"
    top_count = (2, 2)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape = tuple(self.param.dim) or tuple(
            getattr(self.param, name) for name in ("batch_size", "channels", "height", "width")
        )
        if min(shape) < 1:
            self.fail(
                "batch_size, channels, height and width must be given and positive",
                hint=f"or give the shape: {shape_flags(self.proto.top[:1])}",
            )
        return [shape, (shape[0],)]


@register("HDF5Data")
class HDF5Data(InputLayer):
    """Data sets of HDF5 files named like the tops, ``batch_size`` rows of them: the shapes stand in the first file."""

    param_name = "hdf5_data_param"
    top_count = (1, None)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        source, batch = find_source(self.param.source, self.file), int(self.param.batch_size)
        if source is None:
            flags, absent = shape_flags(self.proto.top), f"its source '{self.param.source}' is not here"
            self.fail(f"the prototxt does not say what shapes its HDF5 files hold, and {absent}", f"say all: {flags}")
        if batch < 1:
            self.fail("batch_size must be positive", hint=f"or give the shape: {shape_flags(self.proto.top[:1])}")
        return [(batch, *shape[1:]) for shape in hdf5_shapes(source, list(self.proto.top), self.file)]
