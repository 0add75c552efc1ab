"""Formats that hold weights, with a prototxt or without: Caffe's own, safetensors, Core ML's arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from caffezoo.engines.freed_memory import give_back_memory
from caffezoo.errors import EngineError
from caffezoo.evaluation.export_options import Blobs, ExportOptions, is_large, run_network
from caffezoo.net.folding import fold
from caffezoo.net.graph import Network


def write_caffe_plain_file(network: Network, target: Path, options: ExportOptions) -> str:
    """Write the file; return what to say of it."""
    from caffezoo.formats.caffemodel_writer import write_caffemodel
    from caffezoo.formats.prototxt import write_prototxt
    from caffezoo.net.plain import to_plain

    plain = to_plain(fold(network).network if options.folded else network)
    write_caffemodel(target.with_suffix(".caffemodel"), plain.prototxt.net, plain.weights)
    target.write_text(write_prototxt(plain.prototxt.net), "utf-8")
    return f"{len(plain.nodes)} layers of BVLC Caffe, and {target.with_suffix('.caffemodel').name}"


def run_caffe_plain_file(_: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
    """Run what was written on a batch, from its file."""
    network = Network.load(source).with_weights_file(source.with_suffix(".caffemodel"))
    return run_network(network, options.outputs, inputs)


def write_caffe_hdf5_file(network: Network, target: Path, options: ExportOptions) -> str:
    """Write the file; return what to say of it."""
    from caffezoo.formats.hdf5 import write_hdf5

    write_hdf5(target, network.prototxt.net, network.weights)
    return f"{len(network.weights)} layers, as Caffe's snapshot_format HDF5"


def run_caffe_hdf5_file(network: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
    """Run what was written on a batch, from its file."""
    if is_large(source):
        _check_same(network, network.with_weights_file(source), source)
        give_back_memory()
        return run_network(network, options.outputs, inputs)
    return run_network(network.with_weights_file(source), options.outputs, inputs)


def write_safetensors_file(network: Network, target: Path, options: ExportOptions) -> str:
    """Write the file; return what to say of it."""
    from caffezoo.net.exports.arrays import write_safetensors

    write_safetensors(network, target)
    return f"{sum(map(len, network.weights.values()))} tensors, <layer>.<index>"


def run_safetensors_file(network: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
    """Run what was written on a batch, from its file."""
    from caffezoo.net.exports.arrays import read_safetensors

    if is_large(source):
        _check_same(network, read_safetensors(network, source), source)
        give_back_memory()
        return run_network(network, options.outputs, inputs)
    return run_network(read_safetensors(network, source), options.outputs, inputs)


def _check_same(network: Network, read: Network, source: Path) -> None:
    """Raise if a file's blobs are not the network's."""
    for key in network.weights:
        if not all(map(np.array_equal, network.weights[key], read.weights[key])):
            raise EngineError("holds other weights than were written", where=str(source))


def write_coreml_file(network: Network, target: Path, options: ExportOptions) -> str:
    """Write the file; return what to say of it."""
    from caffezoo.net.exports.arrays import write_coreml

    write_coreml(fold(network).network, target)
    return "arrays <layer>/W and <layer>/b of the folded network, in coremltools' orders"


def run_coreml_file(network: Network, source: Path, options: ExportOptions, inputs: Blobs) -> Blobs:
    """Run what was written on a batch, from its file."""
    from caffezoo.net.exports.arrays import coreml_equal

    folded = fold(network).network
    if not coreml_equal(folded, source):
        raise EngineError("holds other arrays than were written", where=str(source))
    return run_network(folded, options.outputs, inputs)
