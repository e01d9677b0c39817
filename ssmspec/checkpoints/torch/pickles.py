"""An inert reader of pickles: it gives the structure of one and never runs anything in it.

It knows the opcodes that pickle protocols 2 to 5 write and no others. What a pickle can cost is
bounded by its length: nothing is allocated before the bytes that fill it are known to be there,
memo indices stay below the length, no step recurses, and values are neither compared nor hashed (a
dict is kept as `Items`, so keys cannot be made to collide).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ssmspec.checkpoints.torch.machine import Call, Items, Machine, Stub, malformed
from ssmspec.errors import CheckpointError, UnsafeCheckpointError

MAX_OPCODES = 16_000_000
"""Heuristic: a tensor takes about 60 opcodes, so this is room for some 250,000 of them."""

FREE_OPCODES, OPCODES_PER_BYTE = 250_000, 3
"""Heuristic: a pickle that is stored as it is has less than one opcode a byte, and one that was
deflated shrinks by five to ten."""

_MAX_INTEGER_BYTES = 64
"""Heuristic: the longest integer real pickles hold is a random generator's 128-bit state."""


@dataclass(frozen=True)
class Pickled:
    """A pickle's content.

    Attributes:
        root: the pickled object, made of None, bool, int, float, str, bytes, tuple, list (sets
            too), `Items`, `Global`, `Stub` and what the caller's functions returned.
        unknown: dotted paths of the classes and functions it names that the caller did not give,
            in file order, each once.
    """

    root: object
    unknown: tuple[str, ...]


def interpret(
    data: bytes,
    calls: Mapping[str, Call],
    persistent: Callable[[object], object],
    stored: int | None = None,
) -> Pickled:
    """Read a pickle without executing anything it names.

    Args:
        data: the whole pickle.
        calls: dotted path -> function that stands in for a call or an instance of that global.
        persistent: what to put in place of a persistent id.
        stored: bytes of the pickle in the file, where it was deflated.

    Raises:
        CheckpointError: the pickle is malformed, or uses an opcode no protocol from 2 to 5 writes.
        UnsafeCheckpointError: it names a function that runs code, or claims more than it holds.
    """
    machine = Machine(data, calls, persistent)
    try:
        root = _run(machine, opcodes_for(len(data) if stored is None else stored))
    except (IndexError, KeyError):
        raise malformed(machine.position) from None
    except UnicodeDecodeError:
        raise CheckpointError("its pickle holds text that is not UTF-8") from None
    return Pickled(root, tuple(machine.unknown))


def opcodes_for(stored: int) -> int:
    """How many opcodes a pickle may have that takes so many bytes in its file."""
    return min(MAX_OPCODES, FREE_OPCODES + OPCODES_PER_BYTE * stored)


def _run(machine: Machine, opcodes: int) -> object:
    handlers, data = _HANDLERS, machine.data
    for _ in range(opcodes):
        opcode = data[machine.position]
        machine.position += 1
        if opcode == _STOP:
            return machine.stack.pop()
        if (handler := handlers[opcode]) is None:
            raise CheckpointError(
                f"its pickle uses opcode 0x{opcode:02x} at byte {machine.position - 1}, "
                f"which pickle protocols 2 to 5 never write"
            )
        handler(machine)
    raise UnsafeCheckpointError(f"its pickle has more than {opcodes:,} opcodes")


Handler = Callable[[Machine], None]


def _push(value: object) -> Handler:
    return lambda m: m.stack.append(value)


def _push_new(kind: Callable[[], object]) -> Handler:
    return lambda m: m.stack.append(kind())


def _integer(width: int, *, signed: bool = False) -> Handler:
    def push(m: Machine) -> None:
        m.stack.append(int.from_bytes(m.take(width), "little", signed=signed))

    return push


def _long(width: int) -> Handler:
    def push(m: Machine) -> None:
        count = m.unsigned(width)
        if count > _MAX_INTEGER_BYTES:
            raise UnsafeCheckpointError(f"its pickle holds an integer of {count} bytes")
        m.stack.append(int.from_bytes(m.take(count), "little", signed=True))

    return push


def _counted(width: int, decode: Callable[[bytes], object]) -> Handler:
    """Push bytes whose count comes first, in `width` bytes."""
    return lambda m: m.stack.append(decode(m.take(m.unsigned(width))))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogatepass")


def _latin(raw: bytes) -> str:
    return raw.decode("latin-1")


