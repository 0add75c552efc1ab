"""``caffe.Detector``: a classifier on windows of images, with context around them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from caffezoo.pycaffe.classifier import PreprocessedNet
from caffezoo.pycaffe.io import load_image, resize_image


class Detector(PreprocessedNet):
    """Scores of windows.

    Parameters
    ----------
    context_pad : int, optional
        Pixels of context around a window, at the net's input size.
    """

    def __init__(self, model_file: Any, pretrained_file: Any, context_pad: int | None = None, **settings: Any) -> None:
        super().__init__(model_file, pretrained_file, **settings)
        self.configure_crop(context_pad)

    def detect_windows(self, images_windows: Iterable[tuple[Any, Sequence[Sequence[float]]]]) -> list[dict[str, Any]]:
        """Score windows.

        Parameters
        ----------
        images_windows : iterable of (path, windows)
            Windows are (ymin, xmin, ymax, xmax), in px.

        Returns
        -------
        list of dict
            ``window``, ``prediction`` and ``filename``, one a window.
        """
        pairs = [(path, [np.asarray(w) for w in windows]) for path, windows in images_windows]
        crops = []
        for path, windows in pairs:
            image = load_image(path).astype(np.float32)
            crops += [self.crop(image, window) for window in windows]
        first = self.inputs[0]
        blob = np.stack([self.transformer.preprocess(first, crop) for crop in crops])
        scores = self.forward_all(**{first: blob})[self.outputs[0]]
        rows = iter(scores.reshape(len(scores), -1))
        return [
            {"window": window, "prediction": next(rows), "filename": path}
            for path, windows in pairs
            for window in windows
        ]

    def crop(self, im: np.ndarray, window: np.ndarray) -> np.ndarray:
        """Return a window of an image, with context where that is set; what lies outside the image is the mean."""
        window = np.asarray(window)
        plain = im[int(window[0]) : int(window[2]), int(window[1]) : int(window[3])]
        if not self.context_pad:
            return plain
        box = window.astype(float)
        size = float(self.crop_dims[0])
        scale = size / (size - 2 * self.context_pad)
        half_h, half_w = (box[2] - box[0] + 1) / 2.0, (box[3] - box[1] + 1) / 2.0
        centre = (box[0] + half_h, box[1] + half_w)
        grown = np.round(
            np.tile(centre, 2) + np.array([-scale * half_h, -scale * half_w, scale * half_h, scale * half_w])
        )
        height, width = grown[2] - grown[0] + 1, grown[3] - grown[1] + 1
        scale_h, scale_w = size / height, size / width
        pad_y = round(max(0, -grown[0]) * scale_h)
        pad_x = round(max(0, -grown[1]) * scale_w)
        clipped = np.clip(grown, 0, [im.shape[0], im.shape[1], im.shape[0], im.shape[1]]).astype(int)
        clip_h, clip_w = clipped[2] - clipped[0] + 1, clipped[3] - clipped[1] + 1
        crop_h, crop_w = round(clip_h * scale_h), round(clip_w * scale_w)
        crop_h = min(crop_h, int(size) - pad_y)
        crop_w = min(crop_w, int(size) - pad_x)
        part = im[clipped[0] : clipped[2], clipped[1] : clipped[3]]
        found = np.ones((*(int(d) for d in self.crop_dims), im.shape[-1]), np.float32) * self.crop_mean
        found[pad_y : pad_y + crop_h, pad_x : pad_x + crop_w] = resize_image(part, (crop_h, crop_w))
        return np.asarray(found)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set the context, and the mean that fills what lies outside an image, in the image's own units."""
        first = self.inputs[0]
        transformer = self.transformer
        self.context_pad = context_pad
        if not context_pad:
            return
        mean = transformer.mean.get(first)
        if mean is None:
            self.crop_mean: np.ndarray = np.zeros((*(int(d) for d in self.crop_dims), 3), np.float32)
            return
        mean = np.broadcast_to(mean, self.blobs[first].shape[1:])
        if transformer.channel_swap.get(first) is not None:
            mean = mean[np.argsort(transformer.channel_swap[first])]
        mean = mean.transpose(1, 2, 0)
        scale = transformer.raw_scale.get(first)
        self.crop_mean = mean / scale if scale else mean
