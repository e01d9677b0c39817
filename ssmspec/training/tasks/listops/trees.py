"""Random ListOps expressions and their values, level by level and many at once.

A node is a digit, or an operator over two to `max_args` nodes. The root stands at depth 1; a node
above `max_depth` is an operator with probability 1/4, one at `max_depth` never (the generator of
Long Range Arena, arXiv 2011.04006, after Nangia and Bowman 2018, arXiv 1804.06028). Printed, an
operator is an opening token such as `[MAX`, its arguments and a closing `]`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssmspec.arrays import Array

TOKENS = (*"0123456789", "[MIN", "[MAX", "[MED", "[SM", "]")
"""What a token stands for, in order; the next number, 15, pads."""

PADDING = len(TOKENS)
MIN, MAX, MED, SM, CLOSE = range(10, 15)
OPERATOR_SHARE = 0.25


@dataclass(frozen=True)
class Grammar:
    """What expressions look like.

    Attributes:
        max_depth: of the deepest digit; the root is at 1.
        max_args: most arguments of an operator.
        min_length: expressions are longer than this, in tokens.
        max_length: and shorter than this.
    """

    max_depth: int = 10
    max_args: int = 10
    min_length: int = 500
    max_length: int = 2000


@dataclass(frozen=True, eq=False)
class Level:
    """The nodes of one depth in all trees, siblings together and in order.

    Attributes:
        parent: (n,) row of the parent in the level above; the tree's number at the root.
        token: (n,) digit or operator.
        arguments: (n,) how many, 0 for a digit.
    """

    parent: Array
    token: Array
    arguments: Array


def draw_trees(rng: np.random.Generator, grammar: Grammar, trees: int) -> list[Level]:
    """Expressions as the law gives them, of any length."""
    levels = []
    parent: Array = np.arange(trees)
    for depth in range(1, grammar.max_depth + 1):
        nodes = len(parent)
        operator = rng.random(nodes) < OPERATOR_SHARE
        operator &= depth < grammar.max_depth
        token = np.where(operator, rng.integers(MIN, CLOSE, nodes), rng.integers(0, 10, nodes))
        arguments = np.where(operator, rng.integers(2, grammar.max_args + 1, nodes), 0)
        levels.append(Level(parent, token, arguments))
        parent = np.repeat(np.arange(nodes), arguments)
        if not len(parent):
            break
    return levels


def subtree_lengths(levels: list[Level]) -> list[Array]:
    """Tokens below and including each node: 1 for a digit, 2 more than its arguments' else.

    Returns:
        int64 (n,) for each level.
    """
    lengths: list[Array] = []
    for level, deeper in zip(reversed(levels), [None, *reversed(levels[1:])], strict=True):
        own = np.where(level.arguments > 0, 2, 1)
        if deeper is not None:
            own = own + np.bincount(deeper.parent, lengths[-1], len(own)).astype(np.int64)
        lengths.append(own)
    return lengths[::-1]


def select(levels: list[Level], keep: Array) -> list[Level]:
    """The trees with these numbers, (n,) in ascending order, numbered anew."""
    chosen = []
    for level in levels:
        inside = np.isin(level.parent, keep)
        parent = np.searchsorted(keep, level.parent[inside])
        chosen.append(Level(parent, level.token[inside], level.arguments[inside]))
        keep = np.flatnonzero(inside)
        if not len(keep):
            break
    return chosen


def values(levels: list[Level]) -> Array:
    """What each tree comes to, int64 (trees,) in 0 .. 9.

    MIN and MAX as they say; MED the median rounded down; SM the sum modulo 10.
    """
    below: Array = np.empty(0, dtype=np.int64)
    for level, deeper in zip(reversed(levels), [None, *reversed(levels[1:])], strict=True):
        value = level.token.astype(np.int64)
        if deeper is not None:
            value = np.where(level.arguments > 0, _apply(level, deeper.parent, below), value)
        below = value
    return below


def _apply(level: Level, parent: Array, below: Array) -> Array:
    """The operators' results from their arguments' values; anything for digits."""
    order = np.lexsort((below, parent))
    ordered = np.append(below[order], 0)
    first = np.cumsum(level.arguments) - level.arguments
    last = np.maximum(first + level.arguments - 1, first)
    middle = (
        ordered[(first + last) // 2] + ordered[np.minimum((first + last + 1) // 2, last)]
    ) // 2
    total = np.bincount(parent, below, len(first)).astype(np.int64) % 10
    results = [ordered[first], ordered[last], middle, total]
    which = np.clip(level.token - MIN, 0, 3)
    chosen: Array = np.choose(which, results)
    return chosen


def printed(levels: list[Level], lengths: list[Array]) -> Array:
    """All trees' tokens one after the other, uint8 (total,).

    Args:
        levels: the trees.
        lengths: what `subtree_lengths` says of them, (n,) a level.
    """
    start = np.cumsum(lengths[0]) - lengths[0]
    tokens = np.empty(int(lengths[0].sum()), dtype=np.uint8)
    for depth, (level, length) in enumerate(zip(levels, lengths, strict=True)):
        if depth:
            # A node stands after its parent's opening token and its elder siblings.
            before = np.cumsum(length) - length
            elder = np.searchsorted(level.parent, level.parent)
            start = start[level.parent] + 1 + before - before[elder]
        tokens[start] = level.token
        operator = level.arguments > 0
        tokens[(start + length - 1)[operator]] = CLOSE
    return tokens
