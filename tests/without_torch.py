"""A pytest plugin (``-p tests.without_torch``): a machine without PyTorch, as the locked requirements leave it."""

from __future__ import annotations

import sys

sys.modules["torch"] = None  # type: ignore[assignment]
