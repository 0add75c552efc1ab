"""From an image to a network's input, as a callable that loaders of other libraries take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from caffezoo.errors import UsageError
from caffezoo.evaluation.crops import cut_views
from caffezoo.evaluation.image_objects import ImageLike, as_image
from caffezoo.evaluation.protocol import Protocol
from caffezoo.net.transform import to_blob


@dataclass(frozen=True)
class ImageTransform:
    """Resize, cut the centre, subtract the mean, divide by the standard deviation, channels first.

    Plain data: it can be pickled, compared and sent to the workers of a loader.

    Attributes
    ----------
    protocol : Protocol
        Sizes in px, mean and std (blue, green, red; 0..255), the channel order of the network.
    """

    protocol: Protocol

    def __post_init__(self) -> None:
        if self.protocol.views != 1:
            raise UsageError(f"{self.protocol.views} crops are not one input", hint="take crops=1")

    def __call__(self, image: ImageLike) -> NDArray[np.float32]:
        """Return the network's input for one image.

        Parameters
        ----------
        image : path-like, bytes, uint8 array or PIL.Image.Image
            See :func:`caffezoo.evaluation.image_objects.as_image`.

        Returns
        -------
        float32 array (channels, crop height, crop width)

        Raises
        ------
        ImageError
        """
        p = self.protocol
        (view,) = cut_views(as_image(image, grey=p.channels == 1, decoder=p.decoder), p)
        pixels = view.pixels.reshape(1, *p.crop_size, p.channels)
        if p.channel_order == "RGB":
            pixels = pixels[..., ::-1]
        return np.ascontiguousarray(to_blob(pixels, p.transform)[0], np.float32)

    def __repr__(self) -> str:
        p = self.protocol
        side = "short side" if p.resize == "short" else "both sides"
        mean = f"{p.mean_image.path or 'an image'}" if p.mean_image is not None else p.mean
        values = f"mean={mean}, std={p.std}, {p.channel_order}"
        return f"ImageTransform({side} to {p.base_size} px, centre crop {p.crop_size} px, {values})"
