"""The stack machine that a pickle is a program for, made inert.

It imports nothing and calls only the functions it is given by name. Every other class or function
stays a `Global`, and what would be its call or its instance stays a `Stub` that keeps the arguments
and the state for whoever wants to look inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ssmspec.errors import CheckpointError, UnsafeCheckpointError
from ssmspec.naming import printable

# Nothing is ever called, so this list is not what makes reading safe. It tells an attack from a
# class that merely is unknown: no file of numbers has a reason to name any of these.
_HARMFUL_MODULES = frozenset({
    "os", "posix", "nt", "subprocess", "sys", "pty", "runpy", "codeop", "ctypes", "socket",
    "shutil", "importlib", "webbrowser", "pickle", "_pickle", "marshal", "pip",
})  # fmt: skip
_BUILTINS = frozenset({"builtins", "__builtin__"})
_HARMFUL_BUILTINS = frozenset({
    "eval", "exec", "execfile", "compile", "__import__", "open", "input", "breakpoint",
})  # fmt: skip

_MAX_NAME_LENGTH = 500
"""Heuristic: characters in the dotted path of a class."""

Call = Callable[[tuple[object, ...]], object]
"""Stands in for a class or function: what its call with these arguments gives."""


@dataclass(frozen=True, slots=True, eq=False)
class Global:
    """A class or function that a pickle names; it is not imported."""

    module: str
    name: str

    @property
    def path(self) -> str:
        """Module and name with a dot between."""
        return f"{self.module}.{self.name}"


class Items(list[object]):
    """A dict as a flat list: key, value, key, value, ..., in file order."""

    __slots__ = ()

    def pairs(self) -> Iterable[tuple[object, object]]:
        """Keys with their values; a key can occur twice, and then the last one counts."""
        return zip(self[::2], self[1::2], strict=True)

    def named(self) -> dict[str, object]:
        """Values by those keys that are texts."""
        return {key: value for key, value in self.pairs() if isinstance(key, str)}


@dataclass(slots=True, eq=False)
class Stub:
    """What would have been an instance or a call's result.

    Attributes:
        callee: the class or function.
        args: what it would have been called with.
        state: what its attributes would have been set from: usually `Items`, None if absent.
        items: what would have been stored into it by key.
        elements: what would have been appended to it.
    """

    callee: Global | Stub
    args: object
    state: object = None
    items: Items | None = None
    elements: list[object] | None = None


class Machine:
    """The stack, the marks and the memo of a pickle being read, and what opcodes do to them.

    Attributes:
        data: the whole pickle.
        position: of the next byte.
        stack: values, of which `marks` delimit the topmost groups.
        marks: stack heights.
        memo: values stored for later use, by index.
        unknown: dotted paths of the globals met that `calls` lacks, as keys, in file order.
    """

    def __init__(
        self, data: bytes, calls: Mapping[str, Call], persistent: Callable[[object], object]
    ) -> None:
        self.data = data
        self.position = 0
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[int, object] = {}
        self.unknown: dict[str, None] = {}
        self._calls = calls
        self._persistent = persistent

    def take(self, count: int) -> bytes:
        """The next `count` bytes; nothing is allocated for bytes that are not there."""
        start, end = self.position, self.position + count
        if end > len(self.data):
            raise UnsafeCheckpointError(
                f"its pickle claims {count} bytes at byte {start}, beyond its own end"
            )
        self.position = end
        return self.data[start:end]

    def unsigned(self, width: int) -> int:
        """The next `width` bytes as an integer."""
        return int.from_bytes(self.take(width), "little")

    def line(self) -> str:
        """Text up to the next line end."""
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise malformed(self.position)
        text = self.take(end - self.position).decode()
        self.position += 1
        return text

    def pop_to_mark(self) -> list[object]:
        """Take everything above the topmost mark off the stack, and the mark."""
        mark = self.marks.pop()
        if mark > len(self.stack):
            raise malformed(self.position)
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def put(self, index: int) -> None:
        """Store the top of the stack in the memo."""
        # A memo entry takes two bytes to write, so an honest index is below half the length.
        if index >= len(self.data):
            raise UnsafeCheckpointError(
                f"its pickle stores memo entry {index}, more than it can have written"
            )
        self.memo[index] = self.stack[-1]

    def push_global(self, module: str, name: str) -> None:
        """Push a class or function, unless its name alone shows an attack."""
        if len(module) + len(name) > _MAX_NAME_LENGTH:
            raise malformed(self.position)
        found = Global(module, name)
        first, *names = module.split(".", 1)[0], *name.split(".")
        builtin = first in _BUILTINS and names[-1] in _HARMFUL_BUILTINS
        if builtin or not _HARMFUL_MODULES.isdisjoint([first, *names[:-1]]):
            raise UnsafeCheckpointError(
                f"its pickle asks to call {printable(found.path)}, which runs code; "
                f"nothing was executed, and no other program should load this file"
            )
        if found.path not in self._calls:
            self.unknown[found.path] = None
        self.stack.append(found)

    def call(self, callee: object, args: object) -> None:
        """Push the result of a function that was given, or a stub of the call."""
        if not isinstance(callee, Global | Stub):
            raise malformed(self.position)
        function = self._calls.get(callee.path) if isinstance(callee, Global) else None
        if function is None:
            self.stack.append(Stub(callee, args))
        elif isinstance(args, tuple):
            self.stack.append(function(args))
        else:
            raise malformed(self.position)

    def build(self) -> None:
        """Set the state of the object at the top of the stack."""
        # The state of anything but a stub (an OrderedDict's or a tensor's attributes) holds
        # nothing that is part of the numbers.
        state = self.stack.pop()
        if isinstance(target := self.stack[-1], Stub):
            target.state = state

    def set_items(self, flat: list[object]) -> None:
        """Store keys and values, in turns, in the dict or stub at the top of the stack."""
        target = self.stack[-1]
        if isinstance(target, Stub):
            target.items = items = Items() if target.items is None else target.items
            target = items
        if not isinstance(target, Items) or len(flat) % 2:
            raise malformed(self.position)
        target.extend(flat)

    def extend(self, values: list[object]) -> None:
        """Append to the list or stub at the top of the stack."""
        target = self.stack[-1]
        if isinstance(target, Stub):
            target.elements = elements = [] if target.elements is None else target.elements
            target = elements
        if not isinstance(target, list) or isinstance(target, Items):
            raise malformed(self.position)
        target.extend(values)

    def persistent(self) -> None:
        """Replace a persistent id by what it stands for."""
        self.stack.append(self._persistent(self.stack.pop()))


def malformed(position: int) -> CheckpointError:
    """The error for a pickle that no pickler wrote."""
    return CheckpointError(f"its pickle is malformed or cut off at byte {position}")
