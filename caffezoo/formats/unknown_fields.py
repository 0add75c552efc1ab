"""Fields of a prototxt that no message here has: what of them may be passed over, and what would change the answer.

Caffe refuses a file with a field that it does not have. People's files were written for forks, whose fields choose an
engine, a thread count or how images are varied in training: those change nothing that a forward pass computes and are
passed over with a warning. Any other unknown field is refused, as Caffe does: a misspelt ``stride`` is a stride of 1.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from caffezoo.errors import PrototxtError, nearest

ANY_MESSAGE = frozenset({"engine"})
"""Intel's and NVIDIA's forks choose a library with it, in messages where BVLC's release has no such field."""

# Names as in the caffe.proto of NVIDIA/caffe (0.14 to 0.17), intel/caffe (1.1), and forks of published networks.
PASSED_OVER: dict[str, frozenset[str]] = {
    "NetParameter": frozenset({
        "default_forward_type", "default_backward_type", "default_forward_math", "default_backward_math",
        "default_conv_algos_override", "default_cudnn_math_override", "global_grad_scale", "global_grad_scale_adaptive",
        "reduce_buckets", "eltwise_mask", "compile_net_state", "bn_stats_batch_size", "multinode", "optimize_memory",
        "mem_param", "profile_info", "train_phase_iter",
    }),
    "LayerParameter": frozenset({
        "forward_type", "backward_type", "forward_math", "backward_math", "cudnn_math_override", "debug",
        "multinode", "mn_activation_param", "mn_grad_compress_param", "need_backward", "strict_dim",
    }),
    "V1LayerParameter": frozenset({"strict_dim"}),
    "ConvolutionParameter": frozenset({
        "conv_algorithm", "conv_algos_override", "cudnn_convolution_algo", "cudnn_convolution_algo_seeker",
        "cudnn_math_override",
    }),
    "BatchNormParameter": frozenset({"filler", "stats_batch_size", "slope_filler"}),
    "ParamSpec": frozenset({"init_blob", "regularization_type"}),
    "FillerParameter": frozenset({"alpha", "values", "file"}),
    "PythonParameter": frozenset({"share_in_parallel"}),
}  # fmt: skip

DATA_MESSAGES = frozenset({
    "TransformationParameter", "DataParameter", "ImageDataParameter", "HDF5DataParameter", "MemoryDataParameter",
    "WindowDataParameter", "DummyDataParameter", "AnnotatedDataParameter", "VideoDataParameter", "ResizeParameter",
    "NoiseParameter", "DistortionParameter", "ExpansionParameter", "BatchSampler",
})  # fmt: skip
"""What data layers read: their tops are given to a network here, so that a fork's field changes nothing, unless it is
one of Caffe's misspelt."""

NEAR_ENOUGH = 0.75
"""Ratio of ``difflib`` from which a data layer's unknown field counts as a misspelt one of Caffe's."""


@dataclass(frozen=True)
class UnknownField:
    """A field that its message does not have.

    Attributes
    ----------
    name : str
    line : int
    message : str
        Type of the message that it stands in.
    known : tuple of str
        The fields that the message has.
    top : tuple of (str, int) or None
        The top-level entry (field name, index) that it stands in.
    text : str
        The whole field as it stands in the file.
    """

    name: str
    line: int
    message: str
    known: tuple[str, ...]
    top: tuple[str, int] | None
    text: str = ""

    @property
    def is_passed_over(self) -> bool:
        """Whether it changes nothing that a forward pass computes."""
        if self.name in ANY_MESSAGE or self.name in PASSED_OVER.get(self.message, ()):
            return True
        return self.message in DATA_MESSAGES and not nearest(self.name, self.known, cutoff=NEAR_ENOUGH)


@dataclass(frozen=True)
class StrayField:
    """An unknown field at its place in a file; Caffe's refusal is repeated for it where its layer is used.

    Attributes
    ----------
    field : UnknownField
    layer_line : int or None
        Where its layer begins; None for one outside of any layer.
    layer, layer_type : str
        Empty outside of any layer.
    """

    field: UnknownField
    layer_line: int | None = None
    layer: str = ""
    layer_type: str = ""

    @property
    def is_layers_own(self) -> bool:
        """Whether it stands in the layer itself, as the parameters of a type that is not Caffe's do."""
        return self.field.message in ("LayerParameter", "V1LayerParameter")

    def warning(self, path: str) -> str:
        """Return what to say where it is passed over."""
        place = f"layer '{self.layer}': " if self.layer_line is not None else ""
        return f"{path}:{self.field.line}: {place}unknown field '{self.field.name}' ignored"


def refuse(fields: Collection[StrayField], path: str) -> None:
    """Raise for the first of these fields, if there is one; the message names more of them.

    Raises
    ------
    PrototxtError
        ``where`` is ``path:line``; the hint is the nearest name.
    """
    if not fields:
        return
    first, *others = sorted(fields, key=lambda stray: stray.field.line)
    place = f"layer '{first.layer}': " if first.layer_line is not None else ""
    more = ", ".join(f"'{stray.field.name}' in line {stray.field.line}" for stray in others[:3])
    if len(others) > 3:
        more += f" and {len(others) - 3} others"
    close = nearest(first.field.name, first.field.known)
    guess = f"did you mean {close[0]}? " if close else ""
    raise PrototxtError(
        f"{place}Caffe's {first.field.message} has no field '{first.field.name}'" + (f" (nor {more})" if more else ""),
        where=f"{path}:{first.field.line}",
        hint=f"{guess}--lenient passes over it",
    )
