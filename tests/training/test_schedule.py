"""The learning rate, against torch's own schedulers and the closed form."""

import math

import pytest
import torch

from ssmspec.training.config import TrainConfig
from ssmspec.training.schedule import Rate


def torch_factors(steps, warmup, schedule):
    """What torch's schedulers make of the same words: linear warm-up, then half a cosine."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    rising = torch.optim.lr_scheduler.LinearLR(
        optimizer, start_factor=1 / warmup, end_factor=1.0, total_iters=warmup - 1
    )
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=schedule - warmup)
    both = torch.optim.lr_scheduler.SequentialLR(optimizer, [rising, falling], [warmup])
    factors = []
    for _ in range(steps):
        factors.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        both.step()
    return factors


@pytest.mark.filterwarnings("ignore:The epoch parameter in:UserWarning")  # torch, of itself
def test_warm_up_and_cosine_are_those_of_torch():
    ours = [Rate(10, 60).factor(step) for step in range(60)]
    assert ours == pytest.approx(torch_factors(60, 10, 60), abs=1e-12)


def test_without_a_schedule_the_rate_stays():
    assert [Rate(4).factor(step) for step in (0, 1, 3, 4, 10**6)] == [0.25, 0.5, 1, 1, 1]
    assert Rate().factor(0) == 1.0


def test_a_schedule_ends_at_zero_and_stays_there():
    assert Rate(end=100).factor(50) == pytest.approx(0.5)
    assert Rate(end=100).factor(25) == pytest.approx(0.5 + math.sqrt(0.125))
    assert Rate(end=100).factor(100) == Rate(end=100).factor(10**6) == 0.0
    assert 0.0 < Rate(end=100).factor(99) < 1e-3


@pytest.mark.parametrize(
    ("given", "rate"),
    [
        ({"epochs": 2}, Rate(0, 38)),
        ({"epochs": 10, "warmup": 0.1}, Rate(19, 190)),
        ({"max_steps": 20, "warmup": 0.1}, Rate(2, 20)),
        ({"max_steps": 20, "warmup_steps": 1000}, Rate(1000, 20)),
        ({"epochs": 2, "schedule_steps": 50, "warmup": 0.1}, Rate(5, 50)),
        ({"epochs": 2, "schedule": "constant", "warmup": 0.5}, Rate(19, None)),
    ],
)
def test_shares_are_of_the_run_and_a_cosine_ends_with_it(given, rate):
    assert TrainConfig("digits", **given).rate(19) == rate


def test_a_run_within_its_warm_up_only_rises():
    factors = [Rate(1000, 20).factor(step) for step in range(20)]
    assert factors == pytest.approx([(step + 1) / 1000 for step in range(20)])
