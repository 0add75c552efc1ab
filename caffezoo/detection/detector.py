"""A network whose last layer makes boxes, on images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from caffezoo.detection.boxes import Detection, from_rows
from caffezoo.engines.registry import DEFAULT_ENGINE, create_engine
from caffezoo.errors import ImageError, ShapeError
from caffezoo.formats.preprocessing import Preprocessing
from caffezoo.net.graph import Network
from caffezoo.net.transform import Transform


class Finder(Protocol):
    """What finds objects in an image; ``threshold`` is the lowest score that counts where nobody says."""

    threshold: float

    def detect(self, image: np.ndarray, threshold: float) -> tuple[Detection, ...]:
        """Return the objects of an image [height, width, 3] (BGR, uint8) with at least this score."""

    def close(self) -> None:
        """Free what it holds."""


def output_of_boxes(network: Network) -> str:
    """Return the blob [1, 1, M, 7] that a layer makes of its boxes.

    Raises
    ------
    ShapeError
        No output is one, or several are.
    """
    made = {top.name: node for node in network.nodes for top in node.tops}
    found = [name for name, node in made.items() if node.layer.finds_boxes]
    if len(found) != 1:
        what = (
            f"{len(found)} of its layers make boxes ({', '.join(found)})" if found else "none of its layers makes boxes"
        )
        raise ShapeError(
            f"it is no detector: {what}",
            where=network.path or network.name,
            hint="a detector ends in DetectionOutput or Yolov3DetectionOutput",
        )
    return found[0]


class Detector:
    """A network with weights that ends in a layer of boxes, such as SSD's.

    Parameters
    ----------
    network : Network
        With one input, an image of its size.
    preprocessing : Preprocessing
        Mean, std and order of channels; images are resized to the input's size whatever their shape.
    names : sequence of str, optional
        Of the classes, the background first.
    engine : str
    **options
        ``precision``, ``threads``, ``caffe_python``: see :func:`caffezoo.engines.registry.create_engine`.

    Raises
    ------
    ShapeError
        It makes no boxes, or takes no images.
    """

    threshold: float = 0.5

    def __init__(
        self,
        network: Network,
        preprocessing: Preprocessing,
        *,
        names: Sequence[str] | None = None,
        engine: str = DEFAULT_ENGINE,
        **options: Any,
    ) -> None:
        self._output = output_of_boxes(network)
        self._names = names
        network = network.reshaped(batch=1)
        shapes = [shape for shape in network.inputs.values() if len(shape) == 4 and shape[1] == 3]
        if len(network.inputs) != 1 or not shapes:
            raise ShapeError(
                "it takes no single image",
                where=network.path,
                hint=f"its inputs are {', '.join(f'{n} {list(s)}' for n, s in network.inputs.items())}",
            )
        self.height, self.width = shapes[0][2:]
        self._reversed = preprocessing.channel_order == "RGB"
        mean, std = preprocessing.mean, preprocessing.std
        order = slice(None, None, -1) if self._reversed else slice(None)
        transform = Transform(_three(mean[order]), _three(std[order]))
        self._engine = create_engine(
            engine, network, batch_size=1, transform=transform, outputs=[self._output], **options
        )
        self.engine = engine

    def detect(self, image: np.ndarray, threshold: float = threshold) -> tuple[Detection, ...]:
        """See :class:`Finder`.

        Raises
        ------
        ImageError
            Not a BGR image of 8 bits a channel.
        EngineError
        """
        import cv2

        check_image(image)
        height, width = image.shape[:2]
        pixels = cv2.resize(image, (self.width, self.height))
        if self._reversed:
            pixels = pixels[..., ::-1]
        rows = self._engine.run(np.ascontiguousarray(pixels[None]))[self._output].reshape(-1, 7)
        return from_rows(rows, width, height, threshold, self._names)

    def close(self) -> None:
        self._engine.close()


def check_image(image: np.ndarray) -> None:
    """Raise if an array is no BGR image of 8 bits a channel.

    Raises
    ------
    ImageError
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ImageError(f"takes BGR pixels of 8 bits, [height, width, 3], has {list(image.shape)} of {image.dtype}")


def class_names(path: str | Path) -> list[str]:
    """Return names of classes, the background first, from a list or from SSD's ``labelmap.prototxt``.

    A list has one name a line, in the network's order; a label map has ``item { name label display_name }``.

    Raises
    ------
    ImageError
        The file cannot be read.
    """
    import re

    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(f"names of classes cannot be read: {error}", where=str(path)) from None
    items = re.findall(r"item\s*\{([^}]*)\}", text)
    if not items:
        return [line.strip() for line in text.splitlines() if line.strip()]
    found: dict[int, str] = {}
    for item in items:
        label = re.search(r"\blabel\s*:\s*(\d{1,6})\b", item)
        name = re.search(r"display_name\s*:\s*[\"']([^\"']*)", item) or re.search(r"name\s*:\s*[\"']([^\"']*)", item)
        if label and name:
            found[int(label.group(1))] = name.group(1)
    return [found.get(i, str(i)) for i in range(max(found, default=-1) + 1)]


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    one, two, three = tuple(values) * (3 if len(values) == 1 else 1)
    return one, two, three
