"""Read the pickles of torch files without executing anything: a small stack machine of its own.

A pickle is a program, and Python's unpickler calls whatever it names. This machine calls nothing: the few names
that a state dict has need of become marks (:class:`Name`), building an ``OrderedDict`` makes a dict, rebuilding a
tensor makes a :class:`TensorRef`, and every other name or operation is refused by its name. It works without
recursion, in time and memory proportional to the pickle, which is limited in bytes and operations.

Opcodes: CPython's ``Lib/pickletools.py`` documents each.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from caffezoo.errors import WeightsFileError
from caffezoo.weights.pickle_machine import MARK, Machine, Operation, Pickle


def read_pickle(data: memoryview | bytes, start: int, where: str) -> Pickle:
    """Read one pickle.

    Parameters
    ----------
    data : buffer
        Holds the pickle, and perhaps more behind it.
    start : int
        Where the pickle begins, bytes.
    where : str
        File, for messages.

    Raises
    ------
    WeightsFileError
        The pickle is malformed, too long, or wants something that a state dict has no need of.
    """
    machine = Machine(OPERATIONS, data, start, where)
    try:
        return Pickle(machine.run(), machine.at, machine.storages)
    except (struct.error, IndexError, KeyError, UnicodeDecodeError, TypeError, ValueError) as error:
        # IndexError: the stack is empty; KeyError: no such memo entry.
        raise WeightsFileError(
            f"malformed pickle at byte {machine.at}: {type(error).__name__}", where=where, hint="fetch the file again"
        ) from error


def _tuple_of(count: int) -> Operation:
    def operation(m: Machine) -> None:
        items = [m.pop() for _ in range(count)]
        m.push(tuple(reversed(items)))

    return operation


def _constant(make: Callable[[], Any]) -> Operation:
    return lambda m: m.push(make())


def _text(form: str) -> Operation:
    return lambda m: m.push(m.take(m.number(form)).decode("utf-8", "surrogatepass"))


def _bytes(form: str) -> Operation:
    return lambda m: m.push(m.take(m.number(form)))


def _put(form: str) -> Operation:
    def operation(m: Machine) -> None:
        m.memo[m.number(form)] = m.stack[-1]

    return operation


def _get(form: str) -> Operation:
    return lambda m: m.push(m.memo[m.number(form)])


def _protocol(m: Machine) -> None:
    if (version := m.number("B")) > 5:
        raise m.refuse(f"pickle protocol {version}")


def _memoize(m: Machine) -> None:
    m.memo[len(m.memo)] = m.stack[-1]


def _set_item(m: Machine) -> None:
    value, key = m.pop(), m.pop()
    m.set_items([key, value])


def _stack_global(m: Machine) -> None:
    name, module = m.pop(), m.pop()
    m.name(module, name)


def _inst(m: Machine) -> None:
    raise m.refuse(f"its pickle calls {m.line()}.{m.line()}")


OPERATIONS: dict[int, Operation] = {
    0x80: _protocol,
    0x95: lambda m: m.number("<Q"),  # FRAME: only a hint for buffering
    0x28: lambda m: m.push(MARK),
    0x30: lambda m: m.stack.pop(),  # POP takes a mark too
    0x31: lambda m: m.drop_group(),
    0x4E: _constant(lambda: None),
    0x88: _constant(lambda: True),
    0x89: _constant(lambda: False),
    0x4B: lambda m: m.push(m.number("B")),  # BININT1
    0x4D: lambda m: m.push(m.number("<H")),  # BININT2
    0x4A: lambda m: m.push(m.number("<i")),  # BININT
    0x8A: lambda m: m.long(m.number("B")),  # LONG1
    0x8B: lambda m: m.long(m.number("<I")),  # LONG4
    0x47: lambda m: m.push(m.number(">d")),  # BINFLOAT
    0x8C: _text("B"),  # SHORT_BINUNICODE
    0x58: _text("<I"),  # BINUNICODE
    0x8D: _text("<Q"),  # BINUNICODE8
    0x43: _bytes("B"),  # SHORT_BINBYTES
    0x42: _bytes("<I"),  # BINBYTES
    0x8E: _bytes("<Q"),  # BINBYTES8
    0x55: _text("B"),  # SHORT_BINSTRING: text of a Python 2 pickle
    0x54: _text("<I"),  # BINSTRING
    0x29: _constant(tuple),
    0x85: _tuple_of(1),
    0x86: _tuple_of(2),
    0x87: _tuple_of(3),
    0x74: lambda m: m.push(tuple(m.pop_to_mark())),
    0x5D: _constant(list),
    0x61: lambda m: m.append([m.pop()]),
    0x65: lambda m: m.append(m.pop_to_mark()),
    0x7D: _constant(dict),
    0x73: _set_item,
    0x75: lambda m: m.set_items(m.pop_to_mark()),
    0x71: _put("B"),
    0x72: _put("<I"),
    0x94: _memoize,
    0x68: _get("B"),
    0x6A: _get("<I"),
    0x63: lambda m: m.name(m.line(), m.line()),  # GLOBAL
    0x93: _stack_global,
    0x69: _inst,
    0x52: lambda m: m.reduce(),
    0x62: lambda m: m.build(),
    0x51: lambda m: m.persistent(),  # BINPERSID
}
