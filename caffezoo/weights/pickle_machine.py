"""The stack machine behind :mod:`caffezoo.weights.pickle_reader`: what a pickle of torch may make, and what may not be.

It calls nothing and imports nothing. Work and memory are bounded by the pickle's size and a number of operations.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from caffezoo.errors import WeightsFileError

MAX_OPERATIONS = 2_000_000
MAX_LONG_BYTES = 255
MAX_DIMENSIONS = 32
_MAX_KEY = 1 << 60  # larger integers can be chosen to collide in a dict

STORAGE_TYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_KNOWN_NAMES = {
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    "torch.Size",
    *(f"torch.{name}" for name in STORAGE_TYPES),
}


@dataclass(frozen=True)
class Name:
    """A ``module.name`` that the pickle mentions; nothing is imported."""

    path: str


@dataclass(frozen=True)
class StorageRef:
    """A block of numbers elsewhere in the file: ``count`` elements of ``dtype`` under ``key``."""

    dtype: str
    key: str
    count: int


@dataclass(frozen=True)
class TensorRef:
    """A tensor: a view of a storage. Offset and strides count elements; nothing is checked against the storage yet."""

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Pickle:
    """What one pickle held.

    Attributes
    ----------
    value : None, bool, int, float, str, bytes, tuple, list, dict, Name, StorageRef or TensorRef
        Dict keys are strings or small integers.
    end : int
        First byte behind the pickle.
    storages : dict of str to StorageRef
        Every storage that the pickle mentions, by key.
    """

    value: Any
    end: int
    storages: dict[str, StorageRef]


class Mark:
    """Where a group of operands begins on the stack."""


MARK = Mark()


class Machine:
    """One pickle being read; ``operations`` is what each opcode does."""

    def __init__(self, operations: Mapping[int, Operation], data: memoryview | bytes, start: int, where: str) -> None:
        self.operations = operations
        self.data = data
        self.at = start
        self.where = where
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, StorageRef] = {}
        self.left = MAX_OPERATIONS

    def refuse(self, message: str) -> WeightsFileError:
        return WeightsFileError(f"{message}: refused, nothing was run", where=self.where)

    def take(self, count: int) -> bytes:
        end = self.at + count
        if count < 0 or end > len(self.data):
            raise WeightsFileError(
                f"the pickle ends early: {count} bytes wanted at byte {self.at} of {len(self.data)}",
                where=self.where,
                hint="fetch the file again",
            )
        piece = bytes(self.data[self.at : end])
        self.at = end
        return piece

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        piece = bytearray()
        while (byte := self.take(1)) != b"\n":
            piece += byte
            if len(piece) > 1000:
                raise self.refuse("a name of more than 1000 characters")
        return piece.decode("utf-8")

    def run(self) -> Any:
        while True:
            self.spend(1)
            code = self.take(1)[0]
            if code == 0x2E:  # STOP
                return self.pop()
            operation = self.operations.get(code)
            if operation is None:
                raise self.refuse(f"pickle operation 0x{code:02x} at byte {self.at - 1}")
            operation(self)

    def spend(self, operations: int) -> None:
        """Count work, also that of copying what one operation can name again and again."""
        self.left -= operations
        if self.left < 0:
            raise self.refuse(f"a pickle of more than {MAX_OPERATIONS} operations")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is MARK:
            raise ValueError("a mark where a value must be")
        return value

    def pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (value := self.stack.pop()) is not MARK:
            items.append(value)
        items.reverse()
        return items

    def drop_group(self) -> None:
        self.pop_to_mark()

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("a name that is not text")
        path = f"{module[:100]}.{name[:100]}"
        if path not in _KNOWN_NAMES:
            raise self.refuse(f"its pickle calls {path}")
        self.push(Name(path))

    def set_items(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(pairs) % 2:
            raise ValueError("items for something that is not a dict")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            target[self.key(key)] = value

    def key(self, key: Any) -> str | int:
        if isinstance(key, str) or (isinstance(key, int) and abs(key) < _MAX_KEY):
            return key
        raise self.refuse(f"a dict key of type {type(key).__name__}")

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise ValueError("append to something that is not a list")
        target.extend(items)

    def reduce(self) -> None:
        arguments, function = self.pop(), self.pop()
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise self.refuse("a call of something that is not a name")
        if function.path == "collections.OrderedDict":
            pairs = arguments[0] if arguments else []
            if not isinstance(pairs, list) or len(arguments) > 1:
                raise ValueError("OrderedDict of something that is not a list of pairs")
            self.spend(len(pairs))
            self.push({self.key(key): value for key, value in pairs})
        elif function.path in ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"):
            self.push(_tensor(*arguments[:4]))
        elif function.path == "torch._utils._rebuild_parameter":
            if not arguments or not isinstance(arguments[0], TensorRef):
                raise ValueError("a parameter that is not a tensor")
            self.push(arguments[0])
        elif function.path == "torch.Size":
            sizes = arguments[0]
            if not isinstance(sizes, list | tuple) or len(sizes) > MAX_DIMENSIONS:
                raise ValueError("a Size that is not a list of sizes")
            self.push(tuple(sizes))
        else:
            raise self.refuse(f"its pickle calls {function.path}")

    def build(self) -> None:
        """Drop the state: on a state dict it is the modules' version numbers, which no weight depends on."""
        self.pop()
        if not isinstance(self.stack[-1], dict):
            raise self.refuse("a state set on something that is not a dict")

    def persistent(self) -> None:
        """Turn torch's persistent id ('storage', type, key, device, count[, view]) into a reference."""
        identity = self.pop()
        if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
            raise ValueError("a persistent id that is not a storage")
        kind, key, count = identity[1], identity[2], identity[4]
        dtype = STORAGE_TYPES.get(kind.path.removeprefix("torch.")) if isinstance(kind, Name) else None
        if dtype is None or not isinstance(key, str) or not _is_count(count):
            raise ValueError("a storage without type, key or size")
        if len(identity) == 6 and identity[5] is not None:
            raise self.refuse("a storage that is a view of another (torch before 0.4)")
        ref = StorageRef(dtype, key, count)
        if self.storages.setdefault(key, ref) != ref:
            raise ValueError("one storage with two sizes or types")
        self.push(ref)

    def long(self, count: int) -> None:
        if count > MAX_LONG_BYTES:
            raise self.refuse(f"an integer of {count} bytes")
        self.push(int.from_bytes(self.take(count), "little", signed=True))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> TensorRef:
    if not isinstance(storage, StorageRef) or not _is_count(offset):
        raise ValueError("a tensor without a storage")
    if (
        not isinstance(shape, tuple)
        or not isinstance(strides, tuple)
        or len(shape) != len(strides)
        or len(shape) > MAX_DIMENSIONS
    ):
        raise ValueError("a tensor whose shape and strides do not agree")
    if not all(map(_is_count, (*shape, *strides))):
        raise ValueError("a tensor with a size or stride that cannot be")
    return TensorRef(storage, offset, shape, strides)


Operation = Callable[[Machine], None]
