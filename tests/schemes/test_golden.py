"""The documented figures of every scheme, by an independent program: H = 128, 32 stored modes.

The measurements below share no code with the package: frequencies are folded through the cosine,
power in a bin comes from scipy's wrapped Cauchy law (which a unit-energy Poisson kernel is), and
distances are counted by brute force.
"""

import numpy as np
import pytest
from scipy.stats import wrapcauchy

from ssmspec.schemes import SCHEMES, SchemeOptions

H, M, N = 128, 32, 64


def draw(name, seed, channels=H, modes=M, **options):
    return SCHEMES[name].draw(channels, modes, seed, options=SchemeOptions(**options)).log_poles


def folded(log_poles):
    return np.arccos(np.cos(log_poles.imag))


def aliased(log_poles):
    return np.mean(np.abs(log_poles.imag) > np.pi * (1 + 1e-6))


def entanglement(log_poles):
    by_rank = []
    for n in range(log_poles.shape[1]):
        modes = [sorted(channel, key=lambda pole: abs(pole.imag))[n] for channel in log_poles]
        omega = np.array([abs(pole.imag) for pole in modes])
        decay = np.array([-pole.real for pole in modes])
        if (omega == 0).any():
            continue
        x, y = np.log(decay), np.log(omega)
        flat = x.std() < 1e-6 or y.std() < 1e-6
        by_rank.append(0.0 if flat else np.corrcoef(x, y)[0, 1] ** 2)
    return np.median(by_rank)


def flatness(log_poles):
    edges = np.linspace(0, np.pi, 129)[:, None]
    radius, centre = np.exp(log_poles.real).ravel(), folded(log_poles).ravel()
    power = np.zeros(128)
    for conjugate in (centre, -centre):
        turns, angle = np.divmod(edges - conjugate, 2 * np.pi)
        power += np.diff(turns + wrapcauchy.cdf(angle, radius), axis=0).sum(axis=1)
    assert power.sum() == pytest.approx(radius.size)
    return np.exp(np.log(power).mean()) / power.mean()


def discrepancy(log_poles):
    x = folded(log_poles).ravel() / np.pi
    closed = max(abs((x <= end).mean() - end) for end in x)
    opened = max(abs((x < end).mean() - end) for end in x)
    return max(closed, opened)


def wasserstein(log_poles, fine=32):
    x = np.sort(folded(log_poles).ravel()) / np.pi
    uniform = (np.arange(x.size * fine) + 0.5) / (x.size * fine)
    return np.abs(np.repeat(x, fine) - uniform).mean()


def low_share(log_poles):
    return (folded(log_poles) < 0.1 * np.pi).mean()


def coverage(log_poles):
    """Share of a fine grid that lies within half a power width of some pole, found by its gain."""
    grid = np.linspace(0, np.pi, 4001)
    covered = np.zeros(grid.size, dtype=bool)
    for pole in log_poles.ravel():
        radius, centre = np.exp(pole.real), np.arccos(np.cos(pole.imag))
        gain = 1 / np.abs(np.exp(1j * grid) - radius * np.exp(1j * centre)) ** 2
        covered |= gain >= 0.5 / (1 - radius) ** 2
    return covered.mean()


def expected_aliased(frequencies):
    """Expected share of modes with dt w > pi, for dt log-uniform in [1e-3, 1e-1]."""
    with np.errstate(divide="ignore"):
        share = np.log(0.1 * frequencies / np.pi) / np.log(100)
    return np.clip(share, 0, 1).mean()


def legs_frequencies():
    n = np.arange(N)
    root = np.sqrt(2 * n + 1)
    skew = -0.5 * np.outer(root, root) * np.sign(n[:, None] - n)
    imag = np.linalg.eigvals(skew).imag
    return imag[imag > 0]


FREQUENCIES = {
    "s4d-lin": np.pi * np.arange(M),
    "s4d-inv": N / np.pi * (N / (2 * np.arange(M) + 1) - 1),
    "s4d-legs": legs_frequencies(),
}


@pytest.mark.parametrize(
    ("name", "documented"), [("s4d-lin", 0.0993), ("s4d-inv", 0.106), ("s4d-legs", 0.120)]
)
def test_aliased_share_is_its_expectation(name, documented):
    expected = expected_aliased(FREQUENCIES[name])
    assert expected == pytest.approx(documented, abs=6e-4)
    shares = [aliased(draw(name, seed)) for seed in range(100)]
    error = np.std(shares, ddof=1) / 10
    assert np.mean(shares) == pytest.approx(expected, abs=4 * error)
    if name == "s4d-lin":
        assert np.std(shares, ddof=1) == pytest.approx(0.018, abs=0.005)


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("s4d-lin", {flatness: 0.64, discrepancy: 0.42, wasserstein: 0.25, low_share: 0.47}),
        ("s4d-inv", {flatness: 0.49, discrepancy: 0.51, wasserstein: 0.32, low_share: 0.58}),
        ("s4d-legs", {discrepancy: 0.48, low_share: 0.55}),
    ],
)
def test_figures_of_the_step_size_schemes(name, figures):
    layers = [draw(name, seed) for seed in range(4)]
    assert entanglement(layers[0]) == pytest.approx(1, abs=1e-9)
    for measure, documented in figures.items():
        # From draw to draw these vary by 0.02 to 0.04.
        assert np.mean([measure(x) for x in layers]) == pytest.approx(documented, abs=0.06)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_figures_of_dfout(seed):
    layer = draw("dfout", seed)
    grid = np.pi * np.arange(H * M) / (H * M)
    np.testing.assert_allclose(np.sort(layer.imag.ravel()), grid, atol=1e-14)
    assert aliased(layer) == 0
    assert flatness(layer) > 0.99
    assert discrepancy(layer) == pytest.approx(1 / 4096, abs=1e-9)
    assert wasserstein(layer) == pytest.approx(0.5 / 4096, abs=1e-9)
    assert low_share(layer) == pytest.approx(0.1, abs=5e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_figures_of_a_single_grid(seed):
    layer = draw("dfout-single", seed)
    assert aliased(layer) == 0
    assert entanglement(layer) == 0
    assert flatness(layer) == pytest.approx(0.70, abs=0.05)
    assert discrepancy(layer) == pytest.approx(0.03125, abs=1e-9)
    assert wasserstein(layer) == pytest.approx(0.015625, abs=1e-9)
    assert low_share(layer) == 0.125


@pytest.mark.parametrize(("channels", "seeds"), [(128, 50), (4, 10), (16, 10), (64, 10), (512, 5)])
def test_dfout_is_not_entangled(channels, seeds):
    assert max(entanglement(draw("dfout", seed, channels, 16)) for seed in range(seeds)) < 0.05


def test_three_channels_get_the_least_correlated_order():
    """Of the six orders of three unequal dampings none is uncorrelated; the middle one leads."""
    for seed in range(20):
        xi = -2 * draw("dfout", seed, 3, 4).real[:, 0]
        assert np.corrcoef(np.log(xi), np.arange(3))[0, 1] ** 2 < 0.26


def test_small_step_sizes_leave_most_of_the_band_out_of_reach():
    layer = draw("s4d-lin", 0, dt_min=1e-4, dt_max=1e-2)
    assert flatness(layer) < 0.01
    # The highest mode of the largest possible step size sits at 0.31 of the band.
    assert 0.22 < coverage(layer) < 0.31