def _float(m: Machine) -> None:
    m.stack.append(struct.unpack(">d", m.take(8))[0])


def _tuple(count: int) -> Handler:
    def push(m: Machine) -> None:
        stack = m.stack
        if len(stack) < count:
            raise malformed(m.position)
        stack[-count:] = [tuple(stack[-count:])]

    return push


def _skip(width: int) -> Handler:
    def skip(m: Machine) -> None:
        m.take(width)

    return skip


def _frame(m: Machine) -> None:
    size = m.unsigned(8)
    start = m.position
    m.take(size)
    m.position = start


def _mark(m: Machine) -> None:
    m.marks.append(len(m.stack))


def _pop(m: Machine) -> None:
    m.stack.pop()


def _pop_mark(m: Machine) -> None:
    m.pop_to_mark()


def _duplicate(m: Machine) -> None:
    m.stack.append(m.stack[-1])


def _marked_tuple(m: Machine) -> None:
    values = m.pop_to_mark()
    m.stack.append(tuple(values))


def _frozenset(m: Machine) -> None:
    values = m.pop_to_mark()
    m.stack.append(values)


def _append(m: Machine) -> None:
    value = m.stack.pop()
    m.extend([value])


def _extend(m: Machine) -> None:
    m.extend(m.pop_to_mark())


def _set_item(m: Machine) -> None:
    value, key = m.stack.pop(), m.stack.pop()
    m.set_items([key, value])


def _set_items(m: Machine) -> None:
    m.set_items(m.pop_to_mark())


def _put(width: int) -> Handler:
    return lambda m: m.put(m.unsigned(width))


def _get(width: int) -> Handler:
    return lambda m: m.stack.append(m.memo[m.unsigned(width)])


def _memoize(m: Machine) -> None:
    m.put(len(m.memo))


def _global(m: Machine) -> None:
    module, name = m.line(), m.line()
    m.push_global(module, name)


def _stack_global(m: Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    if not (isinstance(name, str) and isinstance(module, str)):
        raise malformed(m.position)
    m.push_global(module, name)


def _call(m: Machine) -> None:
    args, callee = m.stack.pop(), m.stack.pop()
    m.call(callee, args)


def _call_with_keywords(m: Machine) -> None:
    keywords, args, callee = m.stack.pop(), m.stack.pop(), m.stack.pop()
    m.call(callee, args)
    if isinstance(stub := m.stack[-1], Stub) and isinstance(keywords, Items):
        stub.items = keywords


_STOP = ord(".")

_OPCODES: dict[bytes, Handler] = {
    b"\x80": _skip(1),  # PROTO
    b"\x95": _frame,
    b"N": _push(None),
    b"\x88": _push(True),
    b"\x89": _push(False),
    b"K": _integer(1),
    b"M": _integer(2),
    b"J": _integer(4, signed=True),
    b"\x8a": _long(1),
    b"\x8b": _long(4),
    b"G": _float,
    b"\x8c": _counted(1, _text),
    b"X": _counted(4, _text),
    b"\x8d": _counted(8, _text),
    b"U": _counted(1, _latin),
    b"T": _counted(4, _latin),
    b"C": _counted(1, bytes),
    b"B": _counted(4, bytes),
    b"\x8e": _counted(8, bytes),
    b"\x96": _counted(8, bytes),  # BYTEARRAY8
    b")": _push(()),
    b"\x85": _tuple(1),
    b"\x86": _tuple(2),
    b"\x87": _tuple(3),
    b"t": _marked_tuple,
    b"]": _push_new(list),
    b"\x8f": _push_new(list),  # EMPTY_SET
    b"\x91": _frozenset,
    b"}": _push_new(Items),
    b"(": _mark,
    b"0": _pop,
    b"1": _pop_mark,
    b"2": _duplicate,
    b"a": _append,
    b"e": _extend,
    b"\x90": _extend,  # ADDITEMS
    b"s": _set_item,
    b"u": _set_items,
    b"q": _put(1),
    b"r": _put(4),
    b"\x94": _memoize,
    b"h": _get(1),
    b"j": _get(4),
    b"c": _global,
    b"\x93": _stack_global,
    b"R": _call,
    b"\x81": _call,  # NEWOBJ
    b"\x92": _call_with_keywords,
    b"b": Machine.build,
    b"Q": Machine.persistent,
}

_HANDLERS: list[Handler | None] = [_OPCODES.get(bytes([code])) for code in range(256)]
