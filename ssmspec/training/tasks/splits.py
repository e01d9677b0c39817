"""Splits of data: arrays in memory, or examples drawn anew from their number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ssmspec.arrays import Array
from ssmspec.training.tasks.base import Batch

TRAIN, VALIDATION, TEST = 0, 1, 2
"""Numbers of the splits, as they go into a seed."""

Draw: TypeAlias = Callable[[np.random.Generator], tuple[Array, Array]]


def as_it_is(x: Array) -> Array:
    """The array itself, of any shape."""
    return x


@dataclass(frozen=True, eq=False)
class ArraySplit:
    """Examples that lie in arrays.

    Attributes:
        x: (n, ...), as stored.
        y: (n, ...), as `Target` says.
        prepare: from some rows of `x` to a batch's x; the identity where they are stored so.
        lengths: int64 (n,), or None.
        rows: which of the n examples belong to the split; None for all. Arrays on disk stay there.
    """

    x: Array
    y: Array
    prepare: Callable[[Array], Array] = as_it_is
    lengths: Array | None = None
    rows: Array | None = None

    def __len__(self) -> int:
        return len(self.x if self.rows is None else self.rows)

    def batch(self, indices: Array) -> Batch:
        """The examples with these indices, (B,); they count within `rows` where that is given."""
        if self.rows is not None:
            indices = self.rows[indices]
        lengths = None if self.lengths is None else self.lengths[indices]
        return Batch(self.prepare(self.x[indices]), self.y[indices], lengths)


@dataclass(frozen=True, eq=False)
class DrawnSplit:
    """Examples that are drawn when asked for; example i is the same whenever it is drawn.

    Attributes:
        count: how many there are.
        seed: of the task.
        number: of the split, so that no two splits draw the same.
        draw: x and y of one example.
    """

    count: int
    seed: int
    number: int
    draw: Draw

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Array) -> Batch:
        """The examples with these indices, (B,), each from a stream of its own."""
        drawn = [self.draw(self._rng(int(index))) for index in indices]
        x, y = zip(*drawn, strict=True)
        return Batch(np.stack(x), np.stack(y))

    def _rng(self, index: int) -> np.random.Generator:
        if not 0 <= index < self.count:
            raise IndexError(f"example {index} of {self.count}")
        seeds = np.random.SeedSequence((self.seed, self.number, index))
        return np.random.Generator(np.random.PCG64(seeds))


def drawn_splits(
    draw: Draw, seed: int, examples: int, held_out: int
) -> tuple[DrawnSplit, DrawnSplit, DrawnSplit]:
    """Train, validation and test of a task that draws its examples."""
    return (
        DrawnSplit(examples, seed, TRAIN, draw),
        DrawnSplit(held_out, seed, VALIDATION, draw),
        DrawnSplit(held_out, seed, TEST, draw),
    )


def held_out_rows(rows: int, share: float, seed: int) -> tuple[Array, Array]:
    """Indices (n,) of the rows to learn from and (m,) of those held out, in ascending order.

    At least one row is on either side.
    """
    count = min(max(1, round(share * rows)), rows - 1)
    order = np.random.Generator(np.random.PCG64(seed)).permutation(rows)
    return np.sort(order[count:]), np.sort(order[:count])
