"""Shapes for data that a public prototxt reads from files which are not there, found as a user would: by trying.

What the file says itself comes first (crop size, number of mean values, batch size, what a top is called); then the
refusals are read: a top that the refused layer hangs on is changed, and a change stays where the refusal moves on to a
later layer.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

Shape = tuple[int, ...]
IMAGES: list[Shape] = [
    *((3, 227, 227), (3, 224, 224), (3, 300, 300), (3, 32, 32), (1, 28, 28), (3, 64, 64), (1, 32, 32), (3, 321, 321)),
    *((3, 360, 480), (3, 512, 512), (1, 64, 64), (3, 96, 96), (3, 368, 368), (3, 128, 128), (6, 224, 224)),
]
"""Channels, height and width of images that a data layer may have held."""
CLIMB_S = 60.0
"""Seconds that shapes of a file's data are looked for."""
LABEL = re.compile(r"label|lbl|target|truth|\bgt|_gt|sim\b|class|sentence|word", re.I)
BOXES = {"gt_boxes": 5, "gt_rois": 5, "rois": 5, "im_info": 3}
"""Columns of the tables that Faster R-CNN's data layers hand over."""


class Tops(NamedTuple):
    """The data tops that a layer hangs on, the nearest first, and those that it reads itself."""

    above: list[str]
    direct: list[str]


Attempt = Callable[[dict[str, Shape]], tuple[Any, Any]]


def given_by_trying(prototxt: Any, first: Any) -> Any:
    """Return the network of a prototxt, filtered by phase, at the first shapes that fit.

    ``first`` is the refusal without shapes.

    Raises
    ------
    ZooError
        That of the latest layer, where nothing fits.
    """
    from caffezoo.errors import UnknownLayerError, ZooError
    from caffezoo.net.graph import Network

    def attempt(shapes: dict[str, Shape]) -> tuple[Any, ZooError | None]:
        try:
            return Network(prototxt, shapes), None
        except ZooError as error:
            if isinstance(error, UnknownLayerError) and "--shape" not in str(error):
                raise
            return None, error

    until, furthest = time.monotonic() + CLIMB_S, first
    layers = prototxt.net.layer
    sources = {top: layer for layer in layers if not layer.bottom and layer.type != "Input" for top in layer.top}
    above = _ancestors(prototxt, sources)
    for start in _starts(sources):
        shapes: dict[str, Shape] = {}
        network, error = attempt(shapes)
        for _ in range(200):
            if error is None:
                return network
            flags = [t for t in re.findall(r"--shape ([^\s=]+)=", str(error)) if t in sources and t not in shapes]
            if flags:  # only what the file leaves open is guessed
                shapes.update({top: start[top] for top in flags})
                network, error = attempt(shapes)
                continue
            if _line(error) > _line(furthest):
                furthest = error
            step = None
            if time.monotonic() < until:
                tops = above.get(_line(error)) or Tops(sorted(sources), [])
                step = _step(attempt, shapes, start, tops, error, until)
            if step is None:
                break
            shapes, network, error = step
        if time.monotonic() > until:
            break
    raise furthest


def _step(
    attempt: Attempt,
    shapes: dict[str, Shape],
    start: dict[str, Shape],
    tops: Tops,
    error: Any,
    until: float,
    depth: int = 1,
) -> tuple[dict[str, Shape], Any, Any] | None:
    """Return shapes of which one differs, with what becomes of them, where the refusal moves on; else None.

    Where no change moves it on, a change after which the layer is refused for something else is followed up.
    """
    tried: list[dict[str, Shape]] = [shapes]
    aside: dict[str, tuple[dict[str, Shape], Any]] = {_kind(error): (shapes, error)}
    one = ({t: s} for t in tops.above for s in _candidates(shapes.get(t, start[t]), error))
    tables = [t for t in tops.direct if len(shapes.get(t, start[t])) < 3]
    together = (dict.fromkeys(tables, s) for s in _said(error.message)) if len(tables) > 1 else iter(())
    for change in itertools.chain(together, one):
        changed = {**shapes, **change}
        if changed in tried:
            continue
        if time.monotonic() > until:
            return None
        tried.append(changed)
        network, found = attempt(changed)
        moved = found is None or _line(found) > _line(error)
        if moved or ("--shape" in str(found) and "--shape" not in str(error) and _line(found) == _line(error)):
            return changed, network, found
        if _line(found) == _line(error):
            aside.setdefault(_kind(found), (changed, found))
    for changed, found in list(aside.values())[1:4] if depth else ():
        step = _step(attempt, changed, start, tops, found, until, depth - 1)
        if step is not None:
            return step
    return None


def _kind(error: Any) -> str:
    return re.sub(r"\d+", "#", error.message)


