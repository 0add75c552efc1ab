"""Which package indexes this machine uses: what pip is configured with.

A user behind a mirror, a proxy or an own certificate authority has told pip about it once; that holds here too. pip
is asked (``pip config list``), so that all its files and ``PIP_…`` variables count as they count for pip.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

# pip's own order, later ones win (pip docs, "Configuration", precedence). `download` is the command that we stand for.
_SECTIONS = ("global", "download", ":env:")
_ALIASES = {"pypi-url": "index-url", "i": "index-url", "f": "find-links", "timeout": "default-timeout"}


@dataclass(frozen=True)
class PipSettings:
    """pip's settings, as far as they say where files are and how to reach them.

    Attributes
    ----------
    index_urls : tuple of str
        Simple indexes in pip's order, ``index-url`` first; ``file:`` URLs are possible. Empty with ``no-index``.
    find_links : tuple of str
        Folders, ``file:`` URLs or pages of links that are looked at before the indexes.
    cert, client_cert, proxy : str or None
    trusted_hosts : tuple of str
        ``host`` or ``host:port`` whose certificate is not checked.
    timeout_s : float
        pip's default is 15.
    """

    index_urls: tuple[str, ...]
    find_links: tuple[str, ...] = ()
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    timeout_s: float = 15.0


def read_pip_settings() -> PipSettings:
    """Ask this Python's pip for its configuration; without a pip, the ``PIP_…`` variables alone count."""
    # -P: a pip.py in the working directory is not pip.
    command = [sys.executable, "-P", "-m", "pip", "config", "list"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return settings_of(_environment())
    return settings_of(parse_config_list(ran.stdout))


def parse_config_list(text: str) -> dict[str, str]:
    """Parse the lines ``section.key='value'`` of ``pip config list``; the section that wins in pip wins here."""
    by_section: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in text.splitlines():
        name, equals, literal = line.partition("=")
        section, dot, key = name.strip().rpartition(".")
        if not equals or not dot or section not in by_section:
            continue
        try:
            value = ast.literal_eval(literal)
        except (ValueError, SyntaxError):
            continue
        if isinstance(value, str):
            by_section[section][_ALIASES.get(key, key)] = value
    merged: dict[str, str] = {}
    for section in _SECTIONS:
        merged.update(by_section[section])
    return merged


def settings_of(config: Mapping[str, str]) -> PipSettings:
    """Turn pip's option names and values into settings; without any index, pypi-simple's own default is meant."""
    from pypi_simple import PYPI_SIMPLE_ENDPOINT

    no_index = config.get("no-index", "").strip().lower() in ("1", "true", "yes", "on", "y", "t")
    main = config.get("index-url", "").strip() or PYPI_SIMPLE_ENDPOINT
    urls = () if no_index else (main, *config.get("extra-index-url", "").split())
    try:
        timeout = float(config.get("default-timeout", "15"))
    except ValueError:
        timeout = 15.0
    return PipSettings(
        index_urls=tuple(dict.fromkeys(urls)),
        find_links=tuple(config.get("find-links", "").split()),
        cert=config.get("cert") or None,
        client_cert=config.get("client-cert") or None,
        proxy=config.get("proxy") or None,
        trusted_hosts=tuple(config.get("trusted-host", "").split()),
        timeout_s=timeout if timeout > 0 else 15.0,
    )


def _environment() -> dict[str, str]:
    found = {k[4:].lower().replace("_", "-"): v for k, v in os.environ.items() if k.startswith("PIP_") and v}
    return {_ALIASES.get(k, k): v for k, v in found.items()}
