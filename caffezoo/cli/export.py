"""``caffezoo export``: write a network as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from caffezoo.cli.network_arguments import NetworkArguments, takes_network
from caffezoo.errors import UsageError
from caffezoo.formats.image_size import Size


@takes_network()
def export(
    arguments: NetworkArguments,
    onnx: Annotated[Path, typer.Option(help="Write the ONNX model here.")],
    size: Annotated[
        str | None, typer.Option(metavar="SIDE|HxW", help="Input size in pixels, instead of the declared one.")
    ] = None,
    outputs: Annotated[
        list[str] | None, typer.Option("--output", help="Blob to return (repeat for several); default: net outputs.")
    ] = None,
    keep_batch_norm: Annotated[
        bool, typer.Option("--keep-batch-norm", help="Do not fold batch norm and scale into convolutions.")
    ] = False,
) -> None:
    """Write a network as an ONNX model of standard operators, with a free batch axis.

    Inputs and outputs keep the names and layout of Caffe's blobs (NCHW, BGR, already normalised).

    Examples:

    `caffezoo export efficientnet-lite0 --onnx lite0.onnx`

    `caffezoo export deploy.prototxt --weights net.caffemodel --onnx net.onnx --size 320`
    """
    from caffezoo.net.files import write_onnx

    if not onnx.parent.is_dir():
        raise UsageError(f"no such folder: {onnx.parent}")
    network = arguments.open_with_weights()
    if size is not None:
        network = network.resized(*Size.of(size, "--size"))
    model = write_onnx(network, onnx, outputs=outputs, fold=not keep_batch_norm)
    print(
        f"wrote {onnx} ({onnx.stat().st_size:,} bytes): {len(model.graph.node)} operators, opset "
        f"{model.opset_import[0].version}, onnx checker passed"
    )
