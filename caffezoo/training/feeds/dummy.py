"""DummyData: tops that fillers make."""

from __future__ import annotations

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.registry import make_layer
from caffezoo.training.feeds.base import Batch, Feed, FeedOptions, feeds
from caffezoo.training.fillers import fill, is_constant


@feeds("DummyData")
class DummyFeed(Feed):
    """The same values in every batch for constant fillers, other ones in each for the rest."""

    reads_ahead = False

    def __init__(self, proto: pb.LayerParameter, phase: int, where: str, options: FeedOptions) -> None:
        super().__init__(proto, phase, where, options)
        self.shapes = tuple(make_layer(proto, where, phase).top_shapes([]))
        given = list(proto.dummy_data_param.data_filler) or [pb.FillerParameter()]
        if len(given) not in (1, len(self.shapes)):
            raise self.fail(f"takes one data_filler, or one a top: {len(self.shapes)} tops, {len(given)} data_filler")
        self._fillers = given * len(self.shapes) if len(given) == 1 else given
        self._kept = {i: self._filled(i, 0) for i, f in enumerate(self._fillers) if is_constant(f)}

    def read(self, number: int) -> Batch:
        return [self._kept[i] if i in self._kept else self._filled(i, number) for i in range(len(self.shapes))]

    def _filled(self, i: int, number: int) -> np.ndarray:
        return fill(self._fillers[i], self.shapes[i], self.rng(i, number))
