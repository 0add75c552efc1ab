"""Where the zoo's own files are: in a checkout beside the package, in an installed wheel in ``caffezoo/_data``.

``setup.py`` copies the index, the prototxts, the label files and the results into ``caffezoo/_data`` of a build; a
checkout (also one that is installed with ``pip install -e``) reads them where they lie, at the root.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from caffezoo.errors import IndexFileError

INDEX_NAME = "zoo_index.yaml"
MAX_INDEX_BYTES = 8 * 2**20


def data_root() -> Path:
    """The folder that holds ``zoo_index.yaml``, ``prototxt/``, ``cls/`` and ``results/``.

    Raises
    ------
    IndexFileError
        Neither a checkout nor a complete install.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_data", package.parent):
        if (folder / INDEX_NAME).is_file():
            return folder
    raise IndexFileError(f"{INDEX_NAME} is not there", where=str(package), hint="install caffezoo again")


def data_path(relative: str, *, wanted_by: str | None = None) -> Path:
    """Path of one of the zoo's own files.

    Parameters
    ----------
    relative : str
        Path with forward slashes, such as ``prototxt/dpn/deploy_dpn-92.prototxt``; an absolute path is taken as it is.
    wanted_by : str, optional
        Who asks, for the message.

    Raises
    ------
    IndexFileError
        No such file, or a relative path that leaves the zoo.
    """
    path = Path(relative)
    if not path.is_absolute():
        if ".." in PurePosixPath(relative).parts:
            raise IndexFileError(f"'{relative}' leaves the zoo's folder", where=wanted_by)
        path = data_root() / relative
    if not path.is_file():
        raise IndexFileError(f"no such file: {path}", where=wanted_by, hint="`caffezoo prototxt` writes the prototxts")
    return path


def cache_dir() -> Path:
    """The folder of all that can be had again: ``CAFFEZOO_CACHE``, or ``~/.cache/caffezoo``; it may not exist yet."""
    return Path(os.environ.get("CAFFEZOO_CACHE") or "~/.cache/caffezoo").expanduser()
