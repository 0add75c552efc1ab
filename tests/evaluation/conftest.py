"""Pictures on disk, and a small real classifier that runs in numpy: what the pipeline is tested with."""

import cv2
import numpy as np
import pytest


class ColourEngine:
    """A linear softmax classifier of the mean colour and the horizontal colour slope of a crop.

    It is sensitive to where a crop lies and to mirroring, so that wrong views, weights or orders show in its scores.
    """

    name, version, device, precision, threads = "numpy", np.__version__, "CPU", "float32", 1

    def __init__(self, classes=7, batch_size=4, seed=0):
        rng = np.random.default_rng(seed)
        self.weights = rng.normal(0, 3, (6, classes))
        self.batch_size = batch_size
        self.batches = []

    def run(self, batch):
        assert batch.flags.c_contiguous
        assert 1 <= len(batch) <= self.batch_size
        self.batches.append((len(batch), batch.dtype))
        x = batch.astype(np.float64) / 255
        slope = np.linspace(-1, 1, x.shape[2])[None, None, :, None]
        features = np.concatenate([x.mean((1, 2)), (x * slope).mean((1, 2)) * 10], axis=1)
        logits = features @ self.weights
        powers = np.exp(logits - logits.max(1, keepdims=True))
        return {"prob": (powers / powers.sum(1, keepdims=True)).astype(np.float32)}

    def close(self):
        pass


@pytest.fixture
def colour_engine():
    return ColourEngine


@pytest.fixture
def pictures(tmp_path):
    """Eleven JPEGs of different sizes and colours; the paths in order."""
    rng = np.random.default_rng(1)
    paths = []
    for i in range(11):
        height, width = (int(side) for side in rng.integers(40, 90, 2))
        y, x = np.mgrid[:height, :width]
        image = np.stack([x * rng.uniform(0, 3) + y * rng.uniform(0, 2) + rng.uniform(0, 80) for _ in range(3)], -1)
        path = tmp_path / f"picture {i:02}.jpg"
        path.write_bytes(cv2.imencode(".jpg", np.clip(image, 0, 255).astype(np.uint8))[1].tobytes())
        paths.append(str(path))
    return paths
