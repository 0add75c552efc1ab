"""Accuracy of text recognition: LabelsequenceAccuracy and SequenceAccuracy of forks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register


class LineAccuracy(HostLayer):
    """A share of the lines of text that are read right."""

    bottom_count = (2, 2)
    judges = True

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True


def collapsed(best: np.ndarray, blank: int) -> list[int]:
    """Return the labels of a line's steps without blanks, and without a label that its predecessor repeats."""
    before = np.concatenate([[blank], best[:-1]])
    return [int(v) for v in best[(best != before) & (best != blank)]]


class BlankAccuracy(LineAccuracy):
    """What both types share: scores [N, T, C] against labels [N, L], by greedy decoding."""

    def blank(self) -> int:
        """Return the label of no character."""
        raise NotImplementedError

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        scores, labels = bottoms
        if len(scores) < 3 or len(labels) < 2 or scores[0] != labels[0]:
            self.fail(f"takes scores [N, T, C] and labels [N, L], has {scores} and {labels}")
        return [()]

    def share_of_right_lines(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the share as a scalar."""
        blank, (lines, steps, classes) = self.blank(), scores.shape[:3]
        best = scores.reshape(lines, steps, -1)[..., :classes].argmax(2)
        truth = labels.reshape(lines, -1)
        right = [collapsed(b, blank) == [int(v) for v in t if v != blank] for b, t in zip(best, truth, strict=True)]
        return np.array(np.mean(right), np.float32)


@register("LabelsequenceAccuracy")
class LabelsequenceAccuracy(BlankAccuracy):
    """The share of lines whose greedily decoded labels are those of the second bottom, ``blank_label`` left out.

    Decoded is the best label of every step, without blanks and repetitions (``labelsequence_accuracy_layer.cpp`` of the
    text-recognition forks).
    """

    param_name = "labelsequence_accuracy_param"

    def blank(self) -> int:
        return int(self.param.blank_label)

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [self.share_of_right_lines(*bottoms)]


@register("SequenceAccuracy")
class SequenceAccuracy(BlankAccuracy):
    """LabelsequenceAccuracy where the prototxt gives a ``blank_label``; else lines [N, P] against lines [N, L].

    Such a line ends before its first negative label. Tops: the share of lines that are equal; edit distance, length of
    the truth and of the prediction; characters that the shortest edit keeps; the last two as means over lines
    (``sequence_accuracy_layer.cpp`` of the text-recognition forks). Among edits of one length, one that skips a
    character of the truth is followed first, then one that skips a predicted one.
    """

    top_count = (1, 3)

    def blank(self) -> int:
        own = [getattr(self.proto, name) for name in ("sequence_accuracy_param", "Sequence_accuracy_param")]
        return next(int(p.blank_label) for p in own if p.HasField("blank_label"))

    @property
    def decodes(self) -> bool:
        """Whether the first bottom holds scores of every step."""
        return any(self.proto.HasField(n) for n in ("sequence_accuracy_param", "Sequence_accuracy_param"))

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        if self.proto.HasField("accuracy_param"):
            self.fail("with accuracy_param it is a vote over steps of another fork, which is not supported")
        if self.decodes:
            if self.top_number > 1:
                self.fail("with blank_label takes one top")
            return super().top_shapes(bottoms)
        found, truth = bottoms
        if any(len(b) < 2 or math.prod(b[2:]) != 1 for b in bottoms) or found[0] != truth[0]:
            self.fail(f"takes lines [N, P] and [N, L], has {found} and {truth}", hint="scores want a blank_label")
        if found[1] * truth[1] > MOST_EDITS:
            self.fail(f"lines of {found[1]} and {truth[1]} labels are more than can be compared")
        shapes: list[Shape] = [(), (3,), ()]
        return shapes[: self.top_number]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        if self.decodes:
            return [self.share_of_right_lines(*bottoms)]
        lines = [[_until_negative(line) for line in x.reshape(len(x), -1)] for x in bottoms]
        pairs = list(zip(*lines, strict=True))
        edits = [shortest_edit(a, b) if self.top_number > 1 else (0, 0) for a, b in pairs]
        tops = (
            [float(np.array_equal(a, b)) for a, b in pairs],
            [(e[0], len(b), len(a)) for e, (a, b) in zip(edits, pairs, strict=True)],
            [float(e[1]) for e in edits],
        )
        return [np.asarray(np.mean(top, axis=0), np.float32) for top in tops[: self.top_number]]


MOST_EDITS = 10**6
"""Entries of the table of edit distances of two lines."""


def _until_negative(line: np.ndarray) -> np.ndarray:
    negative = line < 0
    return line[: int(negative.argmax()) if negative.any() else len(line)]


def shortest_edit(found: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """Return the edit distance of two lines, and how many characters the shortest edit keeps."""
    distance = np.zeros((len(found) + 1, len(truth) + 1), int)
    distance[:, 0], distance[0] = np.arange(len(found) + 1), np.arange(len(truth) + 1)
    for i, j in np.ndindex(len(found), len(truth)):
        changed = distance[i, j] + (found[i] != truth[j])
        distance[i + 1, j + 1] = min(distance[i, j + 1] + 1, distance[i + 1, j] + 1, changed)
    i, j, kept = len(found), len(truth), 0
    while i and j:
        changed = distance[i - 1, j - 1] + (found[i - 1] != truth[j - 1])
        above, left = distance[i - 1, j] + 1, distance[i, j - 1] + 1
        if changed < above and changed < left:
            kept += int(found[i - 1] == truth[j - 1])
            i, j = i - 1, j - 1
        elif changed >= above and above < left:
            i -= 1
        else:
            j -= 1
    return int(distance[len(found), len(truth)]), kept
