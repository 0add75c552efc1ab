"""Decoders and resizers: what stands for cv2 is cv2's pixels, and the others are what their names say."""

import io

import cv2
import numpy as np
import pytest

from caffezoo.errors import ImageError, UnknownNameError
from caffezoo.evaluation import decoders
from caffezoo.evaluation.decoders import PROOFS, decode, decoder_name
from caffezoo.evaluation.resizers import resize_pixels


def jpeg(seed, *settings, grey=False):
    rng = np.random.default_rng(seed)
    image = cv2.resize(rng.integers(0, 255, (9, 11, 3), dtype=np.uint8), (61, 47), interpolation=cv2.INTER_CUBIC)
    image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if grey else image
    return cv2.imencode(".jpg", image, settings)[1].tobytes()


KINDS = {
    "plain": {},
    "progressive": {"settings": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)},
    "444": {"settings": (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)},
    "grey": {"grey": True},
}


@pytest.fixture(autouse=True)
def no_proofs(monkeypatch):
    monkeypatch.setattr(decoders, "_proofs", {})


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_proven_equal_stays_equal(kind):
    pytest.importorskip("simplejpeg")
    how = KINDS[kind]
    for seed in range(3 * PROOFS):
        data = jpeg(seed, *how.get("settings", ()), grey=how.get("grey", False))
        np.testing.assert_array_equal(decode(data), cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    (count,) = decoders._proofs.values()
    assert count == PROOFS


def test_a_kind_that_differs_once_is_left_to_opencv(monkeypatch):
    pytest.importorskip("simplejpeg")
    asked = []

    monkeypatch.setattr(decoders, "_fast", lambda library, data: (asked.append(1), np.zeros((47, 61, 3), np.uint8))[1])
    for seed in range(5):
        data = jpeg(seed)
        np.testing.assert_array_equal(decode(data), cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))
    assert len(asked) == 1


@pytest.mark.parametrize("decoder", ["cv2", "pillow", "simplejpeg", "yuv420"])
def test_damage_and_other_files(decoder):
    pytest.importorskip("PIL")
    whole = jpeg(1)
    for data in (b"", b"<html>", whole[:300], whole[: len(whole) // 2]):
        with pytest.raises(ImageError):
            decode(data, decoder)
    png = cv2.imencode(".png", np.full((4, 6, 3), (1, 2, 3), np.uint8))[1].tobytes()
    found = decode(png, decoder)
    assert (found.shape, found.dtype) == ((4, 6, 3), np.uint8)
    if decoder != "yuv420":
        assert found[0, 0].tolist() == [1, 2, 3]
    assert decode(png, decoder, grey=True).shape == (4, 6)


def test_pillow_decodes_as_pillow_does():
    pillow = pytest.importorskip("PIL.Image")
    data = jpeg(4)
    wanted = np.asarray(pillow.open(io.BytesIO(data)).convert("RGB"))[:, :, ::-1]
    np.testing.assert_array_equal(decode(data, "pillow-1.0"), wanted)


def test_yuv_halves_the_colour_and_keeps_odd_sides():
    data = jpeg(5)
    plain, found = decode(data), decode(data, "yuv420")
    assert found.shape == plain.shape == (47, 61, 3)
    luma = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).astype(int) for image in (plain, found)]
    assert 0 < np.abs(luma[0] - luma[1]).mean() < 8
    grey = cv2.imencode(".png", np.full((6, 6, 3), 128, np.uint8))[1].tobytes()
    assert np.abs(decode(grey, "yuv420").astype(int) - 128).max() <= 2


def test_names_have_versions():
    assert decoder_name("cv2") == f"cv2-{cv2.__version__}"
    assert decoder_name("yuv420") == f"yuv420-{cv2.__version__}"
    pytest.importorskip("PIL")
    assert decoder_name("pillow").startswith("pillow-")
    with pytest.raises(UnknownNameError, match="unknown decoder 'pil'"):
        decoder_name("pil")
    with pytest.raises(UnknownNameError):
        decode(b"x", "pil")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_resizers_are_their_libraries(dtype):
    pillow = pytest.importorskip("PIL.Image")
    image = decode(jpeg(6)).astype(dtype)
    area = cv2.resize(image, (20, 30), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(resize_pixels(image, 30, 20, "cv2-area"), area)
    linear = cv2.resize(image, (20, 30), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(resize_pixels(image, 30, 20, "cv2-bilinear"), linear)
    for name, how in (("bilinear", pillow.Resampling.BILINEAR), ("bicubic", pillow.Resampling.BICUBIC)):
        found = resize_pixels(image, 30, 20, f"pillow-{name}")
        wanted = np.asarray(pillow.fromarray(image.astype(np.uint8)).resize((20, 30), how))
        near = np.clip(found.astype(float), 0, 255)  # floats overshoot where bytes are cut off
        np.testing.assert_allclose(near, wanted.astype(float), atol=1 if dtype == np.float32 else 0)
        assert found.dtype == dtype
    with pytest.raises(UnknownNameError, match="unknown resizer"):
        resize_pixels(image, 3, 3, "lanczos")