def _starts(sources: dict[str, Any]) -> Iterator[dict[str, Shape]]:
    """Yield shapes for all tops, the likeliest first."""
    first = {top: top == layer.top[0] for top, layer in sources.items()}
    for batches_of_file in (False, True):
        for image in IMAGES[:12]:
            yield {
                top: _start(top, layer, first[top] or "data" in top, image, batches_of_file)
                for top, layer in sources.items()
            }


def _start(top: str, layer: Any, is_image: bool, image: Shape, batch_of_file: bool) -> Shape:
    batch = 2
    if layer.type == "Python":
        batch = 1 if "roi" in layer.python_param.module else 2
    elif batch_of_file:
        sizes = re.findall(r"batch_size: (\d+)", str(layer))
        batch = min(int(sizes[0]), 512) if sizes and int(sizes[0]) else 2
    if top in BOXES:
        return (1 if top == "im_info" else 4, BOXES[top])
    if (LABEL.search(top) and not (is_image and "data" in top)) or not is_image:
        return (batch,)
    channels, height, width = image
    p = layer.transform_param
    if len(p.mean_value) in (1, 3):
        channels = len(p.mean_value)
    if p.crop_size:
        height = width = int(p.crop_size)
    return (batch, channels, height, width)


def _candidates(now: Shape, error: Any) -> Iterator[Shape]:
    """Yield other shapes for a top that has this one, from what the refusal says."""
    text = error.message
    said = _said(text)
    numbers = sorted({int(n) for n in re.findall(r"(?<![\w'])\d+\b", text) if 0 < int(n) <= 2**26})
    small = [n for n in numbers if n <= 4096]
    cut = re.search(r"slice_point \[([\d, ]+)\]", text)
    if cut:  # the last part is as wide as one of the others
        points = [0, *(int(p) for p in cut[1].split(","))]
        widths = {b - a for a, b in itertools.pairwise(points)}
        for width in sorted(widths | {1, 2, 4}):
            yield (now[0], points[-1] + width, *now[2:])
        for width in sorted(widths):
            yield (now[0], points[-1] + width, 8, 8)
    for a in numbers[-4:]:  # as many values as are wanted
        for b in numbers[-4:]:
            if a != b and (now[0] * b) % a == 0 and 0 < now[0] * b // a <= 65536:
                yield (now[0] * b // a, *now[1:])
    for axis in range(len(now)):
        for a in small:
            for b in small:
                if b > a and len(small) <= 6:
                    yield (*now[:axis], now[axis] + b - a, *now[axis + 1 :])
    for axis in range(2, len(now)):  # as many steps as are wanted, of an image that is read along an axis
        for a in small:
            for b in small:
                if a != b and len(small) <= 8 and (now[axis] * b) % a == 0 and 0 < now[axis] * b // a <= 2048:
                    yield (*now[:axis], now[axis] * b // a, *now[axis + 1 :])
    for shape in said:
        yield shape
        yield (now[0], *shape[1:])
        if len(shape) == 4 and len(now) >= 2:
            yield (*now[:2], *shape[2:])
        if len(shape) >= 1:
            yield (shape[0], *now[1:])
            yield (shape[0], 1, *shape[2:]) if len(shape) > 2 else (shape[0],)
    for n in sorted(set(small) | {1, 2, 3, 4, 5, 6}):
        yield (now[0], n)
        if len(now) == 4:
            yield (now[0], n, *now[2:])
        yield (n, *now[1:])
    yield (now[0],)
    for image in IMAGES:
        yield (now[0], *image)
        yield (now[0], 1, *image[1:])


def _said(text: str) -> list[Shape]:
    """Return the shapes that stand in a message."""
    found = re.findall(r"[(\[]((?:\d+, ?)+\d*)[)\]]", text)
    shapes = [tuple(int(d) for d in re.findall(r"\d+", t)) for t in found]
    return [s for s in shapes if s and min(s) > 0]


def _ancestors(prototxt: Any, sources: dict[str, Any]) -> dict[int, Tops]:
    """Return of each layer's line the data tops that it hangs on, the nearest first."""
    hangs: dict[str, list[str]] = {top: [top] for top in sources}
    found: dict[int, Tops] = {}
    for layer, line in zip(prototxt.net.layer, prototxt.lines, strict=True):
        below = [hangs.get(b, []) for b in layer.bottom]
        tops = list(dict.fromkeys(t for some in sorted(below, key=len) for t in some))
        found[line] = Tops(tops, [b for b in layer.bottom if b in sources])
        for top in layer.top:
            if layer.bottom:
                hangs[top] = tops
    return found


def _line(error: Any) -> int:
    """Return the line of the file that a refusal stands at, 0 for none."""
    line = re.search(r":(\d+): layer", str(error))
    return int(line[1]) if line else 0
