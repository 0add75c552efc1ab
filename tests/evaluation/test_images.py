"""Reading images: what cv2 reads is read as cv2 reads it, all else is one line that names file and reason."""

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffezoo.errors import ImageError
from caffezoo.evaluation.images import MAX_FILE_BYTES, copy_pixels, decode_image, header_size, read_image

RNG = np.random.default_rng(5)
COLOUR = RNG.integers(0, 256, (37, 53, 3), dtype=np.uint8)


def encode(ending, image=COLOUR):
    if not cv2.haveImageWriter(f"x{ending}"):
        pytest.skip(f"OpenCV {cv2.__version__} writes no {ending}")  # GIF: from 4.12 on
    return cv2.imencode(ending, image)[1].tobytes()


def cmyk_jpeg():
    """Four-component JPEG: a grey JPEG's scan cannot be relabelled, so build one from one 8x8 block a component.

    Baseline tables with a single Huffman code each: DC category 0 and AC end-of-block, one bit each, all zeros.
    """

    def segment(marker, body):
        return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body

    table = bytes([1] + [0] * 15 + [0])
    frame = struct.pack(">BHHB", 8, 8, 8, 4) + b"".join(bytes([i, 0x11, 0]) for i in range(1, 5))
    scan = bytes([4]) + b"".join(bytes([i, 0]) for i in range(1, 5)) + bytes([0, 63, 0])
    return (
        b"\xff\xd8"
        + segment(0xDB, bytes([0]) + bytes([1] * 64))
        + segment(0xC0, frame)
        + segment(0xC4, b"\x00" + table)
        + segment(0xC4, b"\x10" + table)
        + segment(0xDA, scan)
        + b"\x00"
        + b"\xff\xd9"
    )


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".gif", ".jp2", ".ppm"])
def test_formats_are_read_as_cv2_reads_them(tmp_path, ending):
    path = tmp_path / f"a b{ending}"
    path.write_bytes(encode(ending))
    image = read_image(path)
    assert image.dtype == np.uint8
    assert np.array_equal(image, cv2.imread(str(path), cv2.IMREAD_COLOR))


@pytest.mark.parametrize(
    "pixels",
    [
        RNG.integers(0, 256, (20, 30), dtype=np.uint8),
        RNG.integers(0, 65536, (20, 30), dtype=np.uint16),
        RNG.integers(0, 65536, (20, 30, 3), dtype=np.uint16),
        RNG.integers(0, 256, (20, 30, 4), dtype=np.uint8),
        RNG.integers(0, 256, (1, 1, 3), dtype=np.uint8),
    ],
    ids=["grey", "grey16", "colour16", "alpha", "1x1"],
)
def test_every_pixel_kind_becomes_8_bit_bgr(tmp_path, pixels):
    path = tmp_path / "image.png"
    path.write_bytes(encode(".png", pixels))
    image = read_image(path)
    assert (image.shape, image.dtype) == ((*pixels.shape[:2], 3), np.uint8)
    eight = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    expected = np.repeat(eight[..., None], 3, -1) if eight.ndim == 2 else eight[..., :3]
    assert np.abs(image.astype(int) - expected).max() <= 1


def test_cmyk_is_read():
    assert decode_image(cmyk_jpeg()).shape == (8, 8, 3)
    assert header_size(cmyk_jpeg()) == (8, 8)


def test_a_20000_px_wide_image_is_read():
    assert decode_image(encode(".png", np.zeros((50, 20000, 3), np.uint8))).shape == (50, 20000, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file, not an image"),
        (b"hello", "not an image that cv2 can decode"),
        (b"\n<!DOCTYPE html><html>", "a text page"),
        (encode(".jpg")[:-800], "a JPEG that is truncated or damaged"),
        (encode(".jpg")[:-2], "a JPEG that is truncated or damaged"),
        (encode(".png")[:900], "a PNG that is truncated or damaged"),
        (encode(".webp")[:100], "a WebP that is truncated or damaged"),
        (b"\xff\xd8", "a JPEG that is truncated"),
    ],
)
def test_what_is_no_whole_image_is_named(tmp_path, capfd, content, message):
    path = tmp_path / "x.JPEG"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as caught:
        read_image(path)
    assert caught.value.where == str(path)
    assert "\n" not in str(caught.value)
    assert "libpng" not in capfd.readouterr().err


def test_paths_that_hold_no_file_are_named(tmp_path):
    with pytest.raises(ImageError, match="no such image"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="a directory, not an image"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match="cannot be read"):
        read_image("nul\0byte")
    sparse = tmp_path / "sparse.jpg"
    with sparse.open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match="bytes are above the limit"):
        read_image(sparse)


def png_bomb(width, height):
    """A valid PNG header in front of nothing: it claims width x height."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_a_bomb_is_refused_by_its_header():
    with pytest.raises(ImageError, match="60000 x 60000 px are above the limit of 67108864 pixels"):
        decode_image(png_bomb(60000, 60000))
    with pytest.raises(ImageError, match="53 x 37 px are above the limit of 100 pixels"):
        decode_image(encode(".tiff"), max_pixels=100)  # no header reader for TIFF: refused after decoding


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".webp", ".gif"])
@settings(max_examples=20, deadline=None)
@given(width=st.integers(1, 300), height=st.integers(1, 300))
def test_headers_give_the_size(ending, width, height):
    assert header_size(encode(ending, np.zeros((height, width, 3), np.uint8))) == (width, height)


WHOLE = [encode(e) for e in (".jpg", ".png", ".bmp", ".webp", ".gif") if cv2.haveImageWriter(f"x{e}")]


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(WHOLE),
    st.integers(0, 400),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
)
def test_damaged_headers_never_crash_the_header_reader(data, keep, changes):
    damaged = bytearray(data[:keep])
    for at, value in changes:
        if at < len(damaged):
            damaged[at] = value
    size = header_size(bytes(damaged))
    assert size is None or min(size) >= 0


@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.booleans(),
    st.sampled_from(["plain", "grey", "exchanged"]),
    st.sampled_from([np.uint8, np.float32]),
)
def test_windows_are_copied_mirrored_and_exchanged_as_numpy_would(size, mirrored, colours, dtype):
    height, width = size
    image = RNG.integers(0, 256, (height + 3, width + 5, 3)).astype(dtype)
    source = image[..., 0].copy() if colours == "grey" else image
    window = source[2 : 2 + height, 1 : 1 + width]
    window = window[:, ::-1] if mirrored else window
    batch = np.zeros((3, height, width, 1 if colours == "grey" else 3), dtype)
    copy_pixels(window, batch[1], exchange=colours == "exchanged")
    expected = window[..., ::-1] if colours == "exchanged" else window.reshape(batch[1].shape)
    assert np.array_equal(batch[1], expected)
    assert not batch[0].any()
    assert not batch[2].any()
