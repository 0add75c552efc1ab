"""What OpenCV 5 dropped: ``cv2.dnn.readNetFromCaffe``; docs/cv2dnn.md says what is the same and what is not."""

from __future__ import annotations

from caffezoo.cv2dnn.errors import CaffeNetError
from caffezoo.cv2dnn.models import ClassificationModel, DetectionModel
from caffezoo.cv2dnn.net import Net, NetLayer
from caffezoo.cv2dnn.reading import install, readNetFromCaffe

__all__ = ["CaffeNetError", "ClassificationModel", "DetectionModel", "Net", "NetLayer", "install", "readNetFromCaffe"]
