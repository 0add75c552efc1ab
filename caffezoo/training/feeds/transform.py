"""Caffe's ``transform_param``: crop, mirror, mean and scale, as ``DataTransformer`` applies them."""

from __future__ import annotations

import numpy as np

from caffezoo.errors import DataError, TrainingError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.binaryproto import read_binaryproto
from caffezoo.net.layer import Shape

_FOREIGN = ("resize_param", "noise_param", "emit_constraint", "distort_param", "expand_param", "crop_h", "crop_w")


class Transform:
    """What happens to every image of a data layer.

    At TRAIN the crop lies at random, at TEST in the middle; ``mirror`` turns half of the images at either, as in Caffe.
    ``mean_file`` is subtracted at the place that the pixel has in the whole image.

    Parameters
    ----------
    param : TransformationParameter
    phase : int
    where : str
        Of the layer, for messages.

    Raises
    ------
    TrainingError
        A field that is no part of Caffe's transformation, or ones that exclude each other.
    """

    def __init__(self, param: pb.TransformationParameter, phase: int, where: str) -> None:
        for name in _FOREIGN:
            if param.HasField(name):
                raise TrainingError(f"transform_param.{name} is not supported in training", where=where)
        if param.mean_file and param.mean_value:
            raise TrainingError("takes mean_file or mean_value, not both", where=where)
        if param.force_color and param.force_gray:
            raise TrainingError("takes force_color or force_gray, not both", where=where)
        self.param, self.random, self.where = param, phase == pb.TRAIN, where
        self.crop = int(param.crop_size)
        self.scale = np.float32(param.scale)
        self._mean: np.ndarray | None = None
        if param.mean_file:
            mean = read_binaryproto(param.mean_file)
            self._mean = mean.reshape(mean.shape[-3:])

    def shape(self, channels: int, height: int, width: int) -> Shape:
        """Return the shape (C, H, W) that an image gets.

        Raises
        ------
        DataError
            The crop or the mean does not fit.
        """
        if self.crop and min(height, width) < self.crop:
            raise DataError(f"an image of {width}x{height} px is smaller than crop_size {self.crop}", where=self.where)
        if self._mean is not None and self._mean.shape != (channels, height, width):
            shape = " x ".join(map(str, self._mean.shape))
            message = f"mean_file holds {shape}, the images are {channels} x {height} x {width} (C x H x W)"
            raise DataError(message, where=self.where)
        values = len(self.param.mean_value)
        if values not in (0, 1, channels):
            raise DataError(f"has {values} mean_value for images of {channels} channel(s)", where=self.where)
        return (channels, self.crop or height, self.crop or width)

    def __call__(self, image: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """Return an image as float32 (C, H, W).

        Parameters
        ----------
        image : array (H, W, C)
        draw : array of 3 floats in [0, 1)
            Decide the crop's row and column, and whether it is mirrored.
        """
        height, width, channels = image.shape
        _, out_height, out_width = self.shape(channels, height, width)
        top, left = (
            (int(draw[0] * (height - out_height + 1)), int(draw[1] * (width - out_width + 1)))
            if self.random
            else ((height - out_height) // 2, (width - out_width) // 2)
        )
        rows, columns = slice(top, top + out_height), slice(left, left + out_width)
        found = image[rows, columns].transpose(2, 0, 1).astype(np.float32)
        if self._mean is not None:
            found -= self._mean[:, rows, columns]
        elif self.param.mean_value:
            found -= np.asarray(self.param.mean_value, np.float32).reshape(-1, 1, 1)
        if self.scale != 1:
            found *= self.scale
        if self.param.mirror and draw[2] < 0.5:
            found = found[:, :, ::-1]
        return found
