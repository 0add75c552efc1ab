"""What a network can be exported as: how each format is written, and how it is run again from its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from caffezoo.evaluation import export_graphs, export_weights
from caffezoo.evaluation.export_options import Blobs, ExportOptions
from caffezoo.net.graph import Network


@dataclass(frozen=True)
class ExportFormat:
    """A format.

    Attributes
    ----------
    write : callable
        ``(network, path, options)`` writes the file, or into the folder that ``path`` is; returns what to say of it.
    run : callable
        ``(network, path, options, inputs)`` runs what was written on a batch, from its files.
    suffixes : tuple of str
        What the file may end in; empty for a folder.
    companions : tuple of str
        Endings of further files beside it.
    takes_inside : bool
        Whether outputs, batch and preprocessing can be chosen: it holds a graph, not weights alone.
    """

    write: Callable[[Network, Path, ExportOptions], str]
    run: Callable[[Network, Path, ExportOptions, Blobs], Blobs]
    suffixes: tuple[str, ...]
    companions: tuple[str, ...] = ()
    takes_inside: bool = False


FORMATS: Mapping[str, ExportFormat] = {
    "onnx": ExportFormat(export_graphs.write_onnx, export_graphs.run_onnx, (".onnx",), takes_inside=True),
    "openvino": ExportFormat(
        export_graphs.write_openvino, export_graphs.run_openvino, (".xml",), (".bin",), takes_inside=True
    ),
    "torch": ExportFormat(export_graphs.write_torch, export_graphs.run_torch, (".pt2",), takes_inside=True),
    "caffe-plain": ExportFormat(
        export_weights.write_caffe_plain_file, export_weights.run_caffe_plain_file, (".prototxt",), (".caffemodel",)
    ),
    "caffe-hdf5": ExportFormat(
        export_weights.write_caffe_hdf5_file, export_weights.run_caffe_hdf5_file, (".h5", ".hdf5")
    ),
    "coreml-npz": ExportFormat(export_weights.write_coreml_file, export_weights.run_coreml_file, (".npz",)),
    "safetensors": ExportFormat(
        export_weights.write_safetensors_file, export_weights.run_safetensors_file, (".safetensors",)
    ),
}
