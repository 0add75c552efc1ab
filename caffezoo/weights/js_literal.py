"""Read the one value that a JavaScript bundle exports, without running any of it.

Packages for browsers carry data as modules: ``n.exports={paths:["a"],min:-.76,sparse:!1}`` inside the wrapper of a
bundler. Only literals are values here: objects, arrays, strings, numbers, ``true``, ``false``, ``null`` and what a
minifier makes of them (``!0``, ``!1``, ``.76``, names without quotes). Anything that would have to be evaluated is
refused.
"""

from __future__ import annotations

import json
import re
from typing import Any

MAX_DEPTH = 100

_EXPORT = re.compile(r'\.exports\s*=\s*(?=["\'{\[])')
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<mark>[{}\[\]:,])
    | (?P<string>"(?:[^"\\\n]++|\\.)*+"|'(?:[^'\\\n]++|\\.)*+')
    | (?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w$])
    | (?P<word>![01]|[A-Za-z_$][\w$]*)
    )""",
    re.VERBOSE,
)
_WORDS = {"true": True, "false": False, "null": None, "!0": True, "!1": False}
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([^ux]))")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}


def exported_literal(text: str) -> Any:
    """Return the value of the only ``….exports = literal`` of a module.

    Parameters
    ----------
    text : str
        The module, or a bundle that holds one.

    Raises
    ------
    ValueError
        No such assignment or more than one; an expression in place of a literal; nested too deeply.
    """
    found = list(_EXPORT.finditer(text))
    if len(found) != 1:
        raise ValueError(f"it exports {len(found) or 'no'} literals, where one is wanted")
    return _Reader(text, found[0].end()).value(0)


class _Reader:
    def __init__(self, text: str, position: int) -> None:
        self.text, self.position = text, position

    def token(self) -> tuple[str, str]:
        """Take the next token: its kind and its text."""
        match = _TOKEN.match(self.text, self.position)
        if match is None or match.lastgroup is None:
            at = self.text[self.position : self.position + 20]
            raise ValueError(f"no literal at character {self.position}: {at!r}" if at else "it ends too early")
        self.position = match.end()
        return match.lastgroup, match[match.lastgroup]

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")
        start = self.position
        kind, text = self.token()
        if text == "{":
            return self.object(depth)
        if text == "[":
            return self.array(depth)
        if kind == "string":
            return _string(text)
        if kind == "number":
            return float(text) if re.search(r"[.eE]", text) else int(text)
        if text in _WORDS:
            return _WORDS[text]
        raise ValueError(f"no literal at character {start}: {text[:20]!r}")

    def object(self, depth: int) -> dict[str, Any]:
        out: dict[str, Any] = {}
        while True:
            kind, key = self.token()
            if key == "}" and kind == "mark":
                return out
            if kind == "mark":
                raise ValueError(f"no key at character {self.position - 1}")
            self.expect(":")
            out[_string(key) if kind == "string" else key] = self.value(depth + 1)
            if self.expect(",", "}") == "}":
                return out

    def array(self, depth: int) -> list[Any]:
        out: list[Any] = []
        while True:
            before = self.position
            if self.token() == ("mark", "]"):
                return out
            self.position = before
            out.append(self.value(depth + 1))
            if self.expect(",", "]") == "]":
                return out

    def expect(self, *marks: str) -> str:
        kind, text = self.token()
        if kind != "mark" or text not in marks:
            raise ValueError(f"{' or '.join(marks)} wanted at character {self.position - len(text)}, not {text[:20]!r}")
        return text


def _string(quoted: str) -> str:
    body = quoted[1:-1]
    if "\\" not in body:
        return body
    if quoted[0] == '"':
        try:
            return str(json.loads(quoted, strict=False))
        except ValueError:
            pass  # JavaScript's own escapes, then
    return _ESCAPE.sub(_unescaped, body)


def _unescaped(match: re.Match[str]) -> str:
    if code := match[1] or match[2]:
        return chr(int(code, 16))
    return _ESCAPES.get(match[3], match[3])
