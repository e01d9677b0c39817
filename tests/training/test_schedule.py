"""The learning rate, against torch's own schedulers and the closed form."""

import math

import pytest
import torch

from ssmspec.training.loop import rate_factor


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
    ours = [rate_factor(step, warmup=10, schedule=60) for step in range(60)]
    assert ours == pytest.approx(torch_factors(60, 10, 60), abs=1e-12)


def test_without_a_schedule_the_rate_stays():
    assert [rate_factor(step, warmup=4) for step in (0, 1, 3, 4, 10**6)] == [0.25, 0.5, 1, 1, 1]
    assert rate_factor(0) == 1.0


def test_a_schedule_ends_at_zero_and_stays_there():
    assert rate_factor(50, schedule=100) == pytest.approx(0.5)
    assert rate_factor(25, schedule=100) == pytest.approx(0.5 + math.sqrt(0.125))
    assert rate_factor(100, schedule=100) == rate_factor(10**6, schedule=100) == 0.0
    assert 0.0 < rate_factor(99, schedule=100) < 1e-3
