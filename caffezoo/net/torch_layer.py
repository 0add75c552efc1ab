"""One layer as a torch module, and the scope in which a layer writes its torch form.

Importing this module imports torch (extra ``torch``): import it inside the function that needs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from caffezoo.errors import LoweringError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.net.graph import Node

Tops = Sequence[torch.Tensor]
Compute = Callable[..., Tops]
"""Called with the layer's module and its bottoms; returns its tops."""


@dataclass(frozen=True)
class LearnedBlob:
    """A blob of a layer, as a solver sees it.

    Attributes
    ----------
    name : str
        Its key in the module's ``state_dict()``: ``<layer>.blob<index>``.
    layer : str
    index : int
    lr_mult, decay_mult : float
        Those of the owner, where the blob is shared.
    owner : str
        Name of the blob that holds the values: its own, unless ``param { name }`` shares an earlier one.
    tensor : Tensor
        A Parameter, or a plain tensor where the layer itself keeps it (BatchNorm's statistics).
    """

    name: str
    layer: str
    index: int
    lr_mult: float
    decay_mult: float
    owner: str
    tensor: torch.Tensor

    @property
    def is_owner(self) -> bool:
        """Whether it holds its own values."""
        return self.owner == self.name


class LayerModule(nn.Module):  # type: ignore[misc]
    """One layer: ``blob0``, ``blob1`` ... are its learned blobs, other tensors are constants.

    Its function is not pickled but made anew by the layer, so any layer class may use closures.
    """

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node
        self.layer_name = node.name
        self.layer_type = node.layer.type
        self.compute: Compute | None = None
        # Blobs of another shape than their owner's: module, attribute and shape. A tuple, so that the owner's
        # module does not become a child of this one.
        self._views: dict[str, tuple[tuple[LayerModule, str], tuple[int, ...]]] = {}
        self._stopped = tuple(i for i, down in enumerate(node.layer.proto.propagate_down) if not down)

    def forward(self, *bottoms: torch.Tensor) -> Tops:
        assert self.compute is not None
        if self._stopped:
            bottoms = tuple(x.detach() if i in self._stopped else x for i, x in enumerate(bottoms))
        return self.compute(self, *bottoms)

    def __getattr__(self, name: str) -> Any:
        views = self.__dict__.get("_views")
        if views and name in views:
            (owner, attribute), shape = views[name]
            return getattr(owner, attribute).view(shape)
        return super().__getattr__(name)

    def blob(self, index: int) -> torch.Tensor:
        """Return a learned blob."""
        return getattr(self, f"blob{index}")

    def blobs(self) -> tuple[np.ndarray, ...]:
        """Return float32 copies of the learned blobs, in Caffe's order."""
        count = len(self.node.blob_shapes)
        return tuple(np.array(self.blob(i).detach().float().cpu().numpy(), order="C") for i in range(count))

    def share(self, index: int, owner: LayerModule, other: int) -> None:
        """Let a blob be another module's blob.

        Raises
        ------
        LoweringError
            The shapes differ (with ``share_mode: PERMISSIVE``: the number of values).
        """
        own, theirs = self.blob(index), owner.blob(other)
        if own.shape != theirs.shape:
            params = self.node.layer.proto.param
            permissive = index < len(params) and params[index].share_mode == pb.ParamSpec.PERMISSIVE
            if not permissive or math.prod(own.shape) != math.prod(theirs.shape):
                raise LoweringError(
                    f"blob {index} has shape {list(own.shape)}, and is shared with one of shape {list(theirs.shape)} "
                    f"of layer '{owner.layer_name}'",
                    where=self.node.layer.label,
                )
        name = f"blob{index}"
        self._parameters.pop(name, None)
        self._buffers.pop(name, None)
        if own.shape != theirs.shape:
            self._views[name] = ((owner, f"blob{other}"), tuple(own.shape))
        elif isinstance(theirs, nn.Parameter):
            self.register_parameter(name, theirs)
        else:
            self.register_buffer(name, theirs)

    def extra_repr(self) -> str:
        return f"{self.layer_name!r}, {self.layer_type}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "compute": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.compute = self.node.layer.torch(TorchScope(self.node, self.blobs))


class TorchScope:
    """What a layer sees while it writes its torch form.

    A layer returns a function of its own module and its bottoms. Tensors that it needs are registered here and read
    from the module when it runs, so that moving, casting or copying the module takes them along. The form may be
    written again over a module that exists already (after unpickling): it must depend on nothing but the layer.

    Attributes
    ----------
    torch, F : module
        ``torch`` and ``torch.nn.functional``.
    phase : int
        The layer's, ``TRAIN`` or ``TEST``.
    bottom_shapes, top_shapes : tuple of shape
        At the network's own batch size: only axes after the first may be relied on.
    """

    def __init__(self, node: Node, blobs: Callable[[], tuple[np.ndarray, ...]], own: LayerModule | None = None) -> None:
        self.torch: Any = torch
        self.F: Any = nn.functional
        self.node = node
        self.phase = node.layer.phase
        self.bottom_shapes = node.bottom_shapes
        self.top_shapes = node.top_shapes
        self._blobs = blobs
        self._own = own

    @property
    def blobs(self) -> tuple[np.ndarray, ...]:
        """The layer's learned blobs, float32."""
        return self._blobs()

    def for_part(self, node: Node) -> TorchScope:
        """Return the scope of a layer that is a part of this one, on the same bottoms; its constants are this one's."""
        return TorchScope(node, tuple, self._own)

    def learn(self, *indices: int) -> None:
        """Register blobs as parameters, ``blob<index>`` of the module; all of them if none is named."""
        if self._own is not None:
            for i in indices or range(len(self.node.blob_shapes)):
                self._own.register_parameter(f"blob{i}", nn.Parameter(_tensor(self.blobs[i])))

    def statistic(self, *indices: int) -> None:
        """Register blobs that the layer itself keeps, not a solver: ``blob<index>`` of the module, without gradient."""
        if self._own is not None:
            for i in indices:
                self._own.register_buffer(f"blob{i}", _tensor(self.blobs[i]))

    def constant(self, name: str, value: np.ndarray) -> None:
        """Register a float32 tensor that is not trained."""
        if self._own is not None:
            self._own.register_buffer(name, _tensor(np.asarray(value, np.float32)))

    def refuse(self, message: str) -> LoweringError:
        """Return the error to raise where no exact form exists."""
        return LoweringError(message, where=self.node.layer.label)


def _tensor(value: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(value, np.float32, order="C"))
