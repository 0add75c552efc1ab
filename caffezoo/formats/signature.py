"""What a file is by its first bytes: names the things that arrive in place of a prototxt or a caffemodel."""

from __future__ import annotations

import re
from os import PathLike
from pathlib import Path

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
HDF5_NAME = "an HDF5 file"
SOLVERSTATE_NAME = "a solverstate (the optimiser's memory)"
BINARYPROTO_NAME = "a binaryproto (one blob, most likely a mean image)"
HEAD_BYTES = 8192
"""So many bytes from the start are looked at."""

_TAR_MAGIC_AT = 257

_MAGICS: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs.github.com/spec/",
        "a git LFS pointer (the text that stands for the file, not the file)",
    ),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"%PDF-", "a PDF document"),
    (b"\x93NUMPY", "a NumPy array file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "an ELF program"),
    (b"SQLite format 3\x00", "an SQLite database"),
    # torch's legacy format: a pickled magic number comes first.
    (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", "a torch file (legacy format)"),
)
_IMPORTED = ("a torch ", "a Keras ", "a safetensors ", "a TensorFlow.js ")
_HTML = re.compile(
    rb"\s*+(?:<!--.*?-->\s*+)*+<(?:!doctype\s+html|html|head|body|script|meta|title|div)\b", re.IGNORECASE | re.DOTALL
)
_XML = re.compile(rb"\s*<\?xml\b")
_JSON = re.compile(rb'\s*[{\[]\s*["{\[]')
_JAVASCRIPT = re.compile(rb"\s*(?:!function|\(function|[\"']use strict[\"']|(?:module\.)?exports\b|export default\b)")
_TFJS = re.compile(rb"\b(?:modelTopology|weightsManifest)\b")
_ARCHIVE_ENTRIES = (
    (re.compile(rb"data\.pkl|/version"), "a torch zip file"),
    (re.compile(rb"(?:metadata|config)\.json|model\.weights\.h5"), "a Keras zip file"),
    (re.compile(rb"\.npy"), "a NumPy npz archive"),
)


def identify(source: str | PathLike[str] | bytes) -> str | None:
    """Name what a file is, with its article (``"a gzip archive"``), or None where nothing is recognised.

    A caffemodel and a prototxt have no signature: None is the good answer for them, and `HDF5_NAME` for HDF5 weights.

    Parameters
    ----------
    source : path or bytes
        The file, or (at least the first 8 KiB of) its content.

    Raises
    ------
    OSError
        The path cannot be read.
    """
    if isinstance(source, bytes):
        return _identify_head(source[:HEAD_BYTES])
    with Path(source).open("rb") as file:
        return _identify_head(file.read(HEAD_BYTES))


def remedy(kind: str) -> str:
    """Return what to do about a file that is something else, by the name that `identify` gave it."""
    if kind == SOLVERSTATE_NAME:
        return "its weights are in the .caffemodel beside it"
    if kind.endswith(" archive") and "npz" not in kind:
        return "unpack it, and give what is in it"
    if kind.startswith(_IMPORTED):
        return "`caffezoo import` reads such weights"
    return "fetch the file again"


def _identify_head(head: bytes) -> str | None:
    if not head:
        return "an empty file"
    if any(head.startswith(HDF5_MAGIC, offset) for offset in (0, 512, 1024, 2048, 4096)):
        return HDF5_NAME
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return next((name for pattern, name in _ARCHIVE_ENTRIES if pattern.search(head)), "a zip archive")
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        return "a tar archive"
    if not head.strip(b"\0"):
        return "a file of zero bytes (a download that was never filled?)"
    text = head.removeprefix(b"\xef\xbb\xbf")
    if _HTML.match(text):
        return "an HTML page (a download page or an error message, not the file)"
    if _XML.match(text):
        return "an XML document"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model"
    if int.from_bytes(head[:8], "little") < 1 << 32 and head[8:10] == b'{"':
        return "a safetensors file"
    if json := _JSON.match(text) or _JAVASCRIPT.match(text):
        if _TFJS.search(text):
            return "a TensorFlow.js model"
        return "a JSON document" if json.re is _JSON else "a JavaScript file"
    if re.match(rb"\x80[\x02-\x05](?:\x95|[}\](cX\x8c\x8a])", head):
        return "a Python pickle"
    return _identify_protobuf(head)


def _identify_protobuf(head: bytes) -> str | None:
    """Recognise other protobuf messages, by the fields that they start with."""
    # Caffe's SolverState: iter (1, varint), learned_net (2), which names the caffemodel. An ONNX model of few
    # iterations begins alike, but no producer is called so.
    if re.match(rb"\x08[\x80-\xff]*[\x00-\x7f]\x12[\x80-\xff]*[\x00-\x7f][^\x00-\x1f]*?\.caffemodel", head):
        return SOLVERSTATE_NAME
    # ONNX ModelProto: ir_version (1, varint), then producer_name (2) or the graph (7) or opset_import (8).
    if re.match(rb"\x08[\x01-\x1f](?:[\x12\x1a\x22].[\x20-\x7e]{3}|[\x3a\x42])", head, re.DOTALL):
        return "an ONNX model"
    # BlobProto: num, channels, height, width as varints.
    if re.match(rb"\x08[\x80-\xff]*[\x00-\x7f]\x10[\x80-\xff]*[\x00-\x7f]\x18[\x80-\xff]*[\x00-\x7f]\x20", head):
        return BINARYPROTO_NAME
    # TensorFlow GraphDef: node (1) { name (1), op (2) }, SavedModel: saved_model_schema_version (1), meta_graphs (2).
    if re.match(
        rb"\x0a[\x80-\xff]*[\x00-\x7f]\x0a.[\x20-\x7e]+\x12.[A-Z_][A-Za-z0-9_]+[\x12\x1a\x22\x2a]", head, re.DOTALL
    ):
        return "a TensorFlow graph"
    if re.match(rb"\x08\x01\x12[\x80-\xff]+[\x00-\x7f]\x0a", head):
        return "a TensorFlow saved model"
    return None
