"""Tops that a program fills: Input and MemoryData."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.registry import make_layer
from caffezoo.training.feeds.base import Batch, Feed, FeedOptions, feeds


@feeds("Input")
class InputFeed(Feed):
    """Arrays that stay until others are given; zeros at first, as in Caffe."""

    reads_ahead = False

    def __init__(self, proto: pb.LayerParameter, phase: int, where: str, options: FeedOptions) -> None:
        super().__init__(proto, phase, where, options)
        self.shapes = tuple(make_layer(proto, where, phase).top_shapes([]))
        self.arrays = [np.zeros(shape, np.float32) for shape in self.shapes]

    def read(self, number: int) -> Batch:
        return self.arrays


@feeds("MemoryData")
class MemoryFeed(Feed):
    """Images and labels that :meth:`set_arrays` gives, in their order, again and again."""

    reads_ahead = False

    def __init__(self, proto: pb.LayerParameter, phase: int, where: str, options: FeedOptions) -> None:
        super().__init__(proto, phase, where, options)
        self.shapes = tuple(make_layer(proto, where, phase).top_shapes([]))
        self._data: np.ndarray | None = None
        self._labels = np.zeros(0, np.float32)
        self._base = 0
        self._last = 0

    def set_arrays(self, data: np.ndarray, labels: np.ndarray | Sequence[float]) -> None:
        """Give images (N, C, H, W) and N labels; reading starts at the first.

        Raises
        ------
        DataError
            The shapes do not fit the layer, or N is no multiple of its batch_size.
        """
        batch, *image = self.shapes[0]
        data, labels = np.asarray(data, np.float32), np.asarray(labels, np.float32).reshape(-1)
        if list(data.shape[1:]) != image:
            raise self.fail(f"takes images of shape {image}, not {list(data.shape[1:])}")
        if len(data) % batch or not len(data):
            raise self.fail(f"takes a multiple of batch_size {batch}, not {len(data)} images")
        if len(labels) != len(data):
            raise self.fail(f"has {len(data)} images and {len(labels)} labels")
        self._data, self._labels = data, labels
        self._base = self._last

    def read(self, number: int) -> Batch:
        if self._data is None:
            raise self.fail("has no data", hint="give it some: net.set_arrays(images, labels)")
        self._last = number + 1
        batch = self.shapes[0][0]
        start = (number - self._base) * batch % len(self._data)
        return [self._data[start : start + batch], self._labels[start : start + batch]]
