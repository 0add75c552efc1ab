from pathlib import Path

import pytest

from caffezoo.model.loading import load
from caffezoo.model.model import Model
from tests.model.files import write_example

SIGHT = {"mean": (104.0, 117.0, 123.0), "std": (58.0, 57.0, 57.0), "base_size": 40}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of :mod:`tests.model.files`; nobody writes into them."""
    return write_example(tmp_path_factory.mktemp("example"))


@pytest.fixture
def model(folder: Path) -> Model:
    """The example network, which sees images at 40 px cut to 32."""
    return load(folder / "deploy.prototxt", folder / "net.caffemodel", threads=1, **SIGHT)
