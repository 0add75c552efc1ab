"""``caffezoo export``: write a network for other runtimes, each file run against the source before it is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from caffezoo.cli import recipes
from caffezoo.cli.export_metal import analyse_predictions, export_metal_files
from caffezoo.cli.network_arguments import NetworkArguments, takes_network
from caffezoo.errors import UsageError
from caffezoo.formats.image_size import Size

if TYPE_CHECKING:
    from caffezoo.net.graph import Network


@takes_network()
def export(
    arguments: NetworkArguments,
    onnx: Annotated[Path | None, typer.Option(metavar="F.onnx", help="ONNX of standard operators.")] = None,
    openvino: Annotated[Path | None, typer.Option(metavar="F.xml", help="OpenVINO IR; F.bin beside it.")] = None,
    torch: Annotated[Path | None, typer.Option(metavar="F.pt2", help="torch.export program (needs torch).")] = None,
    caffe_plain: Annotated[
        Path | None,
        typer.Option(metavar="F.prototxt", help="Layers that BVLC's releases have; F.caffemodel beside it."),
    ] = None,
    caffe_hdf5: Annotated[Path | None, typer.Option(metavar="F.h5", help="Weights as Caffe's HDF5.")] = None,
    coreml_npz: Annotated[
        Path | None, typer.Option(metavar="F.npz", help="Folded weights in the orders that coremltools takes.")
    ] = None,
    safetensors: Annotated[Path | None, typer.Option(metavar="F.safetensors", help="Weights by layer.")] = None,
    metal: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folded weights as headerless .dat files for Metal.")
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Hold the layers against .dat files; exit 1 beyond --tolerance."),
    ] = None,
    inception3: Annotated[
        bool, typer.Option("--inception3", help="For .dat files: the 95 names of Inception v3 in MetalCNNWeights.")
    ] = False,
    tolerance: Annotated[float, typer.Option(help="For --compare: largest difference of a value.")] = 1e-5,
    predictions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Read or write three models' five best classes; see docs/export.md."),
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="DIR|sample", help="For --predictions: images.")] = None,
    size: Annotated[
        str | None, typer.Option(metavar="SIDE|HxW", help="Input size in pixels, instead of the declared one.")
    ] = None,
    outputs: Annotated[
        list[str] | None, typer.Option("--output", help="Blob to return (repeat for several); default: net outputs.")
    ] = None,
    keep_batch_norm: Annotated[
        bool, typer.Option("--keep-batch-norm", help="Do not fold batch norm and scale into convolutions.")
    ] = False,
    opset: Annotated[int | None, typer.Option(help="Of ONNX. Default: 17.")] = None,
    batch: Annotated[int | None, typer.Option(help="Fix the batch size; it is free otherwise.")] = None,
    preprocessing: Annotated[
        bool,
        typer.Option("--preprocessing", help="Mean, std and channel order inside: the input is N x H x W x 3 B, G, R."),
    ] = False,
    mean: recipes.MeanOption = None,
    std: recipes.StdOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a file instead.")] = False,
) -> None:
    """Write a network for other runtimes; every file is run against the source on drawn inputs before it is kept.

    Inputs and outputs keep the names and layout of Caffe's blobs (NCHW, BGR, already normalised), with a free batch
    axis, unless flags say otherwise.

    Examples:

    `caffezoo export efficientnet-lite0 --onnx lite0.onnx --preprocessing`

    `caffezoo export deploy.prototxt --weights net.caffemodel --openvino net.xml --safetensors net.safetensors`

    `caffezoo export inception-v3 --weights v3.caffemodel --metal dat/ --inception3`
    """
    from caffezoo.evaluation.export_formats import FORMATS
    from caffezoo.evaluation.export_options import ExportOptions
    from caffezoo.evaluation.exporting import check_target, export_verified

    given = {
        "onnx": onnx,
        "openvino": openvino,
        "torch": torch,
        "caffe-plain": caffe_plain,
        "caffe-hdf5": caffe_hdf5,
        "coreml-npz": coreml_npz,
        "safetensors": safetensors,
    }
    targets = {name: target for name, target in given.items() if target is not None}
    if predictions is not None and predictions.exists() and not targets and metal is None:
        analyse_predictions(predictions, as_json)
        return
    if not targets and metal is None and compare is None and predictions is None:
        raise UsageError("nothing to write", hint="--onnx FILE, --openvino FILE, ...; `caffezoo export -h` shows all")
    if preprocessing and set(targets) - {"onnx", "openvino"}:
        raise UsageError("--preprocessing is for --onnx and --openvino")
    if batch is not None and batch < 1:
        raise UsageError(f"a batch of {batch} is not positive")
    placeholder = ExportOptions((), batch=batch)
    for name, target in targets.items():
        check_target(FORMATS[name], target, placeholder, force=force)
    network = _sized(arguments.open_with_weights(outputs), size, batch)
    asked = recipes.ask(mean=mean, std=std)
    protocol = recipes.input_protocol(arguments, network, asked) if preprocessing else None
    options = ExportOptions(
        tuple(outputs or network.outputs),
        not keep_batch_norm,
        batch,
        opset,
        transform=protocol.transform if protocol else None,
        reverse=protocol is not None and protocol.channel_order == "RGB",
    )
    for name, target in targets.items():
        made = export_verified(network, name, target, options, force=force)
        record = {
            "format": name,
            "files": [str(f) for f in made.files],
            "bytes": made.bytes,
            "difference": made.largest,
        }
        if as_json:
            print(json.dumps(record))
        else:
            print(f"wrote {target} ({made.bytes:,} bytes): {made.what}")
            inputs = "1 drawn input" if made.samples == 1 else f"{made.samples} drawn inputs"
            print(f"  same outputs as the source on {inputs}, to {made.largest:.1g} of the largest value")
    if metal is not None or compare is not None or predictions is not None:
        export_metal_files(arguments, network, metal, compare, inception3, tolerance, predictions, data, asked)


def _sized(network: Network, size: str | None, batch: int | None) -> Network:
    if size is not None:
        network = network.resized(*Size.of(size, "--size"))
    return network if batch is None else network.reshaped(batch=batch)
