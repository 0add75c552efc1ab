"""Paths, bytes, arrays and images of Pillow of one picture are the same pixels."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffezoo.errors import ImageError
from caffezoo.evaluation.image_objects import as_image, is_image, name_of
from caffezoo.evaluation.images import read_image

PICTURE = np.random.default_rng(0).integers(0, 256, (12, 17, 3), np.uint8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), PICTURE)
    return path


def test_a_path_bytes_and_an_array(file: Path) -> None:
    for item in (file, str(file), file.read_bytes(), bytearray(file.read_bytes()), PICTURE):
        np.testing.assert_array_equal(as_image(item), PICTURE)
        assert is_image(item)
    assert name_of(file, 0) == str(file)
    assert name_of(PICTURE, 3) == "image 3"


def test_grey_and_alpha() -> None:
    grey = PICTURE[:, :, 0]
    for item in (grey, grey[..., np.newaxis]):
        np.testing.assert_array_equal(as_image(item), np.stack([grey] * 3, axis=2))
    np.testing.assert_array_equal(as_image(np.dstack([PICTURE, grey])), PICTURE)


def test_an_image_of_pillow(file: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    image = pillow.open(file)
    np.testing.assert_array_equal(as_image(image), PICTURE)
    assert is_image(image)
    assert name_of(image, 0) == str(file)
    assert name_of(image.copy(), 0) == "image 0"
    np.testing.assert_array_equal(as_image(pillow.fromarray(PICTURE[:, :, 0])), as_image(PICTURE[:, :, 0]))
    deep = pillow.fromarray(PICTURE[:, :, 0].astype(np.uint16) << 8)
    np.testing.assert_array_equal(as_image(deep), as_image(PICTURE[:, :, 0]))


def test_pillow_applies_the_orientation_as_cv2_does(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    exif = pillow.Exif()
    exif[0x0112] = 6
    pillow.fromarray(PICTURE[:, :, ::-1]).save(tmp_path / "turned.png", exif=exif)
    with pillow.open(tmp_path / "turned.png") as image:
        np.testing.assert_array_equal(as_image(image), read_image(tmp_path / "turned.png"))
        assert as_image(image).shape == (17, 12, 3)


def test_a_damaged_image_of_pillow(file: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    with pytest.raises(ImageError, match="Pillow cannot decode it"):
        as_image(pillow.open(io.BytesIO(file.read_bytes()[:200])), where="image 7")
    with pytest.raises(ImageError, match="mode F"):
        as_image(pillow.fromarray(np.zeros((3, 3), np.float32)))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "not float32 .* 0..255"),
        (np.zeros((3, 8, 8), np.uint8), "channels stand last"),
        (np.zeros((4, 4, 2), np.uint8), "not uint8"),
        (np.zeros((0, 4, 3), np.uint8), "4 x 0 px"),
        (np.zeros(4, np.uint8), "not uint8"),
        (7, "builtins.int is no image"),
        (None, "NoneType is no image"),
        (b"", "an empty file"),
    ],
    ids=["float", "channels first", "two channels", "empty", "one axis", "number", "nothing", "no bytes"],
)
def test_what_is_no_image(item: object, message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        as_image(item, where="image 4")
    assert str(caught.value).startswith("image 4: ")
