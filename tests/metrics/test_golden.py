"""Known values of known initializations: H = 128 channels, 32 stored modes, L = 1024, under ZOH."""

import numpy as np
import pytest

from ssmspec.metrics import METRICS, Context
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Symmetry

H, M, LENGTH = 128, 32, 1024
N = 2 * M
n, h = np.arange(M), np.arange(H)[:, None]
SEEDS = range(40)


def layer(log_poles, dt=None):
    log_poles = np.ascontiguousarray(np.broadcast_to(log_poles, (H, M)), dtype=complex)
    return LayerSpectrum("layer", "s4d", Discretization.ZOH, Symmetry.HALF, log_poles, dt)


def value(identifier, spectrum):
    return METRICS[identifier](spectrum, Context(LENGTH)).value


def log_uniform(seed, low, high):
    return low * (high / low) ** np.random.default_rng(seed).random((H, 1))


def hippo_legs_frequencies():
    """Positive frequencies of the normal part of HiPPO-LegS(N), by a dense eigenvalue solver."""
    k = np.arange(N)
    root = np.sqrt(2 * k + 1)
    hippo = -np.tril(np.outer(root, root), -1) - np.diag(k + 1.0)
    normal = hippo + np.outer(root, root) / 2
    frequencies = np.linalg.eigvals(normal).imag
    return np.sort(frequencies[frequencies > 0])


FREQUENCIES = {
    "lin": np.pi * n,
    "inv": N / np.pi * (N / (2 * n + 1) - 1),
    "legs": hippo_legs_frequencies(),
}


def continuous(kind, seed, low=1e-3, high=1e-1):
    dt = log_uniform(seed, low, high)
    return layer((-0.5 + 1j * FREQUENCIES[kind]) * dt, dt)


def dfout(seed, offset=1.0):
    """One draw of xi in each of H log-strata, permuted until it has nothing to do with h."""
    rng = np.random.default_rng(seed)
    while True:
        xi = 1e-3 * 100 ** ((rng.permutation(H) + rng.random(H)) / H)
        if np.corrcoef(np.log(xi), h[:, 0])[0, 1] ** 2 < 0.01:
            break
    return layer(-xi[:, None] / 2 + 1j * np.pi * (n + offset * h / H) / M)


@pytest.mark.parametrize(("kind", "expected"), [("lin", 0.0993), ("inv", 0.106), ("legs", 0.120)])
def test_aliased_share_of_the_continuous_schemes(kind, expected):
    # A mode aliases where dt > pi / Im A, and log dt is uniform.
    chances = np.clip(np.log10(0.1 * np.maximum(FREQUENCIES[kind], 1e-9) / np.pi) / 2, 0, 1)
    assert chances.mean() == pytest.approx(expected, abs=6e-4)
    shares = [value("aliased_fraction", continuous(kind, seed)) for seed in SEEDS]
    assert np.mean(shares) == pytest.approx(expected, abs=4 * np.std(shares) / len(SEEDS) ** 0.5)
    if kind == "lin":
        assert np.std(shares) == pytest.approx(0.018, abs=0.006)


@pytest.mark.parametrize(
    ("kind", "identifier", "about"),
    [
        ("lin", "spectral_flatness", 0.64),
        ("inv", "spectral_flatness", 0.49),
        ("lin", "discrepancy", 0.42),
        ("inv", "discrepancy", 0.51),
        ("legs", "discrepancy", 0.48),
        ("lin", "frequency_w1", 0.25),
        ("inv", "frequency_w1", 0.32),
        ("lin", "low_frequency_share", 0.47),
        ("inv", "low_frequency_share", 0.58),
        ("legs", "low_frequency_share", 0.55),
    ],
)
def test_distribution_of_the_continuous_schemes(kind, identifier, about):
    values = [value(identifier, continuous(kind, seed)) for seed in SEEDS]
    assert np.mean(values) == pytest.approx(about, abs=0.03)


@pytest.mark.parametrize("kind", FREQUENCIES)
def test_one_step_size_a_channel_entangles_fully(kind):
    assert value("entanglement", continuous(kind, 0)) == pytest.approx(1.0, abs=1e-9)


def test_small_steps_leave_most_of_the_band_out_of_reach():
    spectra = [continuous("lin", seed, 1e-4, 1e-2) for seed in SEEDS]
    assert np.mean([value("coverage", s) for s in spectra]) == pytest.approx(0.25, abs=0.05)
    assert max(value("spectral_flatness", s) for s in spectra[:10]) < 0.01 + 0.005
    assert np.mean([value("spectral_flatness", s) for s in spectra[:10]]) < 0.01


@pytest.mark.parametrize("seed", range(10))
def test_layer_wise_dfout(seed):
    spectrum = dfout(seed)
    assert value("aliased_fraction", spectrum) == 0.0
    assert value("entanglement", spectrum) < 0.05
    assert value("spectral_flatness", spectrum) > 0.99
    assert value("discrepancy", spectrum) == pytest.approx(1 / 4096, rel=1e-9)
    assert value("frequency_w1", spectrum) == pytest.approx(0.5 / 4096, rel=1e-9)
    assert value("low_frequency_share", spectrum) == 410 / 4096
    assert value("coverage", spectrum) == pytest.approx(1.0)
    assert value("largest_gap", spectrum) == 0.0
    assert value("nyquist_headroom", spectrum) == pytest.approx(4096 / 4095)


def test_single_dfout_repeats_one_comb():
    spectrum = dfout(0, offset=0.0)
    assert value("aliased_fraction", spectrum) == 0.0
    assert value("entanglement", spectrum) == 0.0
    assert value("spectral_flatness", spectrum) == pytest.approx(0.70, abs=0.03)
    assert value("discrepancy", spectrum) == pytest.approx(0.03125, rel=1e-9)
    assert value("frequency_w1", spectrum) == pytest.approx(0.015625, rel=1e-9)
    assert value("low_frequency_share", spectrum) == 0.125


@pytest.mark.parametrize(("kind", "limit"), [("lin", 0.03226), ("inv", 0.00245), ("legs", 0.00241)])
def test_largest_step_size_free_of_aliases(kind, limit):
    dt = np.full((H, 1), 1e-3)
    headroom = value("nyquist_headroom", layer((-0.5 + 1j * FREQUENCIES[kind]) * dt, dt))
    assert headroom * 1e-3 == pytest.approx(limit, abs=6e-6)
