"""When, on what and by which command something is measured."""

from __future__ import annotations

import platform
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

INSTRUCTIONS = (
    *("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2", "sme"),
)
"""Of x86-64 and of ARM: which decide what bfloat16, float16 and int8 gain."""


def provenance(command: Sequence[str]) -> dict[str, str]:
    """Return what a record needs beside its measurement.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.

    Returns
    -------
    dict
        ``date`` (UTC, now), ``cpu`` (model name) and ``command`` (quoted for a shell, the home folder as ``~``).
    """
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cpu": cpu_name(),
        "command": shlex.join(without_home(word) for word in command),
    }


def cpu_name() -> str:
    """Return the CPU's model name, or its architecture where the system does not say more."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def cpu_instructions() -> tuple[str, ...]:
    """Return which of the instruction sets that decide a network's speed the CPU has, as Linux names them.

    Empty where the system does not say.
    """
    known: set[str] = set()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("flags", "Features"):
                known = set(value.split())
                break
    except OSError:
        pass
    return tuple(name for name in INSTRUCTIONS if name in known)


def without_home(path: str) -> str:
    """Return a path with the home folder as ``~``: what is published should not say whose machine it was."""
    home = str(Path.home())
    return path.replace(f"{home}/", "~/") if len(home) > 1 else path
