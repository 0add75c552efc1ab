"""Boxes as arrays of x1, y1, x2, y2: overlap, greedy suppression, and the codes that SSD's networks predict them in.

Formulas: ``bbox_util.cpp`` of SSD (W. Liu and others, arXiv 1512.02325) for relative boxes; with ``pixel`` 1, those of
Fast R-CNN for boxes whose last pixel is part of them.
"""

from __future__ import annotations

import numpy as np

from caffezoo.formats import caffe_pb2 as pb

MAX_CANDIDATES = 50_000
"""Boxes that go into one suppression: its time grows with their square."""


BLOCK = 512
"""Boxes that are held against one another at once."""


def areas(boxes: np.ndarray, pixel: float = 0) -> np.ndarray:
    """Return the areas of boxes [n, 4]; 0 where an end lies before its start."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    found: np.ndarray = np.where((width < 0) | (height < 0), 0, (width + pixel) * (height + pixel))
    return found


def shares(
    better: np.ndarray, others: np.ndarray, *, pixel: float = 0, kind: str = "IOU", ends: bool = False
) -> np.ndarray:
    """Return how much of every pair of boxes is shared, [len(better), len(others)], 0 to 1.

    Parameters
    ----------
    better, others : ndarray
        [n, 4].
    pixel : float
        What a box is longer than the distance of its ends: 0 or 1.
    kind : {"IOU", "IOMU", "IOFU"}
        The shared area by the union, by the smaller area, or by the better box's area (MS-CNN).
    ends : bool
        Boxes share nothing where one ends before the other starts, though a pixel's length would still make it some
        (Cascade R-CNN).
    """
    width, height = (
        np.minimum(better[:, None, k + 2], others[:, k + 2]) - np.maximum(better[:, None, k], others[:, k])
        for k in (0, 1)
    )
    shared = np.maximum(width + pixel, 0) * np.maximum(height + pixel, 0)
    if ends:
        shared[(width < 0) | (height < 0)] = 0
    first, second = areas(better, pixel)[:, None], areas(others, pixel)
    if kind == "IOU":
        whole = first + second - shared
    else:
        whole = np.minimum(first, second) if kind == "IOMU" else np.broadcast_to(first, shared.shape)
    return np.asarray(np.divide(shared, whole, out=np.zeros_like(shared), where=(shared > 0) & (whole > 0)))


def jaccard(one: np.ndarray, boxes: np.ndarray, pixel: float = 0) -> np.ndarray:
    """Return intersection over union of one box [4] with each of boxes [n, 4]; 0 where they share nothing."""
    (found,) = shares(one[None], boxes, pixel=pixel)
    return np.asarray(found)


def suppress(
    boxes: np.ndarray,
    threshold: float,
    *,
    pixel: float = 0,
    eta: float = 1,
    most: int | None = None,
    kind: str = "IOU",
    ends: bool = False,
) -> np.ndarray:
    """Return the indices of boxes that greedy suppression leaves.

    Parameters
    ----------
    boxes : ndarray
        [n, 4], the best first.
    threshold : float
        A box goes whose overlap with a better one that stays is above it.
    eta : float
        Below 1 the threshold is multiplied by it after every box that stays, while it is above 0.5 (SSD); only with
        ``kind`` IOU.
    most : int, optional
        Stop after so many; not with ``eta`` below 1.
    pixel, kind, ends
        See :func:`shares`.
    """
    if eta < 1:
        return _suppress_adaptively(boxes, threshold, pixel, eta)
    kept: list[int] = []
    for start in range(0, len(boxes), BLOCK):
        block = boxes[start : start + BLOCK]
        alive = np.ones(len(block), bool)
        for i in range(0, len(kept), BLOCK):
            over = shares(boxes[kept[i : i + BLOCK]], block, pixel=pixel, kind=kind, ends=ends) > threshold
            alive &= ~over.any(0)
        over = shares(block, block, pixel=pixel, kind=kind, ends=ends) > threshold
        for i in range(len(block)):
            if alive[i]:
                kept.append(start + i)
                if len(kept) == most:
                    return np.array(kept, np.int64)
                alive[i + 1 :] &= ~over[i, i + 1 :]
    return np.array(kept, np.int64)


def _suppress_adaptively(boxes: np.ndarray, threshold: float, pixel: float, eta: float) -> np.ndarray:
    """Suppress with a threshold that falls: a box is held against all that stayed, under the threshold of its turn."""
    kept: list[int] = []
    for i, box in enumerate(boxes):
        if (jaccard(box, boxes[kept], pixel) <= threshold).all():
            kept.append(i)
            if threshold > 0.5:
                threshold *= eta
    return np.array(kept, np.int64)


def decode(code: int, loc: np.ndarray, priors: np.ndarray, variances: np.ndarray | None) -> np.ndarray:
    """Return the boxes [..., 4] that offsets from priors [P, 4] mean.

    Parameters
    ----------
    code : PriorBoxParameter.CodeType
        CORNER: offsets of both corners; CORNER_SIZE: the same in units of the prior's sides; CENTER_SIZE: of the centre
        in units of the sides, and the logarithm of the sides' ratio.
    loc : ndarray
        [..., P, 4].
    variances : ndarray, optional
        [P, 4], factors of the offsets; None where the network was trained with them in its targets.
    """
    offset = loc if variances is None else loc * variances
    corners = pb.PriorBoxParameter
    if code == corners.CORNER:
        return np.asarray(priors + offset)
    sides = priors[..., 2:] - priors[..., :2]
    if code == corners.CORNER_SIZE:
        return np.asarray(priors + offset * np.concatenate([sides, sides], -1))
    centre = offset[..., :2] * sides + (priors[..., :2] + priors[..., 2:]) / 2
    half = np.exp(offset[..., 2:]) * sides / 2
    return np.concatenate([centre - half, centre + half], -1)
