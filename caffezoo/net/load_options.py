"""How a prototxt is read: which of its layers, and the shapes that it leaves open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

from caffezoo.errors import UnknownNameError, UsageError
from caffezoo.formats import caffe_pb2 as pb
from caffezoo.formats.phases import filter_net
from caffezoo.formats.prototxt import read_prototxt
from caffezoo.net.graph import Network
from caffezoo.net.layer import Shape
from caffezoo.net.node import MAX_BLOB_VALUES
from caffezoo.net.outline import Outline, outline

PHASES = ("TEST", "TRAIN")


@dataclass(frozen=True)
class LoadOptions:
    """Caffe's NetState, and shapes of inputs; hashable, and the same for everything that opens one file.

    Attributes
    ----------
    phase : {"TEST", "TRAIN"}
    level : int
    stages : tuple of str
        Beside those of the file's own ``state``.
    shapes : tuple of (str, shape)
        Shapes of inputs by name: instead of the file's, and where it gives none (a data layer's database is not here).

    lenient : bool
        Pass over fields that Caffe does not have, with a note.

    Raises
    ------
    UsageError
        A phase or a shape that cannot be.
    """

    phase: str = "TEST"
    level: int = 0
    stages: tuple[str, ...] = ()
    shapes: tuple[tuple[str, Shape], ...] = ()
    lenient: bool = False

    def __post_init__(self) -> None:
        if self.phase not in PHASES:
            raise UnknownNameError("phase", self.phase, PHASES)
        for name, shape in self.shapes:
            if not all(d > 0 for d in shape):
                raise UsageError(f"shape {list(shape)} of '{name}' has an axis below 1")
            count = 1
            for d in shape:
                count *= d
            if count > MAX_BLOB_VALUES:
                raise UsageError(f"shape {list(shape)} of '{name}' holds more than {MAX_BLOB_VALUES} values")

    @classmethod
    def of(cls, shapes: Mapping[str, Sequence[int]] | None = None, **state: Any) -> LoadOptions:
        """Return options with shapes from a mapping."""
        return cls(shapes=tuple((name, tuple(map(int, shape))) for name, shape in (shapes or {}).items()), **state)

    def load(
        self,
        prototxt: str | PathLike[str],
        weights: str | PathLike[str] | None = None,
        *,
        outputs: Sequence[str] | None = None,
    ) -> Network:
        """Read a network; see :meth:`caffezoo.net.graph.Network.load`.

        Raises
        ------
        FormatError, NetworkError
        UnknownNameError
            A shape is given for what is no input, or there is no such output.
        """
        return Network.load(
            prototxt,
            weights,
            inputs=dict(self.shapes),
            phase=pb.Phase.Value(self.phase),
            level=self.level,
            stages=self.stages,
            lenient=self.lenient,
            outputs=outputs,
        )

    def outline(self, prototxt: str | PathLike[str]) -> Outline:
        """Return what is known of a network that is refused for layers of unknown types."""
        state = pb.Phase.Value(self.phase), self.level, self.stages
        return outline(filter_net(read_prototxt(prototxt, lenient=self.lenient), *state), dict(self.shapes))

    def to_json(self) -> dict[str, Any]:
        """Return what is not the default, as plain JSON values."""
        found = {
            "phase": self.phase,
            "level": self.level,
            "stages": list(self.stages),
            "shapes": {name: list(shape) for name, shape in self.shapes},
            "lenient": self.lenient,
        }
        plain = {"phase": "TEST", "level": 0, "stages": [], "shapes": {}, "lenient": False}
        return {key: value for key, value in found.items() if value != plain[key]}


AS_DEPLOYED = LoadOptions()
"""At TEST, with the shapes that the file has."""
