"""Conditions on a table's rows, such as ``top1 < 20 and gmacs < 8``.

The language is a small part of Python's expressions: column names, numbers, texts and lists of them, ``+ - * /``,
comparisons (also chained, and ``in``), ``and``, ``or``, ``not`` and parentheses. It is parsed by :mod:`ast` and
walked here; nothing is compiled or evaluated by Python. A value that a row does not have is missing: whatever is
computed from it is missing too, and a comparison with it is false.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from caffezoo.errors import UnknownNameError, UsageError

MAX_CHARACTERS = 1000
MAX_NODES = 200

Row = Mapping[str, Any]

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_HINT = "write a condition such as 'top1 < 20 and gmacs < 8'"


class Where:
    """A condition, checked once and then asked for every row.

    Parameters
    ----------
    text : str
        The condition.
    columns : iterable of str
        The names it may use.

    Raises
    ------
    UsageError
        Not a condition of this language; ``UnknownNameError`` where it names no column.

    Examples
    --------
    >>> small = Where("top1 < 20 and gmacs < 8", ["top1", "gmacs"])
    >>> small({"top1": 19.2, "gmacs": 7.9}), small({"top1": None, "gmacs": 1.0})
    (True, False)
    """

    def __init__(self, text: str, columns: Iterable[str]) -> None:
        self.text = text
        if len(text) > MAX_CHARACTERS:
            raise UsageError(f"has {len(text)} characters, at most {MAX_CHARACTERS} are read", where="--where")
        try:
            tree = ast.parse(text.strip(), mode="eval")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else "it cannot be parsed"
            raise UsageError(f"'{text}' is no condition: {reason}", where="--where", hint=_HINT) from None
        nodes = sum(1 for _ in ast.walk(tree))
        if nodes > MAX_NODES:
            raise UsageError(f"has {nodes} parts, at most {MAX_NODES} are read", where="--where")
        self._root = tree.body
        self._check(self._root, list(columns))

    def __call__(self, row: Row) -> bool:
        """Tell whether the row meets the condition.

        Raises
        ------
        UsageError
            Text is compared with a number, or computed with.
        """
        return bool(self._value(self._root, row))

    @property
    def columns(self) -> set[str]:
        """The columns that the condition reads."""
        return {node.id for node in ast.walk(self._root) if isinstance(node, ast.Name)}

    def _refusal(self, node: ast.AST, what: str) -> UsageError:
        part = ast.get_source_segment(self.text.strip(), node) or type(node).__name__
        return UsageError(f"{what}: '{part}'", where="--where", hint=_HINT)

    def _check(self, node: ast.AST, columns: list[str]) -> None:
        if isinstance(node, ast.Name):
            if node.id not in columns:
                raise UnknownNameError("column", node.id, columns, where="--where")
            return
        if isinstance(node, ast.Constant):
            if not isinstance(node.value, int | float | str):
                raise self._refusal(node, "only numbers and texts are values here")
            return
        if isinstance(node, ast.Compare):
            for comparison in node.ops:
                if type(comparison) not in _COMPARE and not isinstance(comparison, ast.In | ast.NotIn):
                    raise self._refusal(node, "no such comparison here")
        elif isinstance(node, ast.BinOp):
            if type(node.op) not in _ARITHMETIC:
                raise self._refusal(node, "only + - * / compute here")
        elif isinstance(node, ast.UnaryOp):
            if not isinstance(node.op, ast.Not | ast.USub | ast.UAdd):
                raise self._refusal(node, "not allowed here")
        elif not isinstance(node, ast.BoolOp | ast.List | ast.Tuple):
            raise self._refusal(node, "not allowed here")
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self._check(child, columns)

    def _value(self, node: ast.expr, row: Row) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return row.get(name)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self._value(item, row) for item in items]
            case ast.BoolOp(op=ast.And(), values=parts):
                return all(self._value(part, row) for part in parts)
            case ast.BoolOp(values=parts):
                return any(self._value(part, row) for part in parts)
            case ast.UnaryOp(op=ast.Not(), operand=part):
                return not self._value(part, row)
            case ast.UnaryOp(op=sign, operand=part):
                zero = self._compute(node, operator.sub if isinstance(sign, ast.USub) else operator.add)
                return zero(0, self._value(part, row))
            case ast.BinOp(left=left, op=op, right=right):
                return self._compute(node, _ARITHMETIC[type(op)])(self._value(left, row), self._value(right, row))
            case ast.Compare():
                return self._compare(node, row)
        raise self._refusal(node, "not allowed here")

    def _compute(self, node: ast.expr, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def apply(left: Any, right: Any) -> Any:
            if left is None or right is None:
                return None
            if not (isinstance(left, int | float) and isinstance(right, int | float)):
                raise self._refusal(node, "only numbers can be computed with")
            try:
                return function(left, right)
            except (ZeroDivisionError, OverflowError):
                return None

        return apply

    def _compare(self, node: ast.Compare, row: Row) -> bool:
        left = self._value(node.left, row)
        for comparison, part in zip(node.ops, node.comparators, strict=True):
            right = self._value(part, row)
            if left is None or right is None:
                return False
            if isinstance(comparison, ast.In | ast.NotIn):
                if isinstance(right, str) != isinstance(left, str) and not isinstance(right, list):
                    raise self._refusal(node, "`in` looks in a list or in a text")
                if isinstance(right, int | float):
                    raise self._refusal(node, "`in` looks in a list or in a text")
                held = (left in right) == isinstance(comparison, ast.In)
            else:
                if isinstance(left, list) or isinstance(right, list) or isinstance(left, str) != isinstance(right, str):
                    raise self._refusal(node, "text and numbers cannot be compared")
                held = _COMPARE[type(comparison)](left, right)
            if not held:
                return False
            left = right
        return True
