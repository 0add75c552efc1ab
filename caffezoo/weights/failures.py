"""Why weights could not be had: the kinds of :class:`~caffezoo.errors.FetchError` that only this room tells apart.

::

    FetchError
    ├── CacheError              the cache cannot be written: another source would not help
    ├── NoSourceError           every source failed; carries each one's reason
    ├── SourceError
    │   ├── BusyError               another attempt may work: no answer, 429, 5xx, a body that broke off
    │   ├── QuotaError              too many have downloaded the file today
    │   ├── SignInError             the file is not public
    │   ├── GoneError               the file is no longer there
    │   ├── ByHandError             only a person with a browser can get it
    │   ├── OfflineError            it would need the network, which must not be used
    │   └── UnsuitableError         what lies there is not this network's weights, or cannot be made so
    └── VerificationError
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from caffezoo.errors import FetchError, SourceError, VerificationError, ZooError


class CacheError(FetchError):
    """The cache cannot be written; trying another source would not help."""


class BusyError(SourceError):
    """Another attempt may work.

    Parameters
    ----------
    retry_after_s : float, optional
        How long the server asks to be left alone, seconds.
    """

    def __init__(
        self, message: str, *, where: str | None = None, hint: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.retry_after_s = retry_after_s


class QuotaError(SourceError):
    """Too many have downloaded the file; it may work another day."""


class SignInError(SourceError):
    """The file is not public."""


class GoneError(SourceError):
    """The file is no longer there."""


class ByHandError(SourceError):
    """Only a person with a browser can get it."""


class OfflineError(SourceError):
    """It would need the network, which must not be used."""


class UnsuitableError(SourceError):
    """What lies there is not this network's weights, or cannot be made so."""


_KINDS: tuple[tuple[type[ZooError], str], ...] = (
    (CacheError, "cache"),
    (BusyError, "unreachable"),
    (QuotaError, "quota"),
    (SignInError, "sign-in"),
    (GoneError, "gone"),
    (ByHandError, "by-hand"),
    (OfflineError, "offline"),
    (UnsuitableError, "unsuitable"),
    (VerificationError, "wrong-bytes"),
    (SourceError, "refused"),
)


def kind_of(error: ZooError) -> str:
    """One word for what went wrong, for programs; ``wrong-file`` where the content is not the network's."""
    return next((kind for type_, kind in _KINDS if isinstance(error, type_)), "wrong-file")


@dataclass(frozen=True)
class SourceFailure:
    """Why one source did not deliver.

    Attributes
    ----------
    number : int
        Its place in the index, from 1: what ``--source N`` takes.
    place : str
        Where, in a few words and without secrets.
    kind : str
        See :func:`kind_of`.
    reason : str
        One line.
    attempts : int
        How often it was tried; 0 where it was passed over.
    """

    number: int
    place: str
    kind: str
    reason: str
    attempts: int

    def __str__(self) -> str:
        text = self.reason if self.reason.startswith(self.place) else f"{self.place}: {self.reason}"
        return f"{text} ({self.attempts} attempts)" if self.attempts > 1 else text


class NoSourceError(FetchError):
    """Every source failed; ``failures`` holds each one's reason, in the order in which they were tried."""

    def __init__(self, message: str, failures: Sequence[SourceFailure], *, where: str, hint: str) -> None:
        told = f"{message}: {', '.join(str(f) for f in failures)}" if failures else message
        super().__init__(told, where=where, hint=hint)
        self.headline = f"{where}: {message}"
        self.failures = tuple(failures)
