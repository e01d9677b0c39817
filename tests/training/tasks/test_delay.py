"""`delay`: the noise against its definition, the floors against brute force on drawn noise."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from ssmspec.training.tasks import TASKS
from ssmspec.training.tasks.base import TaskOptions
from ssmspec.training.tasks.delay import band_size, covariance, noise, noise_period


@pytest.fixture(scope="module")
def benchmark():
    """benchmarks/delay.py as a module."""
    path = Path(__file__).resolve().parents[3] / "benchmarks" / "delay.py"
    spec = importlib.util.spec_from_file_location("benchmark_delay", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_y_is_x_some_samples_later():
    options = TaskOptions(seq_len=50, settings=(("lag", "7"),))
    batch = TASKS["delay"].load(options).train.batch(np.arange(3))
    for x, y in zip(batch.x[:, :, 0], batch.y[:, :, 0], strict=True):
        assert y[:7].tolist() == [0.0] * 7
        assert y[7:].tolist() == x[:43].tolist()


def test_to_predict_zero_costs_three_quarters():
    data = TASKS["delay"].load(TaskOptions())
    assert (data.seq_len, data.causal) == (4000, True)
    y = data.train.batch(np.arange(100)).y.astype(np.float64)
    # 100 examples of 3,000 steps that come at half the Nyquist rate: 150,000 free numbers
    assert np.mean(y**2) == pytest.approx(0.75, abs=5 * 0.75 * np.sqrt(2 / 150_000))


@pytest.mark.parametrize("cutoff", [0.25, 0.1, 0.5])
def test_noise_has_a_flat_band_and_nothing_above(cutoff):
    length, draws = 256, 400
    period = noise_period(length)
    rng = np.random.default_rng(0)
    # A whole period of it: as many samples as the period of a quarter of the length.
    whole = np.stack([noise(rng, length, cutoff) for _ in range(draws)])
    window = np.hanning(length)
    power = np.mean(np.abs(np.fft.rfft(whole * window)) ** 2, axis=0)
    freq = np.fft.rfftfreq(length)
    inside = power[(freq > 0.02) & (freq < cutoff - 0.02)]
    expected = np.sum(window**2) / (2 * cutoff)
    np.testing.assert_allclose(inside, expected, rtol=6 / np.sqrt(draws))
    assert inside.mean() == pytest.approx(expected, rel=0.03)
    above = power[freq > cutoff + 0.02]
    assert above.size == 0 or above.max() < 1e-4 * expected
    assert band_size(length, cutoff) <= period // 2


@pytest.mark.parametrize("cutoff", [0.25, 0.1])
def test_covariance_is_that_of_ideal_band_limited_noise(cutoff):
    length = 500
    lags = np.arange(length)
    ideal = np.sinc(2 * cutoff * lags)
    np.testing.assert_allclose(
        covariance(length, cutoff), ideal, atol=1 / (4 * cutoff * length - 1)
    )


def test_covariance_is_what_draws_show():
    length, draws = 40, 20_000
    rng = np.random.default_rng(1)
    x = np.stack([noise(rng, length, 0.25) for _ in range(draws)])
    shown = x.T @ x / draws
    i = np.arange(length)
    stated = covariance(length, 0.25)[np.abs(i[:, None] - i)]
    np.testing.assert_allclose(shown, stated, atol=6 / np.sqrt(draws))


@pytest.mark.parametrize(
    ("scheme", "knob"), [("s4d-lin", 0.016), ("s4d-lin undamped", 0.016), ("dfout", 0.05)]
)
def test_the_floor_is_what_brute_force_least_squares_reaches(benchmark, scheme, knob):
    """States by the recurrence s = l s + x, C by lstsq on all steps of many noises."""
    length, lag, modes, draws = 256, 64, 32, 300
    poles = benchmark.log_poles(scheme, knob, modes)
    experiment = benchmark.Experiment(length, lag, modes)
    floor = benchmark.Expectation.of(experiment).floors(benchmark.features(poles, length))[0]

    x = np.stack([noise(np.random.default_rng(i), length, 0.25) for i in range(2 * draws)])
    pole = np.exp(poles)
    state = np.zeros((2 * draws, modes), dtype=complex)
    states, targets = [], []
    for step in range(length):
        state = pole * state + x[:, step : step + 1]
        states.append(np.concatenate([state.real, state.imag], axis=1))
        targets.append(x[:, step - lag] if step >= lag else np.zeros(2 * draws))
    states, targets = np.array(states), np.array(targets)
    fitted, unseen = slice(0, draws), slice(draws, None)
    readout = np.linalg.lstsq(
        states[:, fitted].reshape(-1, 2 * modes), targets[:, fitted].ravel(), rcond=1e-9
    )[0]
    reached = np.mean((targets[:, unseen] - states[:, unseen] @ readout) ** 2)
    assert reached == pytest.approx(floor, rel=0.05)
    assert 1e-4 < floor < 0.6


def test_floors_by_the_expected_gram_and_by_drawn_noise_agree(benchmark):
    experiment = benchmark.Experiment(length=256, lag=64, modes=32)
    columns = benchmark.features(benchmark.log_poles("dfout", 0.02, 32), 256)
    floor = benchmark.Expectation.of(experiment).floors(columns)[0]
    assert benchmark.drawn_floor(experiment, columns, 200) == pytest.approx(floor, rel=0.05)
