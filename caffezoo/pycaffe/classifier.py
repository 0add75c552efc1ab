"""``caffe.Classifier``: a deploy net with its preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from caffezoo.pycaffe.io import Transformer, oversample, resize_image
from caffezoo.pycaffe.net import TEST, Net


class PreprocessedNet(Net):
    """A deploy net with a transformer for its first input.

    Parameters
    ----------
    model_file, pretrained_file : path
    mean : array, optional
        One value a channel, or one a pixel.
    input_scale, raw_scale : float, optional
        What is multiplied by after and before the mean.
    channel_swap : sequence of int, optional
        Order of channels; (2, 1, 0) for nets that want blue, green, red.
    """

    def __init__(
        self,
        model_file: Any,
        pretrained_file: Any,
        mean: np.ndarray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        first = self.inputs[0]
        self.transformer = Transformer({first: self.blobs[first].shape})
        self.transformer.set_transpose(first, (2, 0, 1))
        if mean is not None:
            self.transformer.set_mean(first, mean)
        if input_scale is not None:
            self.transformer.set_input_scale(first, input_scale)
        if raw_scale is not None:
            self.transformer.set_raw_scale(first, raw_scale)
        if channel_swap is not None:
            self.transformer.set_channel_swap(first, channel_swap)
        self.crop_dims = np.array(self.blobs[first].shape[2:])


class Classifier(PreprocessedNet):
    """Class probabilities of images.

    Parameters
    ----------
    image_dims : (height, width), optional
        What images are resized to before they are cropped; the net's own size if not given.
    """

    def __init__(
        self, model_file: Any, pretrained_file: Any, image_dims: Sequence[int] | None = None, **settings: Any
    ) -> None:
        super().__init__(model_file, pretrained_file, **settings)
        self.image_dims = np.array(image_dims) if image_dims else self.crop_dims

    def predict(self, inputs: Sequence[np.ndarray], oversample: bool = True) -> np.ndarray:
        """Return the probabilities of each image, (images, classes).

        Parameters
        ----------
        inputs : sequence of array (height, width, channels)
        oversample : bool
            Average ten crops of each; the centre alone otherwise.
        """
        first = self.inputs[0]
        images = [resize_image(image, [int(d) for d in self.image_dims]) for image in inputs]
        if oversample:
            crops: Any = _ten_crops(images, [int(d) for d in self.crop_dims])
        else:
            centre = self.image_dims / 2.0
            top, left = (int(c) for c in centre - self.crop_dims / 2.0)
            height, width = (int(d) for d in self.crop_dims)
            crops = [image[top : top + height, left : left + width] for image in images]
        blob = np.stack([self.transformer.preprocess(first, crop) for crop in crops])
        scores = self.forward_all(**{first: blob})[self.outputs[0]]
        if oversample:
            scores = scores.reshape(len(scores) // 10, 10, -1).mean(axis=1)
        return scores


_ten_crops = oversample
