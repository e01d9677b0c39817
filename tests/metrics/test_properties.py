"""Identities that hold for any poles, and brute force beside every closed form."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import wasserstein_distance

from ssmspec.metrics import (
    METRICS,
    Context,
    combine,
    measure_layer,
    power_profile,
    timescale_profile,
)
from ssmspec.outcome import Measured, NotApplicable
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Symmetry

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

decays = st.one_of(
    st.sampled_from([0.0, 1.0, -0.01]), st.floats(-9.0, 3.0).map(lambda power: float(np.exp(power)))
)
angles = st.one_of(st.sampled_from([0.0, np.pi, -np.pi]), st.floats(-10.0, 10.0))
lengths = st.one_of(st.none(), st.integers(1, 5000))


@st.composite
def layers(draw, decay=decays, angle=angles, min_channels=1):
    channels, modes = draw(st.integers(min_channels, 4)), draw(st.integers(1, 6))
    size = channels * modes
    d = draw(st.lists(decay, min_size=size, max_size=size))
    f = draw(st.lists(angle, min_size=size, max_size=size))
    dt = draw(st.lists(st.floats(1e-4, 1.0), min_size=channels, max_size=channels))
    poles = (-np.array(d) + 1j * np.array(f)).reshape(channels, modes)
    return build(poles, np.array(dt)[:, None])


damped = layers(decay=st.floats(-7.0, 2.0).map(lambda power: float(np.exp(power))))


def build(log_poles, dt=None, symmetry=Symmetry.HALF):
    return LayerSpectrum(
        "layer", "s4d", Discretization.ZOH, symmetry, np.array(log_poles, dtype=complex), dt
    )


def context(length=1024, **references):
    return Context(length, references=references)


def reference(spectrum):
    """An initial layer of the same shape: half the decay and 0.9 of the angle, never undamped."""
    decay = np.abs(spectrum.log_poles.real) / 2 + 0.01
    return build(-decay + 0.9j * spectrum.log_poles.imag, spectrum.dt, spectrum.symmetry)


def assert_same(ours, theirs, rel=1e-7, leaving_out=()):
    assert ours.keys() == theirs.keys()
    for identifier in ours.keys() - set(leaving_out):
        a, b = ours[identifier], theirs[identifier]
        assert type(a) is type(b), identifier
        if isinstance(a, Measured) and not isinstance(a.value, str):
            assert a.value == pytest.approx(b.value, rel=rel, abs=1e-9), identifier


@QUICK
@given(spectrum=layers(), length=lengths, seed=st.integers(0, 2**32 - 1))
def test_order_of_modes_and_channels_does_not_matter(spectrum, length, seed):
    rng = np.random.default_rng(seed)
    modes = rng.permuted(np.tile(np.arange(spectrum.modes), (spectrum.channels, 1)), axis=1)
    channels = rng.permutation(spectrum.channels)
    start = reference(spectrum)

    def shuffled(layer):
        poles = np.take_along_axis(layer.log_poles, modes, axis=1)[channels]
        return build(poles, layer.dt[channels])

    assert_same(
        measure_layer(spectrum, context(length, start=start)),
        measure_layer(shuffled(spectrum), context(length, start=shuffled(start))),
    )


@QUICK
@given(spectrum=layers(), length=lengths, seed=st.integers(0, 2**32 - 1))
def test_which_conjugate_is_stored_does_not_matter(spectrum, length, seed):
    flip = np.random.default_rng(seed).random(spectrum.shape) < 0.5
    poles = np.where(flip, spectrum.log_poles.conj(), spectrum.log_poles)
    start = reference(spectrum)
    assert_same(
        measure_layer(spectrum, context(length, start=start)),
        measure_layer(build(poles, spectrum.dt), context(length, start=start)),
    )


@QUICK
@given(spectrum=layers(), length=lengths)
def test_conjugates_count_once(spectrum, length):
    def completed(layer):
        poles = np.concatenate([layer.log_poles, layer.log_poles.conj()], axis=1)
        return build(poles, layer.dt, Symmetry.FULL)

    start = reference(spectrum)
    half = measure_layer(spectrum, context(length, start=start))
    full = measure_layer(completed(spectrum), context(length, start=completed(start)))
    outer = ("time_constant_p05", "time_constant_p95")
    # Beside a real pole its conjugate is a second mode at the same place.
    assert_same(half, full, leaving_out=(*outer, "redundant_mode_fraction"))

    # A linear quantile interpolates between two order statistics, and doubling every value moves
    # it between the same two, or up to one of them.
    times = np.sort(1 / spectrum.decay[spectrum.decay > 0])
    for identifier, level in zip(outer, (0.05, 0.95), strict=True):
        if isinstance(full[identifier], Measured) and isinstance(half[identifier], Measured):
            below = int(level * (np.count_nonzero(spectrum.stable) - 1))
            above = min(below + 1, times.size - 1)
            slack = 1e-9 * times[above]
            assert times[below] - slack <= full[identifier].value <= times[above] + slack


@QUICK
@given(spectrum=layers(), length=lengths)
def test_coverage_and_gap_against_a_grid(spectrum, length):
    b = spectrum.half_width if length is None else np.maximum(spectrum.half_width, np.pi / length)
    grid, step = np.linspace(0, np.pi, 20_001, retstep=True)

    def reached(modes, at=grid):
        return (np.abs(at - spectrum.omega[modes][:, None]) <= b[modes][:, None]).any(axis=0)

    counts = spectrum.stable & (spectrum.decay <= 1.0)
    outcomes = measure_layer(spectrum, Context(length))
    if not counts.any():
        assert isinstance(outcomes["coverage"], NotApplicable)
        return
    slack = 2 * step * (spectrum.log_poles.size + 1)
    clean = np.abs(spectrum.log_poles.imag) <= np.pi * (1 + 1e-6)
    rows = np.arange(spectrum.channels)[:, None]
    alone = [reached(counts & (rows == row)).mean() for row in range(spectrum.channels)]
    for identifier, expected in {
        "coverage": reached(counts).mean(),
        "alias_free_coverage": reached(counts & clean).mean(),
        "channel_coverage": np.mean(alone),
    }.items():
        assert outcomes[identifier].value == pytest.approx(expected, abs=slack), identifier

    # The centers join the grid: an interval of no width would fall through it.
    finer = np.sort(np.concatenate([grid, spectrum.omega.ravel()]))
    marks = np.concatenate([[0], finer[reached(counts, finer)], [np.pi]])
    longest = np.diff(marks).max() / (2 * np.pi)
    assert outcomes["largest_gap"].value == pytest.approx(longest, abs=2 * step)


def poisson_pair(theta, decay, omega):
    kernels = [np.sinh(decay) / (np.cosh(decay) - np.cos(theta - f)) for f in (omega, -omega)]
    return sum(kernels) / (2 * np.pi)


@settings(QUICK, max_examples=15)
@given(
    spectrum=layers(
        decay=st.floats(-4.0, 3.0).map(lambda power: float(np.exp(power))), angle=angles
    ),
    bins=st.sampled_from([1, 3, 16, 128]),
)
def test_power_against_numerical_integration(spectrum, bins):
    decay, omega = spectrum.decay.ravel(), spectrum.omega.ravel()
    edges = np.linspace(0, np.pi, bins + 1)
    expected = [
        integrate.quad(
            lambda theta: poisson_pair(theta, decay, omega).sum(),
            a, b, points=np.unique(omega[(a + 1e-9 < omega) & (omega < b - 1e-9)]),
            epsabs=1e-11, limit=200,
        )[0]
        for a, b in pairwise(edges)
    ]  # fmt: skip
    profile = power_profile(spectrum, bins)
    assert sum(profile) == pytest.approx(1.0, abs=1e-12)
    assert profile == pytest.approx(np.array(expected) / decay.size, abs=1e-9)
    if bins == 128:
        flatness = np.exp(np.mean(np.log(expected))) / np.mean(expected)
        measured = METRICS["spectral_flatness"](spectrum, Context()).value
        assert measured == pytest.approx(flatness, rel=1e-6)


@pytest.mark.parametrize("decay", [1e-12, 1e-8, 1e-5])
def test_power_close_to_the_unit_circle(decay):
    """Far from its peak a narrow kernel is decay / (1 - cos(theta - f)) / pi, to first order."""
    omega = 3.3 * np.pi / 128
    profile = np.array(power_profile(build([[-decay + 1j * omega]])))
    edges = np.linspace(0, np.pi, 129)

    def tail(theta):
        halves = (theta - omega) / 2, (theta + omega) / 2
        return -sum(1 / np.tan(half) for half in halves) * decay / (2 * np.pi)

    expected = np.diff([tail(edge) for edge in edges[6:]])
    assert profile[6:] == pytest.approx(expected, rel=1e-6, abs=1e-15)
    assert profile.argmax() == 3


def test_a_mode_without_damping_is_a_point_in_a_half_open_bin():
    edges = np.pi * np.arange(129) / 128
    for k in range(128):
        profile = power_profile(build([[1j * edges[k]]]))
        assert profile[k] == 1.0
        assert sum(profile) == 1.0
    assert power_profile(build([[1j * np.pi]]))[127] == 1.0
    assert power_profile(build([[complex(-0.0, 1.0)]])) == power_profile(build([[1j]]))
    assert METRICS["spectral_flatness"](build([[1j]]), Context()).value == 0.0


@QUICK
@given(spectrum=layers())
def test_distance_to_uniform_against_a_fine_sample(spectrum):
    points = spectrum.omega.ravel() / np.pi
    uniform = (np.arange(20_000) + 0.5) / 20_000
    ours = METRICS["frequency_w1"](spectrum, Context()).value
    assert ours == pytest.approx(wasserstein_distance(points, uniform), abs=5e-5)
    assert 0.0 <= ours <= 0.5 + 1e-12

    grid = np.concatenate([np.linspace(0, 1, 2_001), points, np.nextafter(points, 2)])
    share_below = (points[:, None] < grid).mean(axis=0)
    ours = METRICS["discrepancy"](spectrum, Context()).value
    assert ours == pytest.approx(np.abs(share_below - grid).max(), abs=1e-9)


@QUICK
@given(spectrum=layers(), length=st.integers(2, 5000))
def test_memory_against_numpy(spectrum, length):
    decay = spectrum.decay[spectrum.stable]
    outcomes = measure_layer(spectrum, Context(length))
    assume(decay.size)
    damped_times = np.sort(1 / decay[decay > 0])
    for identifier, level in [("p05", 0.05), ("median", 0.5), ("p95", 0.95)]:
        outcome = outcomes[f"time_constant_{identifier}"]
        needed = int(np.ceil(level * (decay.size - 1)))
        if needed < damped_times.size:
            finite = np.concatenate([damped_times, np.full(decay.size - damped_times.size, 1e300)])
            assert outcome.value == pytest.approx(np.quantile(finite, level), rel=1e-9)
        else:
            assert isinstance(outcome, NotApplicable)
            assert outcome.reason.startswith("undamped")
    octaves = [j for j in range(20) if 2**j < length]
    held = [((damped_times >= 2**j) & (damped_times < 2 ** (j + 1))).any() for j in octaves]
    assert outcomes["timescale_coverage"].value == pytest.approx(np.mean(held))


@QUICK
@given(spectrum=layers())
def test_time_scale_profile_is_a_histogram(spectrum):
    profile = timescale_profile(spectrum)
    decay = spectrum.decay[spectrum.stable]
    if not decay.size:
        assert profile == ()
        return
    times = np.array([1 / d if d else 1e300 for d in decay])
    edges = [0, *(2.0**j for j in range(25)), np.inf]
    counts = [np.count_nonzero((times >= a) & (times < b)) for a, b in pairwise(edges)]
    assert profile == pytest.approx(np.array(counts) / decay.size)


@QUICK
@given(first=damped, second=damped)
def test_the_model_is_measured_as_all_its_modes_together(first, second):
    """Extrema in their own direction, and shares weighted by modes, are those of one big layer."""
    together = build(np.concatenate([first.log_poles.ravel(), second.log_poles.ravel()])[None])
    parts = [(layer.log_poles.size, layer) for layer in (first, second)]
    for identifier in (
        "max_radius", "memory_ratio", "nyquist_headroom", "low_frequency_share",
        "memoryless_fraction", "undamped_fraction",
    ):  # fmt: skip
        metric = METRICS[identifier]
        context = Context(100)
        combined = combine(metric, [(size, metric(layer, context)) for size, layer in parts])
        expected = metric(together, context)
        if isinstance(expected, Measured):
            assert combined.outcome.value == pytest.approx(expected.value, rel=1e-12)
        else:
            assert isinstance(combined.outcome, NotApplicable)
    for identifier, expected in [("step_size_min", min), ("step_size_max", max)]:
        metric = METRICS[identifier]
        combined = combine(metric, [(size, metric(layer, Context())) for size, layer in parts])
        assert combined.outcome.value == expected([*first.dt.flat, *second.dt.flat])


@QUICK
@given(spectrum=layers(min_channels=2, angle=st.floats(0.01, 3.0)), scale=st.floats(0.1, 3.0))
def test_entanglement_does_not_depend_on_the_unit_of_time(spectrum, scale):
    def value(layer):
        outcome = METRICS["entanglement"](layer, Context())
        return outcome.value if isinstance(outcome, Measured) else None

    spreads = [
        np.log(np.sort(part, axis=1)).std(axis=0)
        for part in (np.abs(spectrum.log_poles.imag), np.abs(spectrum.log_poles.real) + 1e-300)
    ]
    assume(all((spread > 1e-4).all() for spread in spreads))
    scaled = value(build(spectrum.log_poles * scale))
    assert scaled == (None if value(spectrum) is None else pytest.approx(value(spectrum), abs=1e-6))
