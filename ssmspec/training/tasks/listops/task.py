"""`listops`: evaluate nested lists of MIN, MAX, MED and SM over digits.

The ListOps of Long Range Arena (arXiv 2011.04006) from its published parameters: depth up to 10, up
to 10 arguments, more than 500 and fewer than 2,000 tokens, 96,000 / 2,000 / 2,000 examples. MED is
the median rounded down, SM the sum modulo 10. An expression such as

    [MAX 4 [MIN 2 9 ] 7 ]

has one token a word: digits 0 to 9 are tokens 0 to 9, `[MIN` 10, `[MAX` 11, `[MED` 12, `[SM` 13,
`]` 14; 15 pads at the end, and counts for nothing. The class is the value.

This is a generator of its own; its expressions follow the same law as the published files and are
not the same. The original drops an expression it has drawn before; of that length none ever is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ssmspec.arrays import Array
from ssmspec.errors import UsageError
from ssmspec.training.tasks.base import Batch, Data, Target, Task, TaskOptions
from ssmspec.training.tasks.cache import another_tenth, cached
from ssmspec.training.tasks.listops.trees import (
    CLOSE,
    PADDING,
    Grammar,
    draw_trees,
    printed,
    select,
    subtree_lengths,
    values,
)
from ssmspec.training.tasks.settings import needs_no_data, read_settings
from ssmspec.training.tasks.splits import TEST, TRAIN, VALIDATION

VERSION = 1
"""Of the generator: a change of what it draws gets a new number, and so a new file."""

SEQ_LEN = 2000
SETTINGS = (
    ("min_length", "500"),
    ("max_depth", "10"),
    ("max_args", "10"),
    ("examples", "96000"),
    ("held_out", "2000"),
)
TREES = 4096
"""Expressions drawn at once, most of which are too short (heuristic)."""

PATIENCE = 200
"""Rounds of `TREES` without one of the right length before giving up (heuristic)."""


class Expressions:
    """A split of expressions of differing length, stored one after the other.

    Args:
        tokens: uint8 (total,).
        lengths: int64 (n,).
        y: int64 (n,).
        seq_len: L, to which a batch is padded.
    """

    def __init__(self, tokens: Array, lengths: Array, y: Array, seq_len: int) -> None:
        self._tokens, self._lengths, self._y = tokens, lengths, y
        self._starts = np.cumsum(lengths) - lengths
        self._seq_len = seq_len

    def __len__(self) -> int:
        return len(self._y)

    def batch(self, indices: Array) -> Batch:
        """The expressions with these indices, (B,): x int64 (B, L), padded at the end; y (B,)."""
        lengths = self._lengths[indices]
        x = np.full((len(indices), self._seq_len), PADDING, dtype=np.int64)
        for row, (start, length) in enumerate(zip(self._starts[indices], lengths, strict=True)):
            x[row, :length] = self._tokens[start : start + length]
        return Batch(x, self._y[indices], lengths)


def load(options: TaskOptions) -> Data:
    """Expressions, generated once and kept in the cache.

    Raises:
        UsageError: the settings leave no expression.
    """
    settings = read_settings("listops", SETTINGS, options)
    needs_no_data("listops", options)
    length = SEQ_LEN if options.seq_len is None else options.seq_len
    grammar = Grammar(
        max_depth=settings.integer("max_depth", 2, 20),
        max_args=settings.integer("max_args", 2, 20),
        min_length=settings.integer("min_length", 0),
        max_length=length,
    )
    if grammar.min_length + 1 >= length:
        raise UsageError(
            f"listops has expressions longer than min_length = {grammar.min_length} and shorter "
            f"than the sequence length of {length}: there are none"
        )
    examples, held_out = settings.integer("examples", 1), settings.integer("held_out", 1)
    counts = {TRAIN: examples, VALIDATION: held_out, TEST: held_out}

    def make() -> dict[str, Array]:
        arrays: dict[str, Array] = {}
        for split, count in counts.items():
            seeds = np.random.SeedSequence((options.seed, split))
            rng = np.random.Generator(np.random.PCG64(seeds))
            drawn = draw_expressions(rng, grammar, count, options)
            arrays |= {f"{key}{split}": array for key, array in drawn.items()}
        return arrays

    def fits(arrays: Mapping[str, Array]) -> bool:
        return all(_fits(arrays, split, count, length) for split, count in counts.items())

    name = (
        f"listops-v{VERSION}-length{grammar.min_length}-{length}-depth{grammar.max_depth}"
        f"-args{grammar.max_args}-n{examples}-{held_out}-seed{options.seed}"
    )
    arrays = cached(options, name, make, fits)
    train, validation, test = (
        Expressions(arrays[f"x{s}"], arrays[f"lengths{s}"], arrays[f"y{s}"], length) for s in counts
    )
    return Data(
        train=train,
        validation=validation,
        test=test,
        target=Target.CLASS,
        d_input=1,
        d_output=10,
        seq_len=length,
        vocabulary=PADDING + 1,
    )


def draw_expressions(
    rng: np.random.Generator, grammar: Grammar, count: int, options: TaskOptions
) -> dict[str, Array]:
    """Tokens `x` (total,) one after the other, `lengths` and values `y` (count,) of expressions.

    Raises:
        UsageError: none of very many has the right length.
    """
    parts: list[tuple[Array, Array, Array]] = []
    made = rounds = 0
    while made < count:
        levels = draw_trees(rng, grammar, TREES)
        length = subtree_lengths(levels)[0]
        right = (length > grammar.min_length) & (length < grammar.max_length)
        keep = np.flatnonzero(right)[: count - made]
        rounds += 1
        if not len(keep):
            if rounds > PATIENCE and not made:
                raise UsageError(
                    f"no listops expression of more than {grammar.min_length} and fewer than "
                    f"{grammar.max_length} tokens comes up at depth {grammar.max_depth} and "
                    f"{grammar.max_args} arguments; widen the range"
                )
            continue
        levels = select(levels, keep)
        lengths = subtree_lengths(levels)
        parts.append((printed(levels, lengths), lengths[0], values(levels)))
        made += len(keep)
        if another_tenth(made - len(keep), made, count):
            options.tell(f"{made:,} of {count:,} expressions drawn")
    x, lengths_of, y = (np.concatenate(column) for column in zip(*parts, strict=True))
    return {"x": x, "lengths": lengths_of, "y": y}


def _fits(arrays: Mapping[str, Array], split: int, count: int, length: int) -> bool:
    """Whether the cache holds a split of the right size, with tokens and classes in range."""
    try:
        x, lengths, y = (arrays[f"{key}{split}"] for key in ("x", "lengths", "y"))
    except KeyError:
        return False
    return (
        x.dtype == np.uint8
        and lengths.dtype == y.dtype == np.int64
        and lengths.shape == y.shape == (count,)
        and x.shape == (int(lengths.sum()),)
        and bool((lengths > 0).all() and (lengths < length).all())
        and bool((x <= CLOSE).all() and (y >= 0).all() and (y < 10).all())
    )


LISTOPS = Task(
    id="listops",
    title="ListOps",
    summary="nested MIN, MAX, MED and SM of digits in, the value out; tests hierarchy",
    source="arXiv 1804.06028, with the parameters of Long Range Arena (arXiv 2011.04006)",
    load=load,
    settings=SETTINGS,
)
