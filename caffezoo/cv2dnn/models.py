"""``cv2.dnn.ClassificationModel`` and ``DetectionModel`` of OpenCV 4: a net with its preprocessing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from caffezoo.cv2dnn.errors import CaffeNetError, cv2_errors
from caffezoo.cv2dnn.net import Net
from caffezoo.cv2dnn.reading import readNetFromCaffe
from caffezoo.opencv import load_cv2

DETECTION_ROW = 7
"""Image, class, confidence, left, top, right, bottom."""


class Model:
    """A net and what becomes of a frame before it.

    Parameters
    ----------
    model : Net or path
        A net, or a caffemodel (or a prototxt).
    config : path, optional
        The other of the two files.
    """

    def __init__(self, model: Any, config: Any = "") -> None:
        if isinstance(model, Net):
            self._net = model
        else:
            prototxt, weights = (model, config) if str(model).endswith((".prototxt", ".pbtxt")) else (config, model)
            self._net = readNetFromCaffe(prototxt, weights)
        self._scale, self._size, self._mean = 1.0, (0, 0), (0.0, 0.0, 0.0)
        self._swap = self._crop = False

    def setInputParams(
        self,
        scale: float = 1.0,
        size: Sequence[int] = (0, 0),
        mean: Any = (),
        swapRB: bool = False,
        crop: bool = False,
    ) -> None:
        """Set all at once; see ``cv2.dnn.blobFromImage``."""
        self.setInputScale(scale)
        self.setInputSize(size)
        self.setInputMean(mean)
        self.setInputSwapRB(swapRB)
        self.setInputCrop(crop)

    def setInputSize(self, size: Any, height: int | None = None) -> Model:
        """Set width and height: as a pair, or as two numbers."""
        width, tall = (size, height) if height is not None else size
        self._size = (int(width), int(tall))
        return self

    def setInputScale(self, scale: float) -> Model:
        """Set what is multiplied by after the mean."""
        self._scale = float(np.ravel(scale)[0])
        return self

    def setInputMean(self, mean: Any) -> Model:
        """Set what is subtracted, a value a channel."""
        values = [float(v) for v in np.ravel(mean)[:3]]
        self._mean = (*values, *[0.0] * (3 - len(values)))  # type: ignore[assignment]
        return self

    def setInputSwapRB(self, swapRB: bool) -> Model:
        """Swap the first and the last channel."""
        self._swap = bool(swapRB)
        return self

    def setInputCrop(self, crop: bool) -> Model:
        """Keep the aspect and cut the middle, instead of stretching."""
        self._crop = bool(crop)
        return self

    def setPreferableBackend(self, backendId: int) -> Model:
        """See :meth:`caffezoo.cv2dnn.net.Net.setPreferableBackend`."""
        self._net.setPreferableBackend(backendId)
        return self

    def setPreferableTarget(self, targetId: int) -> Model:
        """See :meth:`caffezoo.cv2dnn.net.Net.setPreferableTarget`."""
        self._net.setPreferableTarget(targetId)
        return self

    @cv2_errors
    def predict(self, frame: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the outputs of a frame (height, width, channels)."""
        cv2 = load_cv2()
        if not isinstance(frame, np.ndarray) or not frame.size:
            raise CaffeNetError("the frame is empty", hint="cv2.imread gives None where a file cannot be read")
        if min(self._size) < 1:
            raise CaffeNetError("the input size is not set", hint="setInputSize((width, height))")
        blob = cv2.dnn.blobFromImage(frame, self._scale, self._size, self._mean, self._swap, self._crop)
        self._net.setInput(blob)
        return tuple(self._net.forward(list(self._net.getUnconnectedOutLayersNames())))


class ClassificationModel(Model):
    """The most probable class of a frame."""

    def __init__(self, model: Any, config: Any = "") -> None:
        super().__init__(model, config)
        self._softmax = False

    def setEnableSoftmaxPostProcessing(self, enable: bool) -> ClassificationModel:
        """Put the scores through softmax."""
        self._softmax = bool(enable)
        return self

    def getEnableSoftmaxPostProcessing(self) -> bool:
        return self._softmax

    def classify(self, frame: np.ndarray) -> tuple[int, float]:
        """Return class and score."""
        scores = self.predict(frame)[0].reshape(-1).astype(np.float32)
        if self._softmax:
            scores = np.exp(scores - scores.max())
            scores /= scores.sum()
        best = int(scores.argmax())
        return best, float(scores[best])


class DetectionModel(Model):
    """The boxes of a net that ends in DetectionOutput."""

    @cv2_errors
    def detect(
        self, frame: np.ndarray, confThreshold: float = 0.5, nmsThreshold: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return classes (int32), confidences (float32) and boxes (n x 4, left, top, width, height in px).

        ``nmsThreshold`` is for nets that do not suppress boxes themselves, as in OpenCV; DetectionOutput does.
        """
        height, width = frame.shape[:2] if isinstance(frame, np.ndarray) and frame.size else (0, 0)
        (rows,) = self.predict(frame)[:1]
        if rows.ndim != 4 or rows.shape[-1] != DETECTION_ROW:
            raise CaffeNetError(f"the output of shape {list(rows.shape)} is none of DetectionOutput")
        classes, confidences, boxes = [], [], []
        for _, kind, confidence, *corners in rows.reshape(-1, DETECTION_ROW).tolist():
            if confidence < confThreshold:
                continue
            left, top, right, bottom = (int(c) for c in corners)
            if right - left + 1 <= 2 or bottom - top + 1 <= 2:  # shares of the frame, not pixels
                sides = (width, height, width, height)
                left, top, right, bottom = (int(c * side) for c, side in zip(corners, sides, strict=True))
            wide, tall = right - left + 1, bottom - top + 1
            left, top = max(0, min(left, width - 1)), max(0, min(top, height - 1))
            classes.append(int(kind))
            confidences.append(confidence)
            boxes.append([left, top, max(1, min(wide, width - left)), max(1, min(tall, height - top))])
        return (
            np.array(classes, np.int32),
            np.array(confidences, np.float32),
            np.array(boxes, np.int32).reshape(-1, 4),
        )
