"""How large what is made of a file may become, decided in one place and believed everywhere.

A file can claim far more than it holds: a stride of zero, an A that is tied over all channels, a
member that inflates. Whoever opens a file says how many elements it may decode to; whoever is about
to allocate asks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ssmspec.errors import LayoutError

_ROOM: ContextVar[int | None] = ContextVar("room", default=None)


@contextmanager
def room_for(elements: int | None) -> Iterator[None]:
    """What is made of a file within the block may have so many elements; None for any number."""
    token = _ROOM.set(elements)
    try:
        yield
    finally:
        _ROOM.reset(token)


def require_room(shape: tuple[int, ...]) -> None:
    """Refuse an array that is far larger than what it is made of, before it is allocated.

    Raises:
        LayoutError: it has more elements than `room_for` allows.
    """
    allowed = _ROOM.get()
    if allowed is not None and math.prod(shape) > allowed:
        raise LayoutError(
            f"it would decode to an array of {' x '.join(f'{n:,}' for n in shape)}, out of "
            f"proportion to what the file holds"
        )
