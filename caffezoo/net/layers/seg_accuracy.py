"""SegAccuracy: how a segmentation agrees with its labels, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register


@register("SegAccuracy")
class SegAccuracy(HostLayer):
    """The share of right pixels, the mean recall of the classes that occur, and the mean of intersection over union.

    Bottoms: scores [N, C, H, W] and labels [N, 1, H, W]; top [1, 1, 1, 3]. Of equal scores the larger class counts.
    Pixels of ``ignore_label`` do not count; a class that neither labels nor scores name has an intersection over union
    of 1. Counted is one run, with ``reset: false`` too. Source: ``seg_accuracy_layer.cpp`` of DeepLab v2.
    """

    param_name = "seg_accuracy_param"
    bottom_count = (2, 2)
    judges = True

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        scores, labels = bottoms
        if len(scores) != 4 or labels != (scores[0], 1, *scores[2:]):
            self.fail(f"takes scores [N, C, H, W] and labels [N, 1, H, W], has {scores} and {labels}")
        return [(1, 1, 1, 3)]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        scores, labels = bottoms
        classes = scores.shape[1]
        found = classes - 1 - scores[:, ::-1].argmax(1).ravel()
        truth = labels.ravel().astype(np.int64)
        counted = ~np.isin(truth, list(self.param.ignore_label))
        found, truth = found[counted], truth[counted]
        if truth.size and not 0 <= truth.min() <= truth.max() < classes:
            self.fail_values(f"a label is none of the {classes} classes", "ignore it by seg_accuracy_param")
        matrix = np.bincount(truth * classes + found, minlength=classes**2).reshape(classes, classes).astype(float)
        right, here = np.diag(matrix), matrix.sum(1) > 0
        union = matrix.sum(0) + matrix.sum(1) - right
        recall = np.mean(right[here] / matrix.sum(1)[here]) if here.any() else 0.0
        accuracy = right.sum() / max(matrix.sum(), 1)
        jaccard = np.mean(np.where(union > 0, right / np.maximum(union, 1), 1))
        return [np.array([accuracy, recall, jaccard], np.float32).reshape(1, 1, 1, 3)]
