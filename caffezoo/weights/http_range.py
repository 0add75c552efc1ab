"""Byte ranges of HTTP (RFC 9110, sections 13.1.5 and 14): what to ask, and what an answer is worth."""

from __future__ import annotations

import re
from collections.abc import Mapping

RANGE_REFUSED = 416
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


def range_headers(offset_bytes: int, validator: str | None) -> dict[str, str]:
    """Return the headers that ask for a file from an offset on, if it is still the version of the validator."""
    if not offset_bytes:
        return {}
    headers = {"Range": f"bytes={offset_bytes}-"}
    if validator is not None:
        headers["If-Range"] = validator
    return headers


def answered_range(headers: Mapping[str, str]) -> tuple[int, int | None] | None:
    """Return where a 206's body begins and the size of the whole file; None where it is not all the rest of it."""
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    if last < first or (total is not None and last != total - 1):
        return None
    length = headers.get("Content-Length", "")
    if length.isdecimal() and int(length) != last - first + 1:
        return None
    return first, total


def validator_of(headers: Mapping[str, str], plain: bool) -> str | None:
    """Return what may stand in If-Range: a strong ETag, else the date of the last change, else nothing.

    Parameters
    ----------
    headers : mapping
    plain : bool
        Whether the body came without a Content-Encoding; offsets into an encoded body are of no use.
    """
    if not plain:
        return None
    etag = headers.get("ETag", "").strip()
    if re.fullmatch(r'"[^"\r\n]*"', etag):
        return etag
    return headers.get("Last-Modified", "").strip() or None
