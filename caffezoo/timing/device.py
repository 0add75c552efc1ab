"""What an accelerator's times depend on beside the engine: its driver and libraries."""

from __future__ import annotations

import shutil
import subprocess
import sys

TIMEOUT_S = 20.0


def accelerator_versions(gpu: int | None) -> dict[str, str]:
    """Return versions of the driver, CUDA and cuDNN for a GPU, as far as they can be had; nothing for the CPU."""
    if gpu is None:
        return {}
    found = {}
    program = shutil.which("nvidia-smi")
    if program is not None:
        query = [program, "--query-gpu=driver_version", "--format=csv,noheader", f"--id={gpu}"]
        try:
            done = subprocess.run(query, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            done = None
        if done is not None and done.returncode == 0 and done.stdout.strip():
            found["driver"] = done.stdout.split()[0]
    torch = sys.modules.get("torch")  # named only where it is what runs
    if torch is not None and torch.version.cuda:
        found["cuda"] = str(torch.version.cuda)
        found["cudnn"] = str(torch.backends.cudnn.version())
    return found
