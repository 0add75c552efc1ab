"""A network written into files: Caffe's pair of prototxt and caffemodel, or ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from caffezoo.errors import UsageError
from caffezoo.formats.caffemodel_writer import replacing, write_caffemodel
from caffezoo.formats.prototxt import write_prototxt
from caffezoo.net.graph import Network
from caffezoo.net.plain import as_deploy

if TYPE_CHECKING:
    import onnx


def write_network(network: Network, stem: str | PathLike[str], *, replace: bool = True) -> tuple[Path, Path]:
    """Write ``stem.prototxt`` and ``stem.caffemodel``, inputs as Input layers of the shapes that the network has.

    Parameters
    ----------
    network : Network
        With weights.
    stem : path
        Missing folders are made.
    replace : bool
        Whether files that are there may be replaced.

    Returns
    -------
    prototxt, caffemodel : Path

    Raises
    ------
    UsageError
        A file is there and must not be replaced.
    WeightsFileError
        The files cannot be written.
    """
    prototxt, caffemodel = Path(f"{Path(stem)}.prototxt"), Path(f"{Path(stem)}.caffemodel")
    for file in (prototxt, caffemodel):
        if file.exists() and not replace:
            raise UsageError("is there already", where=str(file), hint="--force replaces it")
    prototxt.parent.mkdir(parents=True, exist_ok=True)
    net = as_deploy(network)
    write_caffemodel(caffemodel, net, network.weights)
    with replacing(str(prototxt)) as temporary:
        temporary.write_text(write_prototxt(net), "utf-8")
    return prototxt, caffemodel


def write_onnx(
    network: Network, path: str | PathLike[str], *, outputs: Sequence[str] | None = None, fold: bool = True
) -> onnx.ModelProto:
    """Write a network as an ONNX model that onnx's checker has passed, and return it.

    Parameters
    ----------
    network : Network
        With weights.
    path : path
        Replaced whole at the end.
    outputs : sequence of str, optional
        Blobs to return; the network's outputs if not given.
    fold : bool
        Take batch norm and scale into convolutions.

    Raises
    ------
    UsageError
        The folder is not there.
    LoweringError
        A layer has no exact form of standard operators.
    """
    import onnx

    from caffezoo.net.folding import fold as fold_network
    from caffezoo.net.onnx_graph import to_onnx

    target = Path(path)
    if not target.parent.is_dir():
        raise UsageError(f"no such folder: {target.parent}")
    model = to_onnx(fold_network(network).network if fold else network, outputs=outputs)
    if model.ByteSize() < 2**31:  # the checker serialises the model, which protobuf limits to 2 GiB
        onnx.checker.check_model(model, full_check=True)
    partial = target.with_name(target.name + ".part")
    onnx.save(model, partial)
    partial.replace(target)
    return model
