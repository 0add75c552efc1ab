"""Errors as pycaffe's callers catch them: RuntimeError, with our messages."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from caffezoo.errors import ZooError

P = ParamSpec("P")
T = TypeVar("T")


class CaffeError(RuntimeError):
    """What real Caffe would end the process for, or raise."""


def caffe_errors(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function raise :class:`CaffeError` where it would raise an error of the zoo."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except ZooError as error:
            raise CaffeError(str(error)) from error

    return wrapper
