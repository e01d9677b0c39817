"""A text that must not pass a size: blocks by importance, and a line on what was left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """A piece of a text that is shown whole or not at all.

    Attributes:
        text: ends in a newline.
        rank: importance; 0 is shown first, and what does not fit is dropped from the highest.
        kind: what it is, for the line that says how many of them are missing: "finding".
        tight: no blank line before it, as within a list.
    """

    text: str
    rank: int
    kind: str
    tight: bool = False

    @property
    def size(self) -> int:
        """Bytes, with the blank line before it."""
        return len(self.text.encode()) + (not self.tight)


def fitted(blocks: Sequence[Block], room: int, remainder: str) -> str:
    """As many blocks as fit, by rank and then by place, in the order of the text.

    Args:
        blocks: the whole text.
        room: bytes that there are.
        remainder: text for what was left out, with `{}` where the count goes. It always fits
            where blocks are missing.

    Returns:
        At most `room` bytes; "" where there is no room for a single block.
    """
    blocks = [block for block in blocks if block.text]
    order = sorted(range(len(blocks)), key=lambda i: blocks[i].rank)
    if sum(block.size for block in blocks) - 1 <= room:
        return _joined(blocks)
    kept: set[int] = set()
    room -= len(_left_out(remainder, blocks).encode())
    for i in order:
        room -= blocks[i].size
        if room < 0:
            break
        kept.add(i)
    if not kept:
        return ""
    missing = [block for i, block in enumerate(blocks) if i not in kept]
    shown = [blocks[i] for i in sorted(kept)]
    return f"{_joined(shown)}\n{_left_out(remainder, missing)}"


def _left_out(remainder: str, missing: Sequence[Block]) -> str:
    kinds = Counter(block.kind for block in missing)
    told = [f"{number} {kind}{'s' * (number > 1)}" for kind, number in kinds.items()]
    return remainder.format(", ".join(told))


def _joined(blocks: Sequence[Block]) -> str:
    text = "".join(block.text if block.tight else f"\n{block.text}" for block in blocks)
    return text.removeprefix("\n")
