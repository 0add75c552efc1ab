"""Weights as named arrays: safetensors, and the arrays that coremltools' NeuralNetworkBuilder takes.

``safetensors``: every blob as ``<layer>.<index>``, in Caffe's shapes, with the type of each layer in the metadata.

``coreml``: of a folded network ``<layer>/W`` and ``<layer>/b``. A convolution's W is [height, width, in / group, out],
an inner product's [out, in], as ``add_convolution`` and ``add_inner_product`` document them (coremltools,
models/neural_network/builder.py); a scale's are its factors and shifts.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffezoo.errors import LoweringError, UsageError, WeightsFileError
from caffezoo.net.graph import Network


def write_safetensors(network: Network, target: Path) -> None:
    """Write every blob (package ``safetensors``).

    Raises
    ------
    UsageError
        The package is not installed.
    WeightsFileError
        The file cannot be written.
    """
    try:
        from safetensors.numpy import save_file
    except ImportError:
        raise UsageError("--safetensors needs the package", hint="pip install 'caffezoo[safetensors]'") from None
    arrays = {
        f"{key}.{i}": np.ascontiguousarray(blob)
        for key, blobs in network.weights.items()
        for i, blob in enumerate(blobs)
    }
    types = {node.key: node.layer.type for node in network.nodes if network.weights.get(node.key)}
    try:
        save_file(arrays, str(target), metadata=types)
    except Exception as error:  # its own error for what the system refuses
        raise WeightsFileError(f"cannot be written: {error}", where=str(target)) from None


def read_safetensors(network: Network, source: Path) -> Network:
    """Return the network with the blobs of a file that :func:`write_safetensors` wrote."""
    from safetensors.numpy import load_file

    arrays = load_file(str(source))
    return network.with_weights(
        {key: [arrays[f"{key}.{i}"] for i in range(len(blobs))] for key, blobs in network.weights.items()}
    )


def write_coreml(network: Network, target: Path) -> None:
    """Write the arrays of a folded network as NumPy's npz, uncompressed.

    Raises
    ------
    LoweringError
        A layer with weights that is neither a product nor a scale.
    WeightsFileError
        The file cannot be written.
    """
    arrays = {
        name: blob
        for key, pair in _coreml(network).items()
        for name, blob in zip((f"{key}/W", f"{key}/b"), pair, strict=True)
    }
    try:
        with target.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
    except OSError as error:
        raise WeightsFileError(f"cannot be written: {error.strerror or error}", where=str(target)) from None


def coreml_equal(network: Network, source: Path) -> bool:
    """Tell whether a file holds just the network's arrays."""
    wanted = _coreml(network)
    with np.load(source, allow_pickle=False) as found:
        names = {f"{key}/{kind}" for key in wanted for kind in "Wb"}
        return set(found.files) == names and all(
            np.array_equal(found[f"{key}/W"], w) and np.array_equal(found[f"{key}/b"], b)
            for key, (w, b) in wanted.items()
        )


def _coreml(network: Network) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    arrays = {}
    for node in network.nodes:
        blobs = network.weights.get(node.key, ())
        if not blobs:
            continue
        kernel = node.layer.kernel(blobs, node.bottom_shapes)
        if kernel is None:
            affine = node.layer.affine(blobs, node.top_shapes[0][1])
            if affine is None:
                raise LoweringError("has weights that Core ML's builder has no arrays for", where=node.layer.label)
            arrays[node.key] = (np.asarray(affine.a, np.float32), np.asarray(affine.b, np.float32))
            continue
        if node.top_shapes[0][2:]:
            weights = np.ascontiguousarray(np.moveaxis(kernel, (0, 1), (-1, -2)))
        else:
            weights = kernel.reshape(len(kernel), -1)
        bias = blobs[1] if len(blobs) > 1 else np.zeros(len(kernel), np.float32)
        arrays[node.key] = (weights, np.asarray(bias).reshape(-1))
    return arrays
