"""Inner blobs of images: decoding in threads, batches filled across images, the blob's values in order."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from caffezoo.engines.base import Engine
from caffezoo.errors import ImageError, ShapeError, UsageError
from caffezoo.evaluation.image_objects import ImageLike
from caffezoo.evaluation.protocol import Protocol
from caffezoo.evaluation.reading import one_cv2_thread, prepare_ahead

ONE_BY_ONE = "give one image at a time; caffezoo detect is for boxes"
Features = dict[str, NDArray[np.float32]]


def image_features(
    engine: Engine, images: Iterable[ImageLike], protocol: Protocol, *, blobs: Sequence[str], workers: int = 2
) -> Generator[Features | ImageError, None, None]:
    """Yield the values of blobs for the centre crop of each image, in order.

    Parameters
    ----------
    engine : Engine
        Made with a transform, and with ``blobs`` among its outputs.
    images : iterable of path-like, bytes, array or PIL.Image.Image
        Taken as needed; may be endless.
    protocol : Protocol
        Of one crop.
    blobs : sequence of str
        Their axis 0 must be the batch.
    workers : int, optional
        Threads that decode and crop.

    Yields
    ------
    dict of str to float32 array, or ImageError
        The blobs of one image without their batch axis; the error where the image cannot be read.

    Raises
    ------
    UsageError
        More than one crop.
    ShapeError
        A blob has no batch axis.
    """
    if protocol.views != 1:
        raise UsageError(f"a blob of {protocol.views} crops is none", hint="take crops=1")
    size = engine.batch_size
    for blob in blobs:
        if engine.network.shape(blob)[:1] != (size,):
            shape = list(engine.network.shape(blob))
            raise ShapeError(f"blob '{blob}' of shape {shape} has no batch axis", hint=ONE_BY_ONE)
    pixels = np.empty((size, *protocol.crop_size, protocol.channels), protocol.input_dtype)
    rgb = protocol.channel_order == "RGB"
    found: list[ImageError | None] = []

    def flush() -> Generator[Features | ImageError, None, None]:
        count = sum(error is None for error in found)
        tops = engine.run(pixels[:count]) if count else {}
        row = 0
        for error in found:
            if error is None:
                yield {blob: tops[blob][row] for blob in blobs}
                row += 1
            else:
                yield error
        found.clear()

    jobs = prepare_ahead(((None, image, [protocol]) for image in images), workers=workers, ahead=workers + 2 * size)
    with one_cv2_thread(), closing(jobs):
        filled = 0
        for _, _, prepared in jobs:
            views = prepared[protocol.geometry]
            if isinstance(views, ImageError):
                found.append(views)
            else:
                view = views[0].pixels.reshape(*protocol.crop_size, protocol.channels)
                pixels[filled] = view[..., ::-1] if rgb else view
                filled += 1
                found.append(None)
            if filled == size or len(found) >= 4 * size:
                yield from flush()
                filled = 0
        yield from flush()
