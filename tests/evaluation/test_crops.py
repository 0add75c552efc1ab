"""The crop protocols against a plain form of the original loop: normalised first, in float64, one view at a time."""

import math
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffezoo.errors import ImageError, UsageError
from caffezoo.evaluation.crops import cut_views
from caffezoo.evaluation.protocol import SCALES_144, Protocol, mirrored_crops
from caffezoo.formats.image_size import Size
from caffezoo.formats.preprocessing import MAX_RESIZED_PIXELS, resized_size

MEAN, STD = np.array([103.52, 116.28, 123.675]), np.array([57.375, 57.12, 58.395])
TOLERANCE = 1e-3 * 255 / 57.0


def picture(height, width, seed=0):
    """A smooth picture with noise on top: resizing errors show in both."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [128 + 100 * np.sin(x / (7 + 3 * c) + c) * np.cos(y / (11 - 2 * c)) for c in range(3)]
    return np.clip(np.stack(waves, -1) + rng.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)


def every_view(image, protocol):
    """All views of every scale, by the plain loop."""
    squash = protocol.resize == "squash"
    if protocol.crops == 144 or not protocol.scales:
        scales = protocol.scales or SCALES_144.get(protocol.crop_size.height)
        return plain_views(image, protocol.base_size, protocol.crop_size, protocol.crops, squash, scales)
    bases = [Size(side, side) for side in protocol.scales]
    return [view for base in bases for view in plain_views(image, base, protocol.crop_size, protocol.crops, squash)]


def plain_views(image, base, crop, crops, squash=False, scales=None):
    """All views, normalised float64, one after another; nothing is shared and nothing is weighted."""
    (crop_y, crop_x), (base_y, base_x) = crop, base
    height, width = image.shape[:2]
    if squash:
        first = cv2.resize(image, (base_x, base_y))
    else:
        factor = max(Fraction(base_y, height), Fraction(base_x, width))  # the image covers the base size
        first = cv2.resize(image, (int(width * factor), int(height * factor)))
    normal = (first.astype(np.float64) - MEAN) / STD

    def centre(img):
        y, x = math.floor((img.shape[0] - crop_y) / 2), math.floor((img.shape[1] - crop_x) / 2)
        return img[y : y + crop_y, x : x + crop_x]

    def six(img):
        h, w = img.shape[:2]
        yield img[0:crop_y, 0:crop_x]
        yield img[h - crop_y : h, w - crop_x : w]
        yield img[0:crop_y, w - crop_x : w]
        yield img[h - crop_y : h, 0:crop_x]
        yield centre(img)
        yield cv2.resize(np.ascontiguousarray(img), (crop_x, crop_y))

    if crops == 1:
        return [centre(normal)]
    if crops == 12:
        square = cv2.resize(normal, (base_x, base_y))
        return [*six(square), *six(square[:, ::-1])]
    if crops == 10:
        square = cv2.resize(normal, (base_x, base_y))
        return [*list(six(square))[:5], *list(six(square[:, ::-1]))[:5]]
    if crops != 144:
        across = next(k for k in range(1, 40) if crops in (k * k, 2 * k * k))
        windows = []
        for i in range(across):
            for j in range(across):
                y = int(i * (normal.shape[0] - crop_y) / (across - 1)) if across > 1 else None
                x = int(j * (normal.shape[1] - crop_x) / (across - 1)) if across > 1 else None
                windows.append(centre(normal) if across == 1 else normal[y : y + crop_y, x : x + crop_x])
        return windows if crops == across * across else [*windows, *(w[:, ::-1] for w in windows)]
    found = []
    for size in scales:
        h, w = normal.shape[:2]
        scaled = cv2.resize(normal, (int(w * size / min(h, w)), int(h * size / min(h, w))))
        dy, dx = int((scaled.shape[0] - size) / 2), int((scaled.shape[1] - size) / 2)
        for j in range(3):
            window = scaled[dy * j : dy * j + size, dx * j : dx * j + size]
            assert window.shape[:2] == (size, size)
            found += [*six(window), *six(window[:, ::-1])]
    return found


def check(image, protocol):
    """Every plain view must be one of ours, and ours must carry as much weight as the plain ones that match them."""
    views = cut_views(image, protocol)
    plain = every_view(image, protocol)
    assert len(plain) == protocol.views
    ours = [((v.pixels.astype(np.float64) - MEAN) / STD).ravel() for v in views]
    probes = np.random.default_rng(0).integers(0, ours[0].size, 400)  # enough to find the view; then all is compared
    ours_probed = np.stack([view[probes] for view in ours])
    weights = np.array([v.weight for v in views])
    assert weights.sum() == pytest.approx(1)
    assert all(v.pixels.dtype == protocol.input_dtype for v in views)
    taken = np.zeros(len(views))
    for view in plain:
        distance = np.abs(ours_probed - view.ravel()[probes]).max(axis=1)
        distance[taken + 0.5 / protocol.views > weights] = np.inf  # a view that is used up
        best = int(distance.argmin())
        assert np.abs(ours[best] - view.ravel()).max() < TOLERANCE
        taken[best] += 1 / protocol.views
    np.testing.assert_allclose(taken, weights, atol=1e-9)
    return views


sides = st.integers(1, 90)


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.integers(1, 40), st.integers(0, 23), st.sampled_from([1, 12]), st.booleans(), st.integers(0, 9))
def test_1_and_12_crops_match_the_plain_loop(height, width, crop, margin, crops, squash, seed):
    protocol = Protocol(crop + margin, crop, crops, resize="squash" if squash else "short")
    check(picture(height, width, seed), protocol)


counts = st.sampled_from([1, 2, 4, 8, 9, 10, 12, 16, 18, 25])


@settings(max_examples=120, deadline=None)
@given(sides, sides, st.integers(1, 30), st.integers(0, 23), counts, st.booleans())
def test_grids_and_ten_crops_match_the_plain_loop(height, width, crop, margin, crops, squash):
    protocol = Protocol(crop + margin, crop, crops, resize="squash" if squash else "short")
    check(picture(height, width), protocol)


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.integers(8, 24), st.lists(st.integers(0, 23), min_size=1, max_size=3, unique=True), counts)
def test_scales_match_the_plain_loop(height, width, crop, margins, crops):
    scales = tuple(crop + margin for margin in margins)
    check(picture(height, width), Protocol(min(scales), crop, crops, scales=scales))


@pytest.mark.parametrize("size", [(9, 40), (40, 9), (25, 25)])
def test_other_scales_of_144_crops(size):
    check(picture(*size), Protocol(30, 20, 144, scales=(24, 31)))


@pytest.mark.parametrize("crops", [1, 4, 8, 10, 12, 144])
def test_views_cut_once_are_as_good_as_all(colour_engine, crops):
    """The weighted mean over distinct views is the mean over all, to 1e-6."""
    engine = colour_engine(batch_size=512)
    for size in ((30, 30), (31, 47), (90, 33)):
        image = picture(*size)
        protocol = Protocol(24, 24, crops, scales=(24, 32)) if crops == 144 else Protocol(24, 24, crops)
        views = cut_views(image, protocol)
        scores = engine.run(np.stack([v.pixels for v in views]).astype(np.float32))["prob"].astype(float)
        ours = (scores * np.array([[v.weight] for v in views])).sum(0)
        plain = np.stack([view * STD + MEAN for view in every_view(image, protocol)]).astype(np.float32)
        assert len(views) < len(plain) or crops == 1 or size[0] != size[1]
        np.testing.assert_allclose(ours, engine.run(plain)["prob"].astype(float).mean(0), atol=1e-6)


def test_names_and_mirrors_of_protocols():
    assert Protocol(256, 224, 12).name == "12 crops 256/224"
    assert Protocol(256, 224, 1, scales=(256, 288), resizer="cv2-area").name == "2 crops 256+288/224 cv2-area"
    assert Protocol(256, 224, 144).views == 144
    assert Protocol(256, 256, 1, fully_convolutional=True, resize="squash").name == "fully convolutional 256/256 squash"
    assert [mirrored_crops(n) for n in (1, 4, 9)] == [2, 8, 18]
    for crops in (2, 8, 10, 12, 144):
        with pytest.raises(UsageError, match="hold their mirror images already"):
            mirrored_crops(crops)


@settings(max_examples=60, deadline=None)
@given(*[sides] * 2, *[st.integers(1, 40)] * 2, *[st.integers(0, 9)] * 2, st.sampled_from([1, 12]), st.booleans())
def test_height_and_width_are_two_numbers(height, width, crop_y, crop_x, margin_y, margin_x, crops, squash):
    base = Size(crop_y + margin_y, crop_x + margin_x)
    check(picture(height, width), Protocol(base, Size(crop_y, crop_x), crops, resize="squash" if squash else "short"))


@pytest.mark.parametrize("crop", SCALES_144)
@pytest.mark.parametrize("sides", [(300, 401), (333, 250), (256, 256), (256, 257)])
def test_144_crops_match_the_plain_loop(crop, sides):
    check(picture(*sides), Protocol(max(256, crop), crop, 144))


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 500), st.integers(1, 500))
def test_144_crops_match_the_plain_loop_for_any_sides(height, width):
    if max(height, width) <= 8 * min(height, width):
        check(picture(height, width), Protocol(256, 224, 144))


@pytest.mark.parametrize(
    ("sides", "protocol", "distinct"),
    [
        ((300, 400), Protocol(256, 224, 1), 1),
        ((300, 400), Protocol(256, 224, 12), 12),
        ((300, 400), Protocol(320, 320, 12), 2),
        ((300, 400), Protocol(225, 224, 12), 10),  # int(1 / 2) = 0: the centre is a corner
        ((300, 400), Protocol(256, 224, 144), 144),
        ((300, 300), Protocol(256, 224, 144), 48),
    ],
)
def test_equal_views_are_cut_once(sides, protocol, distinct):
    assert len(check(picture(*sides), protocol)) == distinct


def test_the_centre_of_the_mirror_is_not_the_mirrored_centre_where_the_margin_is_odd():
    image = picture(50, 50)
    views = cut_views(image, Protocol(50, 45, 12))
    starts = [x for x in range(6) for v in views if np.array_equal(v.pixels[:, ::-1], image[2:47, x : x + 45])]
    assert starts == [3]  # 2 in the mirror image


def test_the_centre_crop_is_exact_to_the_pixel():
    image = picture(375, 500)
    (view,) = cut_views(image, Protocol(256, 224))
    assert np.array_equal(view.pixels, cv2.resize(image, (341, 256))[16:240, 58:282])
    (view,) = cut_views(image, Protocol(256, 224, resize="squash"))
    assert np.array_equal(view.pixels, cv2.resize(image, (256, 256))[16:240, 16:240])


@given(st.integers(1, 20000), st.integers(1, 20000), st.integers(1, 500))
def test_resized_sides_are_the_truncated_quotients(height, width, base):
    short, long = min(height, width), max(height, width)
    if base * (base * long // short) > MAX_RESIZED_PIXELS:
        return
    found = resized_size(Size(height, width), Size(base, base))
    assert found == (int(height * base / short), int(width * base / short))
    assert min(found) == base


def test_a_wide_image_works_and_a_line_is_refused():
    wide = picture(500, 20000)
    assert cut_views(wide, Protocol(256, 224))[0].pixels.shape == (224, 224, 3)
    line = np.zeros((1, 20000, 3), np.uint8)
    with pytest.raises(ImageError, match=rf"20000 x 1 px would become 5120000 x 256, above {MAX_RESIZED_PIXELS}"):
        cut_views(line, Protocol(256, 224))
    assert cut_views(line, Protocol(256, 224, resize="squash"))[0].pixels.shape == (224, 224, 3)


def test_one_pixel_becomes_a_flat_crop():
    image = np.array([[[1, 2, 3]]], np.uint8)
    for crops in (1, 12, 144):
        for view in cut_views(image, Protocol(256, 224, crops)):
            assert (view.pixels == [1, 2, 3]).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"base_size": 200, "crop_size": 224}, "crop size 224 does not fit into base size 200; give --base-size 224"),
        ({"base_size": "200x300", "crop_size": "224x200"}, "crop size 224x200 does not fit into base size 200x300"),
        ({"base_size": "256", "crop_size": "2 x 4 x 8"}, "crop size '2 x 4 x 8' is no size in px"),
        ({"base_size": 256, "crop_size": "112x96", "crops": 144}, "144 crops are not defined for crop size 112x96"),
        ({"base_size": 256, "crop_size": 224, "channel_order": "grey"}, "mean .* is not one finite number"),
        ({"base_size": 0, "crop_size": 0}, "base size 0 is not in 1..4096 px"),
        ({"base_size": 10**9, "crop_size": 224}, "base size 1000000000 is not in"),
        ({"base_size": 256, "crop_size": 224, "crops": 7}, "7 crops are no protocol; choose 1, 10, 12, 144, or k x k"),
        (
            {"base_size": 256, "crop_size": 227, "crops": 144},
            "for crop size 227; they are for crop sizes 224, 235, 299, 320",
        ),
        ({"base_size": 256, "crop_size": 224, "resize": "long"}, "resize mode 'long' is unknown"),
        ({"base_size": 256, "crop_size": 224, "std": (1.0, 0.0, 1.0)}, "std .* not above 0"),
        ({"base_size": 256, "crop_size": 224, "mean": (1.0, math.nan, 1.0)}, "mean .* not three finite numbers"),
        ({"base_size": 256, "crop_size": 224, "mean": (1.0,)}, "mean .* not three finite numbers"),
        ({"base_size": 256, "crop_size": 224, "channel_order": "GBR"}, "channel order 'GBR'"),
        ({"base_size": 256, "crop_size": 224, "resizer": "pil"}, "resizer 'pil'"),
    ],
)
def test_impossible_protocols_are_usage_errors(arguments, message):
    with pytest.raises(UsageError, match=message):
        Protocol(**arguments)


def test_the_transform_follows_the_channel_order():
    assert Protocol(8, 8, mean=(1, 2, 3), std=(4, 5, 6)).transform.mean == (1, 2, 3)
    rgb = Protocol(8, 8, mean=(1, 2, 3), std=(4, 5, 6), channel_order="RGB").transform
    assert (rgb.mean, rgb.std) == ((3, 2, 1), (6, 5, 4))
