"""`listops`: values against a recursive reading of the printed expression, law against theory."""

import statistics

import numpy as np
import pytest

from ssmspec.errors import UsageError
from ssmspec.training.tasks import TASKS
from ssmspec.training.tasks.base import TaskOptions
from ssmspec.training.tasks.listops.task import Expressions, draw_expressions
from ssmspec.training.tasks.listops.trees import (
    MIN,
    PADDING,
    TOKENS,
    Grammar,
    draw_trees,
    subtree_lengths,
)


def evaluate(words):
    """Value, depth and argument counts of an expression, read from left to right."""
    word = words.pop(0)
    if word.isdigit():
        return int(word), 1, []
    arguments, depths, counts = [], [], []
    while words[0] != "]":
        value, depth, below = evaluate(words)
        arguments.append(value)
        depths.append(depth)
        counts += below
    words.pop(0)
    result = {
        "[MIN": min,
        "[MAX": max,
        "[MED": lambda numbers: int(statistics.median(numbers)),
        "[SM": lambda numbers: sum(numbers) % 10,
    }[word](arguments)
    return result, 1 + max(depths), [*counts, len(arguments)]


@pytest.mark.parametrize(
    "grammar", [Grammar(), Grammar(4, 3, 3, 60), Grammar(10, 10, 0, 40), Grammar(3, 20, 20, 300)]
)
def test_values_are_those_of_the_printed_expressions(grammar):
    drawn = draw_expressions(np.random.default_rng(0), grammar, 60, TaskOptions())
    start = 0
    deepest, most = 0, 0
    for length, value in zip(drawn["lengths"], drawn["y"], strict=True):
        words = [TOKENS[token] for token in drawn["x"][start : start + length]]
        start += length
        assert grammar.min_length < len(words) < grammar.max_length
        result, depth, counts = evaluate(words)
        assert not words, "one expression and nothing after it"
        assert result == value
        deepest, most = max(deepest, depth), max([most, *counts])
        assert all(2 <= count <= grammar.max_args for count in counts)
    assert start == len(drawn["x"])
    assert deepest <= grammar.max_depth
    if grammar == Grammar():
        assert (deepest, most) == (10, 10)


def test_trees_follow_the_published_law():
    """A quarter of the nodes above the last depth are operators, of 2 to 10 arguments alike."""
    levels = draw_trees(np.random.default_rng(0), Grammar(max_depth=3), 40_000)
    assert len(levels) == 3
    for level in levels[:2]:
        operator = level.token >= MIN
        error = np.sqrt(0.25 * 0.75 / len(operator))
        assert operator.mean() == pytest.approx(0.25, abs=4 * error)
        counts = np.bincount(level.arguments[operator], minlength=11)
        assert counts[:2].sum() == 0
        share = operator.sum() / 9
        np.testing.assert_allclose(counts[2:], share, atol=5 * np.sqrt(share))
        kinds = np.bincount(level.token[operator] - MIN)
        np.testing.assert_allclose(kinds, operator.sum() / 4, atol=5 * np.sqrt(operator.sum() / 4))
    assert (levels[2].token < 10).all()
    # a root is 1 token with probability 3/4; its expected length is 1 + 1/4 (1 + 6 E of a child)
    child = 0.75 + 0.25 * (2 + 6)
    expected = 0.75 + 0.25 * (2 + 6 * child)
    lengths = subtree_lengths(levels)[0]
    error = lengths.std() / np.sqrt(len(lengths))
    assert lengths.mean() == pytest.approx(expected, abs=4 * error)


def test_a_batch_is_padded_at_the_end():
    tokens = np.array([1, 2, 3, 4, 5, 6], dtype=np.uint8)
    split = Expressions(tokens, np.array([2, 1, 3]), np.array([7, 8, 9]), seq_len=4)
    batch = split.batch(np.array([2, 0]))
    assert batch.x.tolist() == [[4, 5, 6, PADDING], [1, 2, PADDING, PADDING]]
    assert batch.lengths.tolist() == [3, 2]
    assert batch.y.tolist() == [9, 7]


def test_an_empty_range_is_refused(tmp_path):
    with pytest.raises(UsageError, match="there are none"):
        TASKS["listops"].load(TaskOptions(seq_len=501, cache=tmp_path))
    settings = (("max_depth", "2"), ("max_args", "3"), ("examples", "1"))
    with pytest.raises(UsageError, match="widen the range"):
        TASKS["listops"].load(TaskOptions(cache=tmp_path, settings=settings))
    assert not list(tmp_path.iterdir())
