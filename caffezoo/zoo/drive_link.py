"""Share links of Google Drive, which people paste where a file's id is asked for."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

HOSTS = ("drive.google.com", "docs.google.com")


def is_drive_link(url: str) -> bool:
    """Whether a URL is a page of Google Drive, not a file."""
    try:
        return urlsplit(url).hostname in HOSTS
    except ValueError:
        return False


def drive_file_id(text: str) -> str:
    """Return the id of a file of Google Drive, from the id itself or from a share link (as gdown reads it).

    Raises
    ------
    ValueError
        It is neither, or the link of a folder.

    Examples
    --------
    >>> drive_file_id("https://drive.google.com/file/d/1AbC-x_9/view?usp=sharing")
    '1AbC-x_9'
    """
    if re.fullmatch(r"[\w-]+", text):
        return text
    if is_drive_link(text):
        from gdown.parse_url import parse_url  # imports requests: only for those who need it

        found, _ = parse_url(text)
        if found is not None and re.fullmatch(r"[\w-]+", found):
            return str(found)
        if "/folders/" in urlsplit(text).path:
            raise ValueError("a share link of a folder of Google Drive, not of a file")
    raise ValueError(f"neither the id of a file of Google Drive nor its share link: {text[:100]!r}")
