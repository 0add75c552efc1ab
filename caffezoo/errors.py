"""The zoo's error tree.

Every error that a user can cause, or that a file, a server or a runtime can cause, is one of these; anything else that
escapes is a bug of ours. The message is one line that says what is wrong; ``where`` says in which file, line, layer or
URL; ``hint`` says what to do next. The command line prints ``str(error)`` and exits with ``error.exit_status``.

::

    ZooError                        exit 1
    ├── UsageError                  exit 2: a flag, a value or a name that cannot be
    │   └── UnknownNameError            no such network, layer, engine; carries the nearest names
    ├── FormatError                 a file cannot be read
    │   ├── PrototxtError               text NetParameter: syntax, a rule of Caffe broken
    │   ├── WeightsFileError            caffemodel, HDF5, torch file: truncated, foreign, too large
    │   ├── IndexFileError              zoo_index.yaml or a user's index
    │   └── ResultsError                results/*.csv, or a record to be added to them
    ├── NetworkError                a network that cannot be
    │   ├── UnknownLayerError           no class for this layer type
    │   ├── ShapeError                  a layer cannot take these bottoms
    │   ├── BindingError                weights that do not fit the network's layers
    │   └── LoweringError               no exact ONNX / plain-BVLC form for this configuration
    ├── EngineError                 a runtime failed
    │   ├── EngineUnavailableError      not installed, or it cannot start
    │   ├── PrecisionError              it cannot run the asked precision on this device
    │   ├── OutOfMemoryError            its memory does not hold a batch of this size
    │   └── CaffeAbortError             real Caffe stopped on one of its CHECKs
    ├── FetchError                  weights or data could not be had
    │   ├── SourceError                 one source failed
    │   └── VerificationError           bytes arrived, and they are not the right ones
    ├── TrainingError               a training cannot go on: its loss is no number, its state fits no net
    └── DataError                   images, label files, class counts
        └── ImageError                  one image cannot be read
"""

from __future__ import annotations

from collections.abc import Iterable

NEAR = 0.6
"""Ratio of ``difflib`` from which a known name is offered for an unknown one; below it, no guess is the better one."""


def nearest(name: str, known: Iterable[str], *, cutoff: float = NEAR) -> list[str]:
    """Return up to three known names that are most like a name, the nearest first; capitals do not count."""
    from difflib import get_close_matches

    by_fold = {k.casefold(): k for k in known}
    return [by_fold[k] for k in get_close_matches(name.casefold(), by_fold, n=3, cutoff=cutoff)]


class ZooError(Exception):
    """Base of every error of this package.

    Parameters
    ----------
    message : str
        What is wrong, without a full stop.
    where : str, optional
        File, line, layer or URL that it is wrong in.
    hint : str, optional
        What to do next.
    """

    exit_status = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return " ".join((f"{text}; {self.hint}" if self.hint else text).split())


class UsageError(ZooError):
    """A flag, a value or a name that cannot be."""

    exit_status = 2


class UnknownNameError(UsageError):
    """No such network, layer type, engine or output; ``nearest`` holds the closest known names."""

    def __init__(
        self, kind: str, name: str, known: Iterable[str], *, where: str | None = None, cutoff: float = NEAR
    ) -> None:
        self.nearest = nearest(name, known, cutoff=cutoff)
        hint = f"did you mean {', '.join(self.nearest)}?" if self.nearest else None
        super().__init__(f"unknown {kind} '{name}'", where=where, hint=hint)


class FormatError(ZooError):
    """A file cannot be read."""


class PrototxtError(FormatError):
    """A text NetParameter that Caffe would refuse; ``where`` is ``file:line``."""


class WeightsFileError(FormatError):
    """A weights file that is truncated, foreign or too large."""


class IndexFileError(FormatError):
    """An index file that cannot be; ``where`` carries the context stack."""


class ResultsError(FormatError):
    """A results file, a row of it or a record for it that cannot be; ``where`` is ``file:line``."""


class NetworkError(ZooError):
    """A network that cannot be."""


class UnknownLayerError(NetworkError):
    """No class for this layer type."""


class ShapeError(NetworkError):
    """A layer cannot take these bottoms."""


class BindingError(NetworkError):
    """Weights that do not fit the network's layers."""


class LoweringError(NetworkError):
    """No exact ONNX or plain-BVLC form for this configuration of a layer."""


class EngineError(ZooError):
    """A runtime failed."""


class EngineUnavailableError(EngineError):
    """A runtime is not installed, or cannot start."""


class PrecisionError(EngineError):
    """A runtime cannot run the asked precision on this device."""


class OutOfMemoryError(EngineError):
    """The memory of a runtime or its device does not hold a batch of this size."""


class CaffeAbortError(EngineError):
    """Real Caffe stopped on one of its CHECKs; the message is Caffe's own."""


class FetchError(ZooError):
    """Weights or data could not be had."""


class SourceError(FetchError):
    """One source failed."""


class VerificationError(FetchError):
    """Bytes arrived, and they are not the right ones."""


class TrainingError(ZooError):
    """A training cannot start or go on."""


class DataError(ZooError):
    """Images, label files or class counts that cannot be used."""


class ImageError(DataError):
    """One image cannot be read."""
