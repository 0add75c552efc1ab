"""A share link of Google Drive is taken for the id that stands in it."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from caffezoo.zoo.drive_link import drive_file_id, is_drive_link
from caffezoo.zoo.schema import Weights

ID = "1AbCdEfGhIjKlMnOpQrStUvWxYz01-_45"


@pytest.mark.parametrize(
    "text",
    [
        ID,
        f"https://drive.google.com/file/d/{ID}/view?usp=sharing",
        f"https://drive.google.com/file/d/{ID}/view",
        f"https://drive.google.com/file/d/{ID}",
        f"https://drive.google.com/file/u/1/d/{ID}/edit",
        f"https://drive.google.com/open?id={ID}",
        f"https://drive.google.com/uc?export=download&id={ID}",
        f"https://docs.google.com/uc?id={ID}&export=download",
    ],
)
def test_the_id_in_a_link(text: str) -> None:
    assert drive_file_id(text) == ID
    assert Weights(scheme="gdrive", id=text, format="caffemodel", state="available", source="me").id == ID


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"https://drive.google.com/drive/folders/{ID}", "a folder"),
        ("https://drive.google.com/drive/folders/1?usp=sharing", "a folder"),
        ("https://drive.google.com/", "neither"),
        (f"https://drive.google.com/open?id={ID}&id=x", "neither"),
        ("https://drive.google.com/open?id=../x", "neither"),
        (f"https://drive.google.com.evil.example/file/d/{ID}/view", "neither"),
        (f"https://example.com/file/d/{ID}/view", "neither"),
        ("https://[::1", "neither"),
        ("a b", "neither"),
        ("", "neither"),
    ],
)
def test_other_links(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        drive_file_id(text)
    with pytest.raises(ValidationError, match=reason):
        Weights(scheme="gdrive", id=text, format="caffemodel", state="available", source="me")


def test_which_urls_are_pages_of_drive() -> None:
    assert is_drive_link(f"https://drive.google.com/drive/folders/{ID}")
    assert not is_drive_link("https://drive.usercontent.google.com/download?id=1")
    assert not is_drive_link("https://[::1")
