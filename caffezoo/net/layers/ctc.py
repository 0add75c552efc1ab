"""Connectionist temporal classification: CtcLoss, WarpCTCLoss and CTCLoss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register

if TYPE_CHECKING:
    from caffezoo.net.torch_module import Compute, TorchScope


@register("CtcLoss", "WarpCTCLoss")
class CTCLoss(HostLayer):
    """Mean over samples of ``-log p(labels | scores)`` (Graves et al., 2006, equations 5 to 8), by warp-ctc's rules.

    Bottoms: scores [T, N, C] before their softmax, and labels [N, L], of which those that are the blank are left out.
    A sample whose labels do not fit into T steps counts 0, as in warp-ctc. CtcLoss reads ``time_step`` of the steps,
    and its blank is ``blank_label`` (``ctc_loss_layer.cpp`` of the forks with ``alphabet_size``); WarpCTCLoss reads
    all, and its blank is ``blank_index``, or class 0 (``warp_ctc_loss_layer.cpp``).
    """

    param_name = "ctc_loss_param"
    bottom_count = (2, 2)
    auto_tops = True
    judges = True
    differentiable = True

    @property
    def blank(self) -> int:
        """The class that stands for no label."""
        return int(self.param.blank_label) if self.type == "CtcLoss" else max(int(self.param.blank_index), 0)

    def steps(self, scores: Shape) -> int:
        """Return how many steps are read."""
        return int(self.param.time_step) if self.type == "CtcLoss" else scores[0]

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, labels = bottoms
        if len(x) < 3 or math.prod(x[3:]) != 1:
            self.fail(f"takes steps x samples x classes, has {x}")
        if len(labels) < 2 or labels[0] != x[1]:
            self.fail(f"takes a line of labels for each of {x[1]} samples, has {labels}")
        if not 0 <= self.blank < x[2]:
            self.fail(f"the blank {self.blank} is none of {x[2]} classes")
        if self.type == "CtcLoss" and self.param.alphabet_size != x[2]:
            self.fail(f"alphabet_size {self.param.alphabet_size} is not the number of classes, {x[2]}")
        if not 0 < self.steps(x) <= x[0]:
            self.fail(f"time_step {self.steps(x)} must be from 1 to the number of steps, {x[0]}")
        return [()]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        shape = bottoms[0].shape
        x = bottoms[0].reshape(shape[:3])[: self.steps(shape)].astype(np.float64)
        x = x - x.max(2, keepdims=True)
        logs = x - np.log(np.exp(x).sum(2, keepdims=True))
        costs = []
        for i, line in enumerate(bottoms[1].reshape(shape[1], -1).astype(np.int64)):
            if ((line < 0) | (line >= shape[2])).any():
                self.fail_values(f"a label of sample {i} is not among the {shape[2]} classes")
            costs.append(self._cost(logs[:, i], line[line != self.blank]))
        return [np.array(np.mean(costs), np.float32)]

    def _cost(self, logs: np.ndarray, labels: np.ndarray) -> float:
        """Return ``-log p`` of one sample, 0 where it does not fit."""
        if len(labels) + int((labels[1:] == labels[:-1]).sum()) > len(logs):
            return 0.0
        return self.unlikeliness(logs, labels, self.blank)

    @staticmethod
    def unlikeliness(logs: np.ndarray, labels: np.ndarray, blank: int) -> float:
        """Return ``-log p`` of labels by the forward variables of equation 6; infinite where they do not fit."""
        path = np.full(2 * len(labels) + 1, blank)
        path[1::2] = labels
        jumps = np.zeros(len(path), bool)  # over a blank between two labels that differ
        jumps[3::2] = labels[1:] != labels[:-1]
        alpha = np.full(len(path), -np.inf)
        alpha[:2] = logs[0, path[:2]]
        for line in logs[1:]:
            one = np.concatenate([[-np.inf], alpha[:-1]])
            two = np.concatenate([[-np.inf] * 2, alpha])[: len(path)]
            alpha = np.logaddexp(np.logaddexp(alpha, one), np.where(jumps, two, -np.inf)) + line[path]
        return -float(np.logaddexp.reduce(alpha[-2:]))

    def torch(self, scope: TorchScope) -> Compute:
        torch, F, blank = scope.torch, scope.F, self.blank

        def compute(own: Any, x: Any, labels: Any) -> list[Any]:
            logs = F.log_softmax(x.reshape(x.shape[:3])[: self.steps(tuple(x.shape))], 2)
            lines = [line[line != blank].long() for line in labels.reshape(x.shape[1], -1)]
            lengths = torch.tensor([len(line) for line in lines])
            read = torch.full((x.shape[1],), logs.shape[0])
            costs = F.ctc_loss(logs, torch.cat(lines), read, lengths, blank, reduction="none", zero_infinity=True)
            return [costs.mean()]

        return compute


@register("CTCLoss")
class MarkedCTCLoss(CTCLoss):
    """Mean over samples of ``-log p(labels | scores)`` of marked lengths (``ctc_loss_layer.cpp`` of ChWick/caffe).

    Bottoms: scores [T, N, C] before their softmax, markers [T, N], 0 at the step behind a sample's last (that of step 0
    does not count), and labels [T, N], below 0 behind the last. A sample without labels counts 0. The blank is
    ``blank_index``, by default the last class. The forks that take two bottoms, or a ``ctc_param``, have another layer.
    """

    bottom_count = (3, 3)

    def steps(self, scores: Shape) -> int:
        return scores[0]

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        x, p = bottoms[0], self.param
        if len(x) < 3 or math.prod(x[3:]) != 1:
            self.fail(f"takes steps x samples x classes, has {x}")
        if any(b[:2] != x[:2] or math.prod(b[2:]) != 1 for b in bottoms[1:]):
            self.fail(
                f"takes a marker and a label for each step and sample, {x[:2]}, has {bottoms[1]} and {bottoms[2]}"
            )
        if p.output_delay or p.preprocess_collapse_repeated or not p.ctc_merge_repeated:
            self.fail("output_delay, preprocess_collapse_repeated and ctc_merge_repeated: false are not supported")
        if p.blank_index >= x[2]:
            self.fail(f"the blank {p.blank_index} is none of {x[2]} classes")
        return [()]

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        steps, samples, classes = bottoms[0].shape[:3]
        blank = int(self.param.blank_index) if self.param.blank_index >= 0 else classes - 1
        x = bottoms[0].reshape(steps, samples, classes).astype(np.float64)
        x = x - x.max(2, keepdims=True)
        logs = x - np.log(np.exp(x).sum(2, keepdims=True))
        markers, labels = (np.floor(b.reshape(steps, samples) + 0.5).astype(np.int64) for b in bottoms[1:])
        ends = bottoms[2].reshape(steps, samples) < 0
        total = 0.0
        for n in range(samples):
            length = next((t for t in range(1, steps) if markers[t, n] == 0), steps)
            count = next((t for t in range(steps) if ends[t, n]), steps)
            line = labels[:count, n]
            if count > length or (count == 0 and length > 1):
                self.fail_values(f"sample {n} has {count} labels in {length} steps")
            if count and ((line >= classes) | (line == blank)).any():
                self.fail_values(f"a label of sample {n} is the blank, or not among the {classes} classes")
            total += self.unlikeliness(logs[:length, n], line, blank) if count else 0.0
        return [np.array(total / samples, np.float32)]

    def torch(self, scope: TorchScope) -> Compute:
        torch, F, (steps, _, classes) = scope.torch, scope.F, scope.bottom_shapes[0][:3]
        blank = int(self.param.blank_index) if self.param.blank_index >= 0 else classes - 1

        def compute(own: Any, x: Any, markers: Any, labels: Any) -> list[Any]:
            labels, going = labels.reshape(steps, -1), markers.reshape(steps, -1).round() != 0
            lengths = 1 + going[1:].long().cumprod(0).sum(0)
            counts = (labels >= 0).long().cumprod(0).sum(0)
            lines = [labels[: int(count), n].round().long() for n, count in enumerate(counts)]
            logs = F.log_softmax(x.reshape(steps, -1, classes), 2)
            costs = F.ctc_loss(logs, torch.cat(lines), lengths, counts, blank, reduction="none")
            return [torch.where(counts > 0, costs, costs.new_zeros(())).mean()]

        return compute
