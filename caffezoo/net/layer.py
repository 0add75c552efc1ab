"""The seam for layers: one class a Caffe layer type, registered under its name in the table of ``net/registry.py``.

Everything the program knows of a layer type stands in its class: how many bottoms and tops it takes, the shapes of its
tops and blobs, its cost, its ONNX form, its torch form and, where Caffe's own releases lack it, its form in plain BVLC
layers. The drivers (shape inference, cost, ONNX, torch, plain) are loops that name no layer type.

A batch axis is never written into a layer: every method is called with concrete shapes, and the ONNX forms copy axis 0
or say that they need it fixed (``LayerScope.fix_batch``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, NoReturn

import numpy as np

from caffezoo.errors import ShapeError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.extra_fields import extra_fields
from caffezoo.net.given_shapes import shape_flags
from caffezoo.net.own_fields import read_message
from caffezoo.net.registry import register as register  # the seam: a file of layers imports it from here

if TYPE_CHECKING:
    from caffezoo.net.onnx_graph import LayerScope
    from caffezoo.net.torch_module import Compute, TorchScope

Shape = tuple[int, ...]


class BlobId(NamedTuple):
    """A blob's name and how often it has been rewritten in place: layers downstream read one version."""

    name: str
    version: int


@dataclass(frozen=True)
class PlainForm:
    """A layer rewritten in BVLC's own layers.

    Attributes
    ----------
    layers : list of LayerParameter
        In order; blob names that start with the layer's name are free for inner blobs.
    blobs : mapping of str to sequence of ndarray
        Constant blobs of added layers, by layer name. The original layer's blobs go to the layer of its name.
    moved : mapping of str to sequence of int
        Where the original's blobs are shared out: their indices by layer name, in the order of that layer's blobs.
    """

    layers: list[pb.LayerParameter]
    blobs: Mapping[str, Sequence[np.ndarray]] = field(default_factory=dict)
    moved: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Affine:
    """A per-channel affine map ``a[c] * x + b[c]``, in float64."""

    a: np.ndarray
    b: np.ndarray


@dataclass(frozen=True)
class Folded:
    """A layer that has taken a neighbour in: its new LayerParameter (names and wiring unchanged) and blobs."""

    proto: pb.LayerParameter
    blobs: tuple[np.ndarray, ...]


