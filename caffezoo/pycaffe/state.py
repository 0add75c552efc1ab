"""What ``set_mode_cpu`` and its like set, for the process."""

from __future__ import annotations

from caffezoo.errors import EngineUnavailableError


class State:
    """Mode, device and seed."""

    def __init__(self) -> None:
        self.gpu = False
        self.device = 0
        self.seed: int | None = None
        self._nets = 0

    def next_seed(self) -> int | None:
        """Return a seed for the fillers of one more net; None where no seed is set."""
        if self.seed is None:
            return None
        self._nets += 1
        return self.seed + self._nets - 1


STATE = State()


def set_mode_cpu() -> None:
    """Compute on the CPU, as from the start."""
    STATE.gpu = False


def set_mode_gpu() -> None:
    """Accepted, as scripts ask for it by habit; everything is computed on the CPU here, and said so once."""
    if not STATE.gpu:
        from warnings import warn

        warn("caffezoo.pycaffe computes on the CPU: set_mode_gpu() changes nothing", stacklevel=2)
    STATE.gpu = True


def set_device(device: int) -> None:
    """Note a device; see :func:`set_mode_gpu`.

    Raises
    ------
    EngineUnavailableError
        A negative number.
    """
    if device < 0:
        raise EngineUnavailableError(f"there is no device {device}")
    STATE.device = int(device)


def set_random_seed(seed: int) -> None:
    """Seed fillers, dropout and data of nets that are made afterwards."""
    import torch

    STATE.__init__()  # type: ignore[misc]
    STATE.seed = int(seed)
    torch.manual_seed(int(seed))
