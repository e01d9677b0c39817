"""What figures draw, against closed forms and brute force."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import quad

from ssmspec.kernel import frequency_response, impulse_response
from ssmspec.metrics import METRICS, Context
from ssmspec.plots.kinds.kernels import channel_energies
from ssmspec.plots.kinds.response import gains_of
from ssmspec.plots.parts.lags import LAG_ZERO, LagEnergies, lag_bins, lag_energies, lags_shown
from ssmspec.plots.parts.pairs import place, window_of
from ssmspec.plots.parts.points import points_of, thinned
from ssmspec.plots.parts.profiles import memory_of
from ssmspec.plots.parts.reach import (
    covered_intervals,
    covered_shares,
    largest_gap,
    linear_density,
    octave_density,
    runs,
)
from ssmspec.plots.parts.references import reference_of
from ssmspec.reading import Discretization
from ssmspec.results.layer_view import LayerView
from ssmspec.spectrum import Structure, Symmetry
from tests.examples.kernels import horizon, long_energy, random_siso
from tests.examples.plots import lin, mimo_view, real, siso_view, spectrum, view

GRID = np.linspace(0.0, np.pi, 200_001)


def reached(layer, length, omega):
    """Whether each frequency is within reach of a mode, one mode after the other."""
    found = np.zeros(omega.size, dtype=bool)
    for pole in layer.log_poles.reshape(-1):
        if pole.real > 0:
            continue
        r = np.exp(pole.real)
        width = math.acos((4 * r - 1 - r * r) / (2 * r)) if r >= 3 - 2 * math.sqrt(2) else math.pi
        width = max(width, math.pi / length if length else 0.0)
        center = abs((pole.imag + math.pi) % (2 * math.pi) - math.pi)
        found |= np.abs(omega - center) <= width
    return found


@pytest.mark.parametrize("length", [None, 64, 100_000])
def test_the_reach_is_the_union_of_the_modes_own(length):
    layer = lin(channels=5, modes=9)
    intervals = covered_intervals(layer, length)
    assert (intervals[:, 1] > intervals[:, 0]).all()
    assert (intervals[1:, 0] > intervals[:-1, 1]).all()
    inside = (GRID[:, None] >= intervals[:, 0]) & (GRID[:, None] <= intervals[:, 1])
    brute = reached(layer, length, GRID)
    assert np.count_nonzero(inside.any(axis=1) != brute) <= 2 * len(intervals)
    share = float((intervals[:, 1] - intervals[:, 0]).sum()) / np.pi
    assert share == pytest.approx(METRICS["coverage"](layer, Context(length)).value, abs=1e-12)


def test_a_bin_is_covered_as_far_as_a_fine_grid_says():
    layer = lin(channels=3, modes=5, dt=(0.01, 0.3))
    edges = np.pi * 2.0 ** np.linspace(-6, 0, 31)
    edges[-1] = np.pi
    shares = covered_shares(covered_intervals(layer, None), edges)
    for low, high, share in zip(edges[:-1], edges[1:], shares, strict=True):
        brute = reached(layer, None, np.linspace(low, high, 4001)).mean()
        assert share == pytest.approx(brute, abs=2e-3)


def test_growing_modes_reach_nothing():
    layer = spectrum([[0.1 + 1j, 0.2 + 2j]])
    intervals = covered_intervals(layer, 100)
    assert intervals.shape == (0, 2)
    assert_array_equal(covered_shares(intervals, np.linspace(0, np.pi, 5)), np.zeros(4))
    assert largest_gap(intervals) == (0.0, np.pi)


def test_the_largest_gap_lies_where_it_was_put():
    intervals = np.array([[0.1, 0.5], [0.6, 1.0], [2.5, 3.0]])
    assert largest_gap(intervals) == (1.0, 2.5)
    assert largest_gap(intervals[:2]) == (1.0, np.pi)


def test_a_bin_covered_in_part_is_shown_neither_full_nor_empty():
    shares = np.array([0.0, 0.001, 0.5, 0.999, 1.0, 1.0, 0.0])
    stretches = runs(shares, np.arange(8.0))
    drawn = {
        (level, low, high)
        for level, begin, end in stretches
        for low, high in zip(begin, end, strict=True)
    }
    assert drawn == {(0.25, 1, 2), (0.5, 2, 3), (0.75, 3, 4), (1.0, 4, 6)}


def poisson(decay, omega):
    """Energy density along [0, pi] of a mode and its conjugate, from its definition."""

    def density(e):
        both = sum(
            math.sinh(decay) / (math.cosh(decay) - math.cos(e - center))
            for center in (omega, -omega)
        )
        return both / (2 * math.pi)

    return density


def test_power_densities_integrate_poisson_kernels():
    layer = spectrum([[-0.3 + 0.5j, -0.1 + 5.0j]])
    modes = [poisson(0.3, 0.5), poisson(0.1, 2 * math.pi - 5.0)]
    for density in (linear_density(layer), octave_density(layer, 5)):
        assert density.edges[-1] == np.pi
        for low, high, value in list(
            zip(density.edges[:-1], density.edges[1:], density.values, strict=True)
        )[::7]:
            mass = np.mean([quad(mode, low, high)[0] for mode in modes])
            assert value == pytest.approx(mass * np.pi / (high - low), rel=1e-6)


def test_points_are_the_poles_and_counts_are_of_all():
    layer = lin(channels=64, modes=32)
    points = points_of(layer, 100)
    assert points.log_poles.size == 100
    assert np.isin(points.log_poles, layer.log_poles).all()
    steps, which = np.geomspace(1e-3, 1e-1, 64)[:, None], np.arange(32)
    assert points.aliased == np.count_nonzero(steps * which > 1.0 + 1e-6)
    assert points.modes == 64 * 32
    assert_allclose(points.dt * -0.5, points.log_poles.real)
    folded = np.arccos(np.cos(layer.log_poles.imag))  # what a real signal hears
    expected = np.exp(layer.log_poles.real) * np.exp(1j * folded)
    assert_allclose(points_of(layer).poles_bar, expected.reshape(-1), atol=1e-7)


def test_poles_that_are_not_finite_are_counted_and_left_out():
    points = points_of(spectrum([[-0.1 + 1j, complex(np.nan, 0.0), 0.2 + 1j]]))
    assert (points.non_finite, points.growing, points.log_poles.size) == (1, 1, 2)


def test_full_layers_keep_the_sign_of_their_angles():
    layer = spectrum([[-0.1 + 1j, -0.1 - 1j]], symmetry=Symmetry.FULL)
    assert_allclose(points_of(layer).poles_bar, np.exp([-0.1 + 1j, -0.1 - 1j]))


def test_thinning_keeps_all_of_few_and_repeats_itself():
    assert_array_equal(thinned(5, 10), np.arange(5))
    chosen = thinned(10_000, 100)
    assert_array_equal(chosen, thinned(10_000, 100))
    assert np.unique(chosen).size == 100
    # Not one mode of every channel: strides would keep 1 of 32 remainders, chance nearly all.
    assert np.unique(chosen % 32).size > 20


def test_time_constants_fall_into_octaves():
    decay = np.array([[2.0, 1.0, 0.5, 0.3, 0.1, 0.0, -0.1]])  # 0.5, 1, 2, 3.3, 10, never, grows
    memory = memory_of(spectrum(-decay + 0j, symmetry=Symmetry.REAL))
    assert memory.first == -1
    assert_allclose(memory.shares * 7, [1, 1, 2, 0, 1])
    assert (memory.undamped, memory.growing, memory.modes) == (1, 1, 7)


def test_near_zero_frequencies_stand_in_a_slot_of_their_own():
    points = points_of(lin(channels=8, modes=40))
    window = window_of([points])
    x, _ = place(points, window)
    omega = points.log_poles.imag
    assert window.slot == "0"
    assert_array_equal(x == window.zero, omega == 0.0)
    assert_allclose(x[omega > 0], omega[omega > 0])
    assert window.zero < omega[omega > 0].min()
    strayed = points_of(spectrum(np.where(omega == 0.0, -0.1 + 1e-9j, points.log_poles)[None]))
    assert window_of([strayed]).slot == "~0"


@pytest.mark.parametrize("length", [1, 2, 3, 7, 64, 1000])
def test_every_lag_lies_in_one_bin(length):
    bins = lag_bins(length, 12)
    assert bins.first[0] == 0
    assert (np.diff(bins.first) > 0).all()
    assert bins.edges[0] == LAG_ZERO
    assert_allclose(bins.edges[1:-1], np.log2(bins.first[1:] - 0.5))
    assert bins.edges[-1] == pytest.approx(math.log2(length - 0.5))
    values = np.random.default_rng(0).random((2, length))
    parts = np.split(values, bins.first[1:], axis=1)
    assert_allclose(bins.mean(values), np.stack([part.mean(axis=1) for part in parts], axis=1))
    assert bins.first.size <= 12 * (math.log2(length) + 2) + 1


@pytest.mark.parametrize("make", [siso_view, mimo_view])
def test_energy_by_lag_is_the_direct_sum_over_modes(make):
    layer = make(length=150)
    lags = lag_energies(layer)
    direct = long_energy(layer.kernel, 150)
    assert_allclose(lags.energy, direct / direct.sum(), rtol=1e-9, atol=1e-15)
    assert lags.held == horizon(direct)


def test_an_unknown_length_shows_a_power_of_two_that_holds_the_energy():
    layer = siso_view(length=None)
    shown = lags_shown(layer)
    assert shown & (shown - 1) == 0
    long = long_energy(layer.kernel, 4 * shown)
    assert long[:shown].sum() > 0.99 * long.sum()


def test_a_kernel_that_is_not_there_says_why():
    assert lag_energies(view(lin())) == "C is not in the file"
    assert gains_of(view(lin())) == "C is not in the file"
    assert "depend on the input" in lag_energies(view(real()))


@pytest.mark.parametrize("make", [siso_view, mimo_view])
def test_the_heat_map_shows_each_channel_against_its_own_peak(make):
    layer = make(length=120)
    shown = channel_energies(layer.kernel, 120)
    response = impulse_response(layer.kernel, 120)
    # Over S kernels of a channel (S, H, L), or over the inputs of an output (O, I, L).
    energy = (response**2).sum(axis=1 if make is mimo_view else 0)
    order = sorted(range(len(energy)), key=lambda row: horizon(energy[row]))
    bins = lag_bins(120, 40)
    means = np.array([[part.mean() for part in np.split(row, bins.first[1:])] for row in energy])
    decibels = 10 * np.log10(means / means.max(axis=1, keepdims=True))
    assert_allclose(shown.energy, np.maximum(decibels[order], -40.0), atol=1e-6)
    assert shown.channels == len(energy)


@pytest.mark.parametrize("symmetry", list(Symmetry))
def test_gains_are_the_transform_of_the_kernel(symmetry):
    kernel = random_siso(np.random.default_rng(1), (4, 5), symmetry, kernels=2, slowest=0.05)
    gains = gains_of(LayerView(kernel.spectrum, kernel))
    response = impulse_response(kernel, 2048)
    direct = np.sqrt((np.abs(np.fft.rfft(response, axis=-1)) ** 2).sum(axis=0))
    assert_allclose(gains.gains, direct, rtol=1e-6)
    assert_allclose(gains.total, np.linalg.norm(direct, axis=0), rtol=1e-6)
    omega, curve = gains.loudest
    best = int(np.argmax(direct.max(axis=1)))
    exact = frequency_response(kernel, omega)[:, best]
    assert_allclose(curve, np.linalg.norm(exact, axis=0), rtol=1e-9)


def test_gains_of_a_mimo_layer_are_those_of_its_outputs():
    layer = mimo_view(outputs=3, inputs=20)  # more inputs than modes and conjugates
    gains = gains_of(layer)
    exact = frequency_response(layer.kernel, gains.omega)
    assert_allclose(gains.gains, np.linalg.norm(exact, axis=1), rtol=1e-9)
    assert gains.noun == "output"


def test_the_reference_has_the_shape_of_the_layer():
    dfout = reference_of(lin(channels=8, modes=16), "dfout").spectrum
    h, n = np.arange(8)[:, None], np.arange(16)
    assert_allclose(dfout.omega, np.pi * (n + h / 8) / 16, atol=1e-12)
    layer = lin(channels=8, modes=16)
    at_its_own = reference_of(layer, "s4d-lin")
    assert_allclose(at_its_own.spectrum.log_poles, layer.log_poles)
    assert layer.name in at_its_own.title
    assert reference_of(real(), "dfout") is None
    assert reference_of(real(), "s4d-real") is not None


def test_the_reference_of_a_dplr_layer_has_one_mode_of_each_pair():
    layer = spectrum(
        [[-0.1 + 1j, -0.1 - 1j, -0.2 + 2j, -0.2 - 2j]],
        symmetry=Symmetry.FULL,
        structure=Structure.DPLR,
        discretization=Discretization.BILINEAR,
    )
    assert reference_of(layer, "dfout").spectrum.shape == (1, 2)


def test_energies_say_so_when_a_kernel_is_zero():
    layer = siso_view()
    layer.kernel.residues[:] = 0.0
    assert lag_energies(layer) == "the kernel is zero"
    assert gains_of(layer) == "the kernel is zero"
    assert not isinstance(lag_energies(layer), LagEnergies)