class Layer:
    """One layer of a network: its LayerParameter and what Caffe makes of it.

    Parameters
    ----------
    proto : LayerParameter
    where : str
        ``file:line`` of the layer, for messages.
    phase : int
        The network's phase, ``TRAIN`` or ``TEST``: that of a layer whose own is unset (Caffe's ``Net::Init``).
    """

    param_name: ClassVar[str | None] = None
    own_fields: ClassVar[Mapping[str, Any] | None] = None  # of param_name where caffe.proto lacks it
    other_fields: ClassVar[Mapping[str, Mapping[str, Any]]] = MappingProxyType({})  # of further messages, likewise
    idle_fields: ClassVar[frozenset[str]] = frozenset()  # the layer's fields of its fork that change no top
    bottom_count: ClassVar[tuple[int, int | None]] = (1, 1)
    top_count: ClassVar[tuple[int, int | None]] = (1, 1)
    is_input: ClassVar[bool] = False
    in_place_allowed: ClassVar[bool] = True
    is_identity: ClassVar[bool] = False  # at TEST, as Dropout
    differentiable: ClassVar[bool] = True  # whether Caffe has a backward pass for it
    auto_tops: ClassVar[bool] = False  # whether Caffe adds tops that the prototxt leaves out (losses)
    squashes: ClassVar[Literal["softmax", "sigmoid"] | None] = None  # what makes probabilities of its bottom
    judges: ClassVar[bool] = False  # a loss or an accuracy: its first bottom holds predictions
    writes: ClassVar[bool] = False  # whether it puts its bottoms into files: they still count as outputs
    finds_boxes: ClassVar[bool] = False  # whether its top is [1, 1, M, 7]: image, class, score, relative x1, y1, x2, y2
    on_host: ClassVar[bool] = False  # engines run it in numpy, between compiled parts: see net/host_layer.py
    bounded_axis: ClassVar[int | None] = None  # of its tops: data may leave less there than the shapes say

    def __init__(self, proto: pb.LayerParameter, where: str = "", phase: int = pb.TEST) -> None:
        self.proto = proto
        self.where = where
        self.phase: int = proto.phase if proto.HasField("phase") else phase
        self.param: Any = self._read_param()
        self._check_count("bottom", len(proto.bottom), self.bottom_count)
        self.top_number = max(len(proto.top), self.top_count[0]) if self.auto_tops else len(proto.top)
        """Tops that the layer makes: those of the prototxt, and the one that Caffe adds to a loss without any."""
        self._check_count("top", self.top_number, self.top_count)

    @property
    def name(self) -> str:
        return str(self.proto.name)

    @property
    def extra(self) -> dict[str, Any]:
        """Fields of the layer that Caffe does not have, by name; only layers of types that are not Caffe's keep them.

        Messages are dicts, repeated fields lists.
        """
        return extra_fields(self.proto)

    def message(self, name: str) -> Any:
        """Return the values of one of the layer's ``other_fields``."""
        return read_message(self.extra, name, self.other_fields[name], self.fail)

    @property
    def type(self) -> str:
        return str(self.proto.type)

    def top_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        """Return the shape of every top; the default is the first bottom's.

        Raises
        ------
        ShapeError
            If the layer cannot take these bottoms.
        """
        return [bottoms[0]] * self.top_number

    def input_shapes(self, given: Mapping[str, Shape]) -> list[Shape]:
        """Return the shape of every top of an input layer, of which the caller has given some by name.

        Raises
        ------
        ShapeError
            If a shape is neither given nor known.
        """
        known = [] if len(given) == len(self.proto.top) else self.top_shapes(())
        return [tuple(given[t]) if t in given else tuple(known[i]) for i, t in enumerate(self.proto.top)]

    def blob_shapes(self, bottoms: Sequence[Shape]) -> list[Shape]:
        """Return the shapes of the learned blobs in Caffe's order."""
        return []

    def fit_blob(self, index: int, value: np.ndarray, shape: Shape) -> np.ndarray | None:
        """Return a stored blob of another shape made to fit, where Caffe's layer does so; None where it refuses it."""
        return None

    def parameter_count(self, bottoms: Sequence[Shape]) -> int:
        """Return the number of learned values, as publications count them."""
        return sum(math.prod(s) for s in self.blob_shapes(bottoms))

    def macs(self, bottoms: Sequence[Shape], tops: Sequence[Shape]) -> int:
        """Return multiply-accumulates of a forward pass over these bottoms; layers without weights count 0."""
        return 0

    def onnx(self, scope: LayerScope) -> list[str]:
        """Append the layer's ONNX form and return the tensor of every top.

        Raises
        ------
        LoweringError
            If this configuration has no exact form.
        """
        raise NotImplementedError(f"{type(self).__name__} has no ONNX form")

    def torch(self, scope: TorchScope) -> Compute:
        """Register the tensors of the layer's torch form and return it: a function of its module and its bottoms.

        Raises
        ------
        LoweringError
            If this configuration has no exact form.
        """
        raise NotImplementedError(f"{type(self).__name__} has no torch form")

    def plain(self, bottoms: Sequence[Shape]) -> PlainForm | None:
        """Return the layer in BVLC's own layers, or None if it is one of them as it stands."""
        return None

    def kernel(self, blobs: Sequence[np.ndarray], bottoms: Sequence[Shape]) -> np.ndarray | None:
        """Return the weight that the layer multiplies by as [out, in / group, spatial...], None if it has none.

        ``in`` and the spatial axes are those of the bottom: an inner product over a feature map has a kernel of its
        size.
        """
        return None

    def sliding(self, blobs: Sequence[np.ndarray], bottoms: Sequence[Shape]) -> Folded | None:
        """Return the layer as one that gives a map where its bottom is larger, None if it does so as it stands."""
        return None

    def other_rounding(self) -> pb.LayerParameter | None:
        """Return the layer with its windows counted the other way, up or down; None where it counts none."""
        return None

    def carries(self, bottoms: Sequence[Shape]) -> bool:
        """Whether every value of its tops is one of its bottoms', or a mean of them at other places of one class.

        Behind such a layer probabilities are still probabilities.
        """
        return False

    def mixes_samples(self, bottoms: Sequence[Shape]) -> bool:
        """Whether values at one place of a top's axis 0 depend on other places of a bottom's, though axis 0 keeps its
        size: then a batch that is not full cannot be filled up with other samples.
        """
        return False

    def squashed(self, bottoms: Sequence[Shape]) -> int:
        """Return how many values together become probabilities, for a layer that ``squashes`` by a softmax."""
        raise NotImplementedError(f"{type(self).__name__} is no softmax")

    def numbers(self, blobs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return what another runtime would store of the layer, by its usual name, in float64; the output channels are
        on axis 0.

        The default is ``weights`` and ``bias``, for what has them.
        """
        return {name: np.asarray(b, np.float64) for name, b in zip(("weights", "bias"), blobs, strict=False)}

    def unscaled(self, blobs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        """Return blobs of the same meaning without a common factor that Caffe keeps beside them."""
        return blobs

    def affine(self, blobs: Sequence[np.ndarray], channels: int) -> Affine | None:
        """Return the map if the layer computes ``a[c] * x + b[c]`` over channels (axis 1), None otherwise."""
        return None

    def why_not_affine(self) -> str | None:
        """Say why a layer of a type that usually is a fixed map of channels is none here; None for every other."""
        return None

    def absorb_after(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        """Return the layer that computes this layer and then ``map_``, or None if one layer cannot do it exactly.

        Its blobs are computed in float64 and have the type of ``blobs``.
        """
        return None

    def absorb_before(self, blobs: Sequence[np.ndarray], map_: Affine) -> Folded | None:
        """Return the layer that computes ``map_`` and then this layer, or None if one layer cannot do it exactly."""
        return None

    def loss_weights(self) -> tuple[float, ...]:
        """Return how much every top counts in the network's loss: ``loss_weight``, 0 where it is not given.

        Raises
        ------
        ShapeError
            ``loss_weight`` is neither left out nor given once a top.
        """
        given, tops = tuple(float(w) for w in self.proto.loss_weight), len(self.proto.top)
        if given and len(given) != tops:
            self.fail(f"takes one loss_weight a top: {tops} top(s), {len(given)} loss_weight")
        return given or (0.0,) * tops

    def param_specs(self, count: int) -> list[pb.ParamSpec]:
        """Return the ParamSpec of every blob: the prototxt's, Caffe's defaults where there is none."""
        given = list(self.proto.param)[:count]
        return given + [pb.ParamSpec() for _ in range(count - len(given))]

    def fillers(self, count: int) -> list[pb.FillerParameter]:
        """Return what Caffe fills every new blob by: ``weight_filler`` and ``bias_filler``, or 0."""
        given = [getattr(self.param, name, pb.FillerParameter()) for name in ("weight_filler", "bias_filler")]
        return [*given, *(pb.FillerParameter() for _ in range(count))][:count]

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "param"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.param = self._read_param()

    def _read_param(self) -> Any:
        if self.param_name and self.own_fields is not None:
            return read_message(self.extra, self.param_name, self.own_fields, self.fail)
        return getattr(self.proto, self.param_name) if self.param_name else None

    def fail(self, message: str, hint: str | None = None) -> NoReturn:
        """Raise a ShapeError that names this layer."""
        raise ShapeError(message, where=self.label, hint=hint)

    @property
    def label(self) -> str:
        """Where the layer stands, for messages: ``file:line: layer 'name' (Type)``."""
        text = f"layer '{self.name}' ({self.type})"
        return f"{self.where}: {text}" if self.where else text

    def _check_count(self, kind: str, found: int, allowed: tuple[int, int | None]) -> None:
        low, high = allowed
        if found < low or (high is not None and found > high):
            wanted = str(low) if low == high else f"at least {low}" if high is None else f"{low} to {high}"
            given = f"they are inputs with {shape_flags(self.proto.top)}" if self.is_input and kind == "top" else None
            self.fail(f"takes {wanted} {kind}(s), has {found}", given)

    def axis(self, value: int, rank: int, *, end: bool = False) -> int:
        """Return an axis counted from the front; ``end`` also allows the position after the last axis."""
        limit = rank + 1 if end else rank
        if not -limit <= value < limit:
            self.fail(f"axis {value} is out of range for a blob with {rank} axes")
        return value + limit if value < 0 else value
