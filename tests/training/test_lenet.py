"""LeNet of docs/examples on scikit-learn's digits, in real Caffe and here: the same curve."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.oracle import ROOT, oracle_python, requires_caffe

pytest.importorskip("torch", reason="training needs PyTorch (extra torch)")
pytest.importorskip("lmdb")
pytest.importorskip("matplotlib")

from caffezoo.training.imageset import Conversion, class_folders, convert_imageset


@requires_caffe
def test_lenet_learns_with_the_same_losses_as_in_real_caffe(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = [rng.integers(0, 2, (7, 7)).astype(np.uint8) * 200 for _ in range(10)]
    for label, shape in enumerate(shapes):
        (tmp_path / "images" / str(label)).mkdir(parents=True)
        for i in range(8):
            image = np.clip(shape + rng.normal(20, 15, (7, 7)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "images" / str(label) / f"{i}.png"), image)
    images = class_folders(str(tmp_path / "images"))[0]
    how = Conversion(resize=(28, 28), gray=True, shuffle=True)
    convert_imageset(str(tmp_path / "images"), images, str(tmp_path / "digits_lmdb"), how)
    for name in ("lenet_train_val.prototxt", "lenet_solver.prototxt"):
        shutil.copy(ROOT / "docs" / "examples" / name, tmp_path)
    solver = tmp_path / "lenet_solver.prototxt"
    text = solver.read_text().replace("max_iter: 300", "max_iter: 20").replace("test_iter: 28", "test_iter: 1")
    solver.write_text(text.replace("test_interval: 100", "test_interval: 10"))
    tool = [sys.executable, str(ROOT / "tools" / "compare_training.py"), "lenet_solver.prototxt"]
    command = [*tool, "--caffe-python", str(oracle_python()), "--output", "curves.svg"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "curves.svg").stat().st_size > 1000
