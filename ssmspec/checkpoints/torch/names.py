"""Names of the tensors in a pickled object: the paths through its dicts, lists and modules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ssmspec.checkpoints.torch.machine import Global, Items, Stub
from ssmspec.checkpoints.torch.tensors import StoredTensor, Unreadable
from ssmspec.errors import UnsafeCheckpointError

# Names may take this much plus a multiple of the pickle's length; honest files stay far below.
# Without it a few shared lists can spell out more paths than atoms in the universe.
_BASE_BUDGET = 1 << 20
_BUDGET_PER_BYTE = 16

_MAX_METADATA = 256
_MAX_METADATA_LENGTH = 200

_MODULE_TABLES = frozenset({"_modules", "_parameters", "_buffers"})


@dataclass
class Collected:
    """What a pickled object holds.

    Attributes:
        tensors: by name, in file order.
        unreadable: name -> kind, of tensors that cannot be given.
        metadata: the first few plain numbers and short texts, by name.
        numbers: name -> how many tensors it stood for, where a name had to be made distinct.
    """

    tensors: dict[str, StoredTensor] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


def collect(root: object, pickle_size: int) -> Collected:
    """Every tensor in a pickled object, named by the path that leads to it.

    Keys and positions are joined by dots; a module's `_modules`, `_parameters` and `_buffers` leave
    no trace in the name, as in its state dict. Containers are walked along every path but never
    inside themselves; an object (a module, an optimizer) is walked once, under the first name that
    reaches it. Different tensors that come out with one name get `#2`, `#3`, ... appended.

    Args:
        root: what `pickles.interpret` gave, with `CALLS`.
        pickle_size: bytes of the pickle; the work is bounded by a multiple of it.

    Raises:
        UnsafeCheckpointError: the paths are too many or too long for a pickle of this size.
    """
    found = Collected()
    budget = _BASE_BUDGET + _BUDGET_PER_BYTE * pickle_size
    path: list[tuple[str, Iterator[tuple[str, object]], int]] = [("", iter([("", root)]), 0)]
    on_path: set[int] = set()
    walked: set[int] = set()
    while path:
        prefix, children, identity = path[-1]
        if (entry := next(children, None)) is None:
            path.pop()
            on_path.discard(identity)
            continue
        label, child = entry
        if not isinstance(child, _WORTH_A_NAME):
            continue
        if isinstance(child, _CONTAINERS):
            if not child or id(child) in on_path:
                continue
            budget -= len(child)
        elif isinstance(child, Stub):
            if id(child) in walked:
                continue
            walked.add(id(child))
        elif isinstance(child, _SCALARS) and len(found.metadata) >= _MAX_METADATA:
            continue
        budget -= 1 + len(prefix) + len(label)
        if budget < 0:
            raise UnsafeCheckpointError(
                "its objects refer to one another so often that listing the tensors would take "
                "far more room than the file"
            )
        name = f"{prefix}.{label}" if prefix and label else prefix or label
        if isinstance(child, _NODES):
            on_path.add(id(child))
            path.append((name, _children(child), id(child)))
        else:
            _add(found, name or "tensor", child)
    return found


_SCALARS = (int, float, str)
_CONTAINERS = (list, tuple)
_NODES = (*_CONTAINERS, Stub)
_WORTH_A_NAME = (StoredTensor, Unreadable, *_NODES, *_SCALARS)


def _children(node: object) -> Iterator[tuple[str, object]]:
    match node:
        case Items():
            last: dict[tuple[type, str], object] = {}
            for key, value in node.pairs():
                last[type(key), _label(key)] = value
            return iter(
                [("" if key in _MODULE_TABLES else key, value) for (_, key), value in last.items()]
            )
        case list() | tuple():
            return ((str(index), value) for index, value in enumerate(node))
        case Stub():
            # Attributes, then what was stored in the object, then what it was made from. An
            # object with slots pickles its attributes as the pair (__dict__, slots).
            state = node.state
            states = state if isinstance(state, tuple) and len(state) == 2 else (state,)
            return iter([("", part) for part in (*states, node.items, node.elements, node.args)])
    return iter(())


def _label(key: object) -> str:
    if isinstance(key, Global):
        return key.path
    if isinstance(key, str | int | float) or key is None:
        return str(key)
    return f"<{type(key).__name__}>"


def _add(found: Collected, name: str, child: object) -> None:
    if isinstance(child, StoredTensor):
        distinct = name
        if name in found.tensors and found.tensors[name] != child:
            number = found.numbers.get(name, 1)
            while distinct in found.tensors:
                number += 1
                distinct = f"{name}#{number}"
            found.numbers[name] = number
        found.tensors[distinct] = child
    elif isinstance(child, Unreadable):
        found.unreadable[name] = child.kind
    elif len(text := str(child)) <= _MAX_METADATA_LENGTH:
        found.metadata[name] = text
