"""A network written into Caffe's pair of files: prototxt and caffemodel."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from caffezoo.errors import UsageError
from caffezoo.formats.caffemodel_writer import made_folder, replacing, write_caffemodel
from caffezoo.formats.prototxt import write_prototxt
from caffezoo.net.graph import Network
from caffezoo.net.plain import as_deploy


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
    made_folder(prototxt.parent)
    net = as_deploy(network)
    with replacing(str(prototxt)) as temporary:  # in place only where the weights are: an earlier pair stays a pair
        temporary.write_text(write_prototxt(net), "utf-8")
        write_caffemodel(caffemodel, net, network.weights)
    return prototxt, caffemodel
