"""The exception of this door: a ``cv2.error`` that scripts catch, with a message of the zoo's kind."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from caffezoo.errors import ZooError
from caffezoo.opencv import load_cv2

F = TypeVar("F", bound=Callable[..., Any])


class CaffeNetError(ZooError, load_cv2().error):  # type: ignore[misc]
    """A net that cannot be read or run; ``where`` is file, line and layer."""


def cv2_errors(function: F) -> F:
    """Let the zoo's errors and those of the file system leave a function as :class:`CaffeNetError`."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except CaffeNetError:
            raise
        except ZooError as error:
            raise CaffeNetError(error.message, where=error.where, hint=error.hint) from error
        except OSError as error:
            raise CaffeNetError(str(error)) from error

    return wrapped  # type: ignore[return-value]
