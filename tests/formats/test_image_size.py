"""Height and width in px."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffezoo.errors import UsageError
from caffezoo.formats.image_size import MAX_SIDE, Size

SIDES = st.integers(1, MAX_SIDE)


@given(SIDES, SIDES)
def test_a_size_is_what_its_text_and_its_plain_form_say(height, width):
    size = Size(height, width)
    assert Size.of(str(size)) == Size.of(size.plain) == Size.of((height, width)) == size
    assert isinstance(size.plain, int) == (height == width)
    assert size.holds(size)
    assert size.holds(Size(1, 1))
    assert not size.holds(Size(height + 1, 1))
    assert not size.holds(Size(1, width + 1))


@pytest.mark.parametrize("value", ["", "a", "12x", "x12", "1x2x3", "-4", "12.5", (1, 2, 3), 0, "0x5", 4097, "9x9999"])
def test_what_is_no_size(value):
    with pytest.raises(UsageError, match=r"no size in px|is not in 1..4096 px"):
        Size.of(value)
