"""The order of the data: a function of seed and step, and of nothing else."""

import numpy as np
import pytest

from ssmspec.errors import UsageError
from ssmspec.training.batches import ahead, share, step_indices, steps_per_epoch


def epoch(number, *, examples=103, batch=10, seed=3):
    steps = steps_per_epoch(examples, batch)
    return [step_indices(examples, batch, seed, number * steps + step) for step in range(steps)]


def test_an_epoch_holds_each_example_at_most_once_and_leaves_out_the_last_broken_batch():
    seen = np.concatenate(epoch(0))
    assert seen.size == 100
    assert np.unique(seen).size == 100
    assert seen.min() >= 0
    assert seen.max() <= 102


def test_epochs_and_seeds_differ_and_every_example_gets_its_turn():
    orders = [np.concatenate(epoch(number)).tolist() for number in range(6)]
    assert len({tuple(order) for order in orders}) == 6
    assert set().union(*orders) == set(range(103))
    assert orders[0] != np.concatenate(epoch(0, seed=4)).tolist()


def test_a_step_is_the_same_whatever_was_asked_for_before():
    forward = [step_indices(50, 8, 1, step).tolist() for step in range(20)]
    backward = [step_indices(50, 8, 1, step).tolist() for step in reversed(range(20))]
    assert forward == backward[::-1]


def test_the_shuffle_is_fair():
    # Chance of a given example in the first batch of 10 of 100 is 1/10: over 400 epochs a count of
    # 40 with standard deviation 6.
    counts = np.zeros(100)
    for seed in range(400):
        counts[step_indices(100, 10, seed, 0)] += 1
    assert abs(counts.mean() - 40) < 1e-9
    assert counts.std() == pytest.approx(6.0, abs=1.2)


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 8])
def test_shares_are_equal_and_make_up_the_batch(processes):
    batch = step_indices(100, 24, 0, 5)
    shares = [share(batch, process, processes) for process in range(processes)]
    assert {part.size for part in shares} == {24 // processes}
    assert np.concatenate(shares).tolist() == batch.tolist()


def test_an_uneven_batch_is_shared_without_loss():
    shares = [share(np.arange(5), process, 4) for process in range(4)]
    assert np.concatenate(shares).tolist() == [0, 1, 2, 3, 4]


def test_too_few_examples_for_a_batch():
    with pytest.raises(UsageError, match=r"9 examples and a batch takes 10; lower batch_size"):
        steps_per_epoch(9, 10)


def test_preparing_ahead_changes_nothing_but_when():
    asked_for = []

    def items():
        for item in range(5):
            asked_for.append(item)
            yield item

    results = ahead(lambda item: item * item, items())
    assert next(results) == 0
    assert asked_for == [0, 1]  # the second is under way when the first is there
    assert list(results) == [1, 4, 9, 16]
    assert list(ahead(lambda item: item, [])) == []


def test_an_error_while_preparing_comes_where_its_result_would_have():
    results = ahead(lambda item: 1 / (2 - item), range(5))
    assert [next(results), next(results)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(results)
