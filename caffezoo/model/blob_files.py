"""Blobs in files: a npy each in a folder, or one npz."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from caffezoo.errors import UsageError
from caffezoo.evaluation.identity import file_name
from caffezoo.formats.caffemodel_writer import replacing


def write_blobs(blobs: Mapping[str, NDArray[np.float32]], output: Path, images: Sequence[str] = ()) -> dict[str, Path]:
    """Write blobs, each file replaced whole at its end, and return the files by blob.

    Parameters
    ----------
    blobs : mapping of str to array
    output : Path
        Ending in ``.npz``: one archive, whose arrays have the blobs' names. Else a folder, made where it is missing.
    images : sequence of str
        Names of what the rows are of: ``images.txt`` in the folder.

    Raises
    ------
    UsageError
        The archive's folder is not there, or the folder is a file.
    WeightsFileError
        It cannot be written.
    """
    if output.suffix.lower() == ".npz":
        if not output.parent.is_dir():
            raise UsageError("no such folder", where=str(output.parent))
        # Not numpy.savez: it takes the arrays' names as its own arguments' (a blob may be named `file`).
        with replacing(str(output)) as temporary, zipfile.ZipFile(temporary, "w", allowZip64=True) as archive:
            for blob, values in blobs.items():
                with archive.open(f"{blob}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.ascontiguousarray(values), allow_pickle=False)
        return dict.fromkeys(blobs, output)
    if output.exists() and not output.is_dir():
        raise UsageError("is a file, not a folder", where=str(output), hint="an archive ends in .npz")
    output.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    for blob, values in blobs.items():
        name = file_name(blob)
        place = output / f"{name}.npy"
        while place in files.values():
            name += "_"
            place = output / f"{name}.npy"
        files[blob] = place
        with replacing(str(place)) as temporary, temporary.open("wb") as file:
            np.save(file, values, allow_pickle=False)
    if images:
        with replacing(str(output / "images.txt")) as temporary:
            temporary.write_text("".join(f"{' '.join(image.splitlines())}\n" for image in images), "utf-8")
    return files
