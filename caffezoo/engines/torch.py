"""PyTorch, on the CPU or a CUDA device, forward and backward (extra ``torch``)."""

from __future__ import annotations

import warnings
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffezoo.engines.base import Engine, Installation
from caffezoo.engines.program import EVERYTHING, network_to_run
from caffezoo.errors import EngineError, EngineUnavailableError, PrecisionError
from caffezoo.net.graph import Network
from caffezoo.net.transform import Transform

if TYPE_CHECKING:
    from caffezoo.net.torch_module import NetworkModule

PRECISIONS = ("float32", "bfloat16")


class TorchEngine(Engine):
    """See :class:`~caffezoo.engines.base.Engine`.

    The module is built from the layer classes, in channels-last layout. ``bfloat16`` holds weights and blobs in
    bfloat16. Threads are torch's, and those are one number for the whole process.

    Parameters
    ----------
    gpu : int, optional
        Number of a CUDA device; the CPU if not given.
    gradients : bool
        Build the module for :meth:`backward` as well: unfolded, so that every layer of the prototxt is in it.

    Attributes
    ----------
    module : NetworkModule
    """

    name = "torch"
    rounds_every_layer = True

    def __init__(
        self,
        network: Network,
        *,
        batch_size: int | None = None,
        transform: Transform | None = None,
        outputs: Sequence[str] | None = None,
        input_dtype: str = "uint8",
        precision: str = "float32",
        threads: int | None = None,
        profile: bool = False,
        streams: int = 1,
        gpu: int | None = None,
        gradients: bool = False,
    ) -> None:
        self._gpu = gpu
        self._gradients = gradients
        common: dict[str, Any] = {
            "input_dtype": input_dtype,
            "precision": precision,
            "threads": threads,
            "profile": profile,
            "streams": streams,
        }
        super().__init__(network, batch_size=batch_size, transform=transform, outputs=outputs, **common)

    @classmethod
    def probe(cls) -> Installation:
        torch = runtime()
        devices = [f"GPU {i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
        return Installation(torch.__version__, ("CPU", *devices), PRECISIONS)

    def _open(self, precision: str, threads: int | None) -> None:
        torch = runtime()
        if precision not in PRECISIONS:
            raise PrecisionError(f"it runs {' and '.join(PRECISIONS)} here, not {precision}", where="engine torch")
        from caffezoo.net.torch_module import to_torch

        self.version = torch.__version__
        self._torch = torch
        self._device, self.device = _device(torch, self._gpu)
        self.precision = precision
        self._dtype = getattr(torch, precision)
        if threads is not None:
            torch.set_num_threads(threads)
        self.threads = torch.get_num_threads()
        network = self.network
        if not self._gradients:
            network = network_to_run(network, self.outputs, self.asked_precision)
        self.module: NetworkModule = to_torch(network, outputs=self.outputs).to(
            device=self._device, dtype=self._dtype, memory_format=torch.channels_last
        )
        if self.asked_precision == EVERYTHING:
            round_every_layer(self.module)
        if self.transform is not None:
            line = {"device": self._device, "dtype": torch.float32}
            self._mean = torch.tensor(self.transform.mean_blob[0].transpose(1, 2, 0).copy(), **line)
            self._std = torch.tensor(self.transform.std, **line)

    def tensors(self, feed: Mapping[str, np.ndarray]) -> list[Any]:
        """Return a batch as the module's inputs, on its device."""
        torch = self._torch
        found = []
        for name in self.module.inputs:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The given NumPy array is not writable")
                x = torch.from_numpy(feed[name]).to(self._device)
            if self.transform is not None:
                x = ((x.float() - self._mean) / self._std).permute(0, 3, 1, 2)
            elif x.dim() == 4:
                x = x.contiguous(memory_format=torch.channels_last)
            found.append(x.to(self._dtype))
        return found

    def synchronize(self) -> None:
        """Wait until a CUDA device has done what it was asked."""
        if self._gpu is not None:
            self._torch.cuda.synchronize(self._device)

    def _part(self, network: Network) -> Network:
        return network if self._gradients else super()._part(network)

    def _infer(self, feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            with self._torch.inference_mode():
                found = self.module(*self.tensors(feed))
                return {name: np.array(x.float().cpu().numpy()) for name, x in found.items()}
        except RuntimeError as error:
            raise EngineError(str(error).splitlines()[0][:300], where="engine torch") from None

    def _close(self) -> None:
        del self.module
        if self._gpu is not None:
            self._torch.cuda.empty_cache()


def round_every_layer(module: NetworkModule, but: Container[str] = ()) -> None:
    """Let a float32 module compute as float16 does that is stored between layers: inputs of the network, parameters,
    statistics and the tops of every layer are rounded, sums inside a layer are not.

    Parameters
    ----------
    module : NetworkModule
        Changed in place.
    but : container of str
        Layer types that stay in float32, parameters and tops.
    """
    torch = runtime()
    for layer in module.layers:
        if layer.layer_type in but:
            continue
        with torch.no_grad():
            for tensor in (*layer.parameters(), *layer.buffers()):
                tensor.copy_(tensor.half())
        layer.register_forward_pre_hook(_rounded_bottoms)
        layer.register_forward_hook(_rounded_tops)


def _rounded_bottoms(_: Any, bottoms: Any) -> Any:
    return tuple(x.half().to(x.dtype) for x in bottoms)


def _rounded_tops(_: Any, __: Any, tops: Any) -> Any:
    return [x.half().to(x.dtype) for x in tops]


def runtime() -> Any:
    """Return the module torch.

    Raises
    ------
    EngineUnavailableError
        It is not installed, or does not start.
    """
    try:
        import torch
    except (ImportError, OSError) as error:
        reason = "PyTorch is not installed" if isinstance(error, ModuleNotFoundError) else f"it does not start: {error}"
        raise EngineUnavailableError(reason, where="engine torch", hint="pip install 'caffezoo[torch]'") from None
    return torch


def _device(torch: Any, gpu: int | None) -> tuple[Any, str]:
    """Return torch's device and what it is called.

    Raises
    ------
    EngineUnavailableError
        If there is no such GPU.
    """
    if gpu is None:
        return torch.device("cpu"), "CPU"
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not 0 <= gpu < count:
        found = f"it finds {count} CUDA device(s)" if count else f"torch {torch.__version__} finds no CUDA device"
        raise EngineUnavailableError(f"no GPU {gpu}: {found}", where="engine torch", hint="leave --gpu out for the CPU")
    return torch.device("cuda", gpu), f"GPU {gpu} ({torch.cuda.get_device_name(gpu)})"
