"""The oldest OpenCV that is allowed decodes and resizes as the one that is here (docs/opencv.md has all versions)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from caffezoo.opencv import installed_packages
from tests.oracle import ROOT

# 4.9 was built for numpy 1, which Python 3.13 has no longer.
OLDEST = "4.9.0.80" if sys.version_info < (3, 13) else "4.10.0.84"

pytestmark = [pytest.mark.slow, pytest.mark.registry]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("opencv_versions", ROOT / "tools" / "opencv_versions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_oldest_decodes_and_resizes_as_this_one(tool: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    tool.write_files(tmp_path / "images")
    [(package, version)] = installed_packages().items()
    places = [tool.installed(package, OLDEST, tmp_path), tool.installed(package, version, tmp_path)]
    (_, old), (_, new) = (tool.probe(place, tmp_path / "images", tmp_path / f"{place.name}.npz") for place in places)
    assert old.keys() == new.keys()
    for what, pixels in new.items():
        assert pixels.size, what
        apart = np.abs(old[what].astype(int) - pixels.astype(int))
        # The protocols resize bilinearly; only cubic resizing was ever found to differ.
        assert apart.max() <= ("cubic" in what), what
