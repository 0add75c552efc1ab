"""MultiBoxLoss (SSD): how far offsets and confidences of all priors are from an image's boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.boxes import shares
from caffezoo.net.host_layer import HostLayer
from caffezoo.net.layer import Shape, register
from caffezoo.net.layers.losses import LossLayer

SMALLEST_OVERLAP = 1e-6


@register("MultiBoxLoss")
class MultiBoxLoss(LossLayer, HostLayer):
    """``(loc_weight * loc + conf) / n`` over the priors that match a box, and the negatives that are mined.

    Bottoms: offsets [N, P L 4], confidences [N, P C] (before their softmax), priors [1, 2, 4 P] and ground truth
    [1, 1, M, 8]. Every box takes the prior that overlaps it most; with PER_PREDICTION every other prior takes the box
    that it overlaps by ``overlap_threshold`` or more. ``loc`` sums SMOOTH_L1 or half the squares of the offsets'
    differences over matches, ``conf`` the SOFTMAX or LOGISTIC loss over matches and, of priors that overlap no box by
    ``neg_overlap``, the worst ``neg_pos_ratio`` times as many. n is the number of matches (VALID), of images
    (BATCH_SIZE), of priors (FULL) or 1, and 1 at least. Source: ``multibox_loss_layer.cpp`` of SSD (arXiv 1512.02325).
    """

    param_name = "multibox_loss_param"
    bottom_count = (4, 4)
    auto_tops = True

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        return True

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        p, classes = self.param, int(self.param.num_classes)
        if classes < 1:
            self.fail("has no num_classes")
        priors, truth = bottoms[2], bottoms[3]
        if len(priors) != 3 or priors[:2] != (1, 2) or priors[2] % 4:
            self.fail(f"takes priors [1, 2, 4 P], has {list(priors)}")
        if len(truth) != 4 or truth[:2] != (1, 1) or truth[3] != 8:
            self.fail(f"takes ground truth [1, 1, M, 8], has {list(truth)}")
        count = priors[2] // 4
        sizes = (4 * count * (1 if p.share_location else classes), count * classes)
        for bottom, size in zip(bottoms, sizes, strict=False):
            if bottom[0] != bottoms[0][0] or int(np.prod(bottom[1:])) != size:
                self.fail(f"{count} priors and {classes} classes take {sizes} values an image, has {list(bottom)}")
        if self._mining() == pb.MultiBoxLossParameter.HARD_EXAMPLE:
            self.fail("HARD_EXAMPLE mining is not supported", hint="MAX_NEGATIVE is SSD's own")
        if not p.share_location or not p.use_prior_for_matching or p.use_polygon:
            self.fail("takes share_location and use_prior_for_matching, and no polygons")
        return [()]

    def _mining(self) -> int:
        if self.param.HasField("do_neg_mining"):
            types = pb.MultiBoxLossParameter
            return int(types.MAX_NEGATIVE if self.param.do_neg_mining else types.NONE)
        return int(self.param.mining_type)

    def host(self, bottoms: Sequence[np.ndarray], blobs: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.check_finite(bottoms)
        p, count = self.param, len(bottoms[0])
        priors, variances = (x.astype(np.float64) for x in bottoms[2].reshape(2, -1, 4))
        loc = bottoms[0].reshape(count, -1, 4).astype(np.float64)
        scores = bottoms[1].reshape(count, len(priors), -1).astype(np.float64)
        truth = bottoms[3].reshape(-1, 8).astype(np.float64)
        if not p.use_difficult_gt:
            truth = truth[truth[:, 7] == 0]
        if ((truth[:, 1] < 0) & (truth[:, 0] >= 0) | (truth[:, 1] >= p.num_classes)).any():
            self.fail_values(f"a box of the ground truth is of a class that is not among the {p.num_classes}")
        loc_loss = conf_loss = 0.0
        matched = 0
        for i in range(count):
            own = truth[truth[:, 0] == i]
            match, overlap = self._match(own[:, 3:7], priors)
            positive = np.flatnonzero(match >= 0)
            matched += len(positive)
            boxes = own[match[positive]]
            used = None if p.encode_variance_in_target else variances[positive]
            loc_loss += self._offset_loss(loc[i, positive], encode(p.code_type, boxes[:, 3:7], priors[positive], used))
            labels = np.full(len(priors), int(p.background_label_id))
            labels[positive] = 1 if p.map_object_to_agnostic else boxes[:, 1].astype(int)
            losses = self._confidence_losses(scores[i], labels)
            if self._mining() == pb.MultiBoxLossParameter.NONE:
                conf_loss += losses.sum()
                continue
            others = np.flatnonzero((match < 0) & (overlap < p.neg_overlap))
            most = int(len(positive) * p.neg_pos_ratio)
            worst = others[np.argsort(-losses[others], kind="stable")][:most]
            conf_loss += losses[positive].sum() + losses[worst].sum()
        total = (p.loc_weight * loc_loss + conf_loss) / self._normalizer(count, len(priors), matched)
        return [np.array(total, np.float32)]

    def _match(self, boxes: np.ndarray, priors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each prior's box (-1: none) and the most that it overlaps one."""
        match = np.full(len(priors), -1)
        if not len(boxes):
            return match, np.zeros(len(priors))
        overlap = shares(priors, boxes)
        overlap[overlap <= SMALLEST_OVERLAP] = 0
        if self.param.ignore_cross_boundary_bbox:
            overlap[(priors < 0).any(1) | (priors > 1).any(1)] = 0
        left = overlap.copy()
        for _ in range(len(boxes)):
            prior, box = np.unravel_index(left.argmax(), left.shape)
            if left[prior, box] <= 0:
                break
            match[prior] = box
            left[prior], left[:, box] = 0, 0
        most = overlap.max(1)
        if self.param.match_type == pb.MultiBoxLossParameter.PER_PREDICTION:
            further = (match < 0) & (most > 0) & (most >= self.param.overlap_threshold)
            match[further] = overlap[further].argmax(1)
        return match, most

    def _offset_loss(self, found: np.ndarray, wanted: np.ndarray) -> float:
        d = np.abs(found - wanted)
        if self.param.loc_loss_type == pb.MultiBoxLossParameter.L2:
            return float((d**2).sum() / 2)
        return float(np.where(d < 1, d**2 / 2, d - 0.5).sum())

    def _confidence_losses(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        rows = np.arange(len(scores))
        if self.param.conf_loss_type == pb.MultiBoxLossParameter.LOGISTIC:
            wanted = np.zeros_like(scores)
            chosen = labels != self.param.background_label_id
            wanted[rows[chosen], labels[chosen]] = 1
            each = np.maximum(scores, 0) - scores * wanted + np.log1p(np.exp(-np.abs(scores)))
            return np.asarray(each.sum(1))
        top = scores.max(1)
        return np.asarray(np.log(np.exp(scores - top[:, None]).sum(1)) + top - scores[rows, labels])

    def _normalizer(self, images: int, priors: int, matched: int) -> float:
        given, modes = self.proto.loss_param, pb.LossParameter
        mode = given.normalization
        if given.HasField("normalize") and not given.HasField("normalization"):
            mode = modes.VALID if given.normalize else modes.BATCH_SIZE
        counts = {modes.VALID: matched, modes.BATCH_SIZE: images, modes.FULL: images * priors, modes.NONE: 1}
        return float(max(counts.get(mode, 1), 1))


def encode(code: int, boxes: np.ndarray, priors: np.ndarray, variances: np.ndarray | None) -> np.ndarray:
    """Return the offsets from which :func:`caffezoo.net.boxes.decode` makes ``boxes``."""
    corners = pb.PriorBoxParameter
    sides = priors[:, 2:] - priors[:, :2]
    if code == corners.CORNER:
        offsets = boxes - priors
    elif code == corners.CORNER_SIZE:
        offsets = (boxes - priors) / np.concatenate([sides, sides], 1)
    else:
        own = boxes[:, 2:] - boxes[:, :2]
        shift = (boxes[:, :2] + boxes[:, 2:] - priors[:, :2] - priors[:, 2:]) / 2 / sides
        with np.errstate(divide="ignore", invalid="ignore"):
            offsets = np.concatenate([shift, np.log(own / sides)], 1)
    return np.asarray(offsets if variances is None else offsets / variances)
