"""Losses and metrics against scikit-learn and hand-made numbers; sums over parts and processes."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss

from ssmspec.errors import UsageError
from ssmspec.training.scoring import measure, objective_for
from ssmspec.training.tasks.base import IGNORED, Batch, Target

RNG = np.random.default_rng(0)


def test_classes_are_judged_as_scikit_learn_does():
    objective = objective_for(Target.CLASS)
    logits, y = RNG.normal(size=(40, 5)), RNG.integers(5, size=40)
    loss, correct = objective.score(torch.tensor(logits), torch.tensor(y))
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert loss.item() / 40 == pytest.approx(log_loss(y, shares), rel=1e-5)
    assert correct.item() / 40 == pytest.approx(accuracy_score(y, logits.argmax(1)))
    assert objective.count(y) == 40


def test_an_ignored_step_counts_in_neither_sum():
    objective = objective_for(Target.CLASS_PER_STEP)
    logits, y = torch.tensor(RNG.normal(size=(3, 7, 4))), RNG.integers(4, size=(3, 7))
    asked = RNG.random((3, 7)) < 0.5
    masked = np.where(asked, y, IGNORED)
    loss, correct = objective.score(logits, torch.tensor(masked))
    alone = objective.score(logits[torch.tensor(asked)], torch.tensor(y[asked]))
    assert loss.item() == pytest.approx(alone[0].item(), rel=1e-6)
    assert correct.item() == alone[1].item()
    assert objective.count(masked) == asked.sum()


def test_a_value_that_is_not_asked_has_neither_loss_nor_gradient():
    objective = objective_for(Target.VALUE_PER_STEP)
    y = np.array([[[1.0], [np.nan], [3.0]]], np.float32)
    outputs = torch.tensor([[[2.0], [5.0], [1.0]]], requires_grad=True)
    loss, metric = objective.score(outputs, torch.tensor(y))
    loss.backward()
    assert loss.item() == metric.item() == 1.0 + 4.0
    assert outputs.grad is not None
    assert outputs.grad.flatten().tolist() == [2.0, 0.0, -4.0]
    assert objective.count(y) == 2


def test_which_way_is_better():
    accuracy, error = objective_for(Target.CLASS), objective_for(Target.VALUE_PER_STEP)
    assert accuracy.improves(0.9, 0.8)
    assert error.improves(0.1, 0.2)
    assert not accuracy.improves(0.8, 0.8)
    assert not error.improves(0.3, 0.2)
    assert not accuracy.improves(math.nan, 0.8)
    assert not error.improves(math.nan, 0.2)


class Numbers:
    """A split whose inputs are its labels, and a count of what was taken from it."""

    def __init__(self, size):
        self.y = RNG.integers(4, size=size)
        self.taken = []

    def __len__(self):
        return self.y.size

    def batch(self, indices):
        self.taken += indices.tolist()
        x = np.eye(4, dtype=np.float32)[self.y[indices]][:, None]
        return Batch(x, np.where(self.y[indices] == 3, 0, self.y[indices]))


def forward(x, lengths):
    assert lengths is None
    return 10.0 * x[:, 0]


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_every_example_is_measured_once_however_it_is_cut(batch_size):
    split = Numbers(103)
    result = measure(
        forward,
        split,
        objective_for(Target.CLASS),
        batch_size=batch_size,
        device=torch.device("cpu"),
    )
    wrong = (split.y == 3).mean()
    right = math.log(1 + 3 * math.exp(-10))
    assert result.metric == pytest.approx(1 - wrong)
    assert result.loss == pytest.approx(right + 10 * wrong, rel=1e-6)
    assert result.asked == 103
    assert split.taken == list(range(103))


@pytest.mark.parametrize("processes", [2, 5])
def test_processes_add_up_to_the_whole(processes):
    split = Numbers(23)
    total = torch.zeros(3, dtype=torch.float64)

    def part(process):
        def add(sums):
            nonlocal total
            total = total + sums
            return sums

        with_some = {
            "batch_size": 9,
            "device": torch.device("cpu"),
            "process": process,
            "processes": processes,
            "add_up": add,
        }
        measure(forward, split, objective_for(Target.CLASS), **with_some)

    for process in range(processes):
        part(process)
    assert sorted(split.taken) == list(range(23))
    assert total[2] == 23
    assert total[1] == (split.y != 3).sum()


def test_a_split_that_asks_nothing():
    class Silent(Numbers):
        def batch(self, indices):
            return Batch(super().batch(indices).x, np.full(indices.size, IGNORED))

    with pytest.raises(UsageError, match="nothing to answer"):
        measure(
            forward,
            Silent(5),
            objective_for(Target.CLASS),
            batch_size=5,
            device=torch.device("cpu"),
        )
