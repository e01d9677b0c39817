"""Layers at the edge of what can be measured: each says its number or its reason, and no more."""

import math

import numpy as np
import pytest

from ssmspec.metrics import METRICS, Context, measure_layer, power_profile, timescale_profile
from ssmspec.metrics.base import KERNEL, share
from ssmspec.outcome import Measured, NotApplicable
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Structure, Symmetry


def build(log_poles, dt=None, **kind):
    kind = {"discretization": Discretization.ZOH, "symmetry": Symmetry.HALF} | kind
    return LayerSpectrum(
        "layer",
        "s4d",
        log_poles=np.array(log_poles, dtype=complex),
        dt=None if dt is None else np.array(dt, dtype=float),
        **kind,
    )


def value(identifier, layer, length=None, **known):
    outcome = METRICS[identifier](layer, Context(length, **known))
    assert isinstance(outcome, Measured), outcome
    return outcome.value


def reason(identifier, layer, length=None, **known):
    outcome = METRICS[identifier](layer, Context(length, **known))
    assert isinstance(outcome, NotApplicable), outcome
    return outcome.reason


def test_a_single_mode_worked_by_hand():
    layer = build([[-0.1 + 1j]], dt=[[0.2]])
    half_width = math.acos((4 * math.exp(-0.1) - 1 - math.exp(-0.2)) / (2 * math.exp(-0.1)))
    assert value("step_size_min", layer) == value("step_size_max", layer) == 0.2
    assert value("max_radius", layer) == pytest.approx(math.exp(-0.1))
    assert value("nyquist_headroom", layer) == pytest.approx(math.pi)
    assert value("coverage", layer) == pytest.approx(2 * half_width / math.pi)
    assert value("channel_coverage", layer) == pytest.approx(2 * half_width / math.pi)
    assert value("largest_gap", layer) == pytest.approx((math.pi - 1 - half_width) / 2 / math.pi)
    x = 1 / math.pi
    assert value("frequency_w1", layer) == pytest.approx((x**2 + (1 - x) ** 2) / 2)
    assert value("discrepancy", layer) == pytest.approx(1 - x)
    for identifier in ("time_constant_p05", "time_constant_median", "time_constant_p95"):
        assert value(identifier, layer) == pytest.approx(10.0)
    assert value("memory_ratio", layer, 100) == pytest.approx(10 * math.log(100) / 100)
    assert value("timescale_coverage", layer, 100) == pytest.approx(1 / 7)
    assert value("damping_ratio_median", layer) == pytest.approx(0.1 / math.sqrt(1.01))


def test_a_known_length_widens_every_mode():
    layer = build([[-1e-9 + 1j]])
    assert value("coverage", layer) == pytest.approx(2e-9 / math.pi, rel=1e-6)
    assert value("coverage", layer, 50) == pytest.approx(2 / 50)
    assert value("coverage", layer, 1) == pytest.approx(1.0)


def test_two_modes_leave_the_gap_between_them():
    layer = build([[-0.01 + 0.5j, -0.01 + 2.5j]])
    half_width = 2 * math.asin(math.sinh(0.005))
    assert value("largest_gap", layer) == pytest.approx((2 - 2 * half_width) / (2 * math.pi))
    assert value("coverage", layer) == pytest.approx(4 * half_width / math.pi)


def test_channels_cover_together_what_each_misses():
    layer = build([[-0.01 + 0.5j], [-0.01 + 2.5j]])
    assert value("coverage", layer) == pytest.approx(2 * value("channel_coverage", layer))


def test_an_undamped_mode_has_no_finite_time_constant():
    layer = build([[1j, -0.5 + 1j, -0.25 + 2j]])
    assert value("max_radius", layer) == 1.0
    assert value("unstable_fraction", layer) == 0.0
    assert value("undamped_fraction", layer, 10) == pytest.approx(1 / 3)
    assert value("time_constant_median", layer) == pytest.approx(4.0)
    assert value("time_constant_p05", layer) == pytest.approx(2.2)
    assert reason("time_constant_p95", layer) == "undamped: 1 of 3 stable modes never forget"
    assert reason("memory_ratio", layer, 10).startswith("undamped")
    assert value("timescale_coverage", layer, 8) == pytest.approx(2 / 3)
    assert timescale_profile(layer)[-1] == pytest.approx(1 / 3)
    assert value("spectral_flatness", layer) > 0.0  # the damped ones reach every bin


def test_a_quantile_on_the_last_finite_value_is_finite():
    # 21 modes: the 95 % quantile is the 20th value, the last that is damped.
    poles = [[-1.0 / (k + 1) + 1j for k in range(20)] + [1j]]
    assert value("time_constant_p95", build(poles)) == pytest.approx(20.0)
    assert "undamped" in reason("time_constant_p95", build([[*poles[0][:19], 1j, 1j]]))


def test_negative_zero_is_zero():
    plus, minus = build([[0.0 + 1j, -0.5 + 2j]]), build([[complex(-0.0, 1.0), -0.5 + 2j]])
    for length in (None, 16):
        assert measure_layer(plus, Context(length)) == measure_layer(minus, Context(length))
    assert power_profile(plus) == power_profile(minus)
    assert timescale_profile(plus) == timescale_profile(minus)


def test_an_unstable_mode_counts_where_stability_does_not_matter():
    stable, grown = build([[-0.1 + 1j, -0.2 + 2j]]), build([[-0.1 + 1j, -0.2 + 2j, 0.1 + 3j]])
    assert value("unstable_fraction", grown) == pytest.approx(1 / 3)
    assert value("max_radius", grown) == pytest.approx(math.exp(0.1))
    for identifier in ("coverage", "largest_gap", "spectral_flatness", "time_constant_p95"):
        assert value(identifier, grown) == value(identifier, stable)
    assert value("low_frequency_share", build([[-0.1 + 1j, 0.1 + 0.1j]])) == 0.5


def test_limits_themselves_do_not_count():
    layer = build([[-1.0 + 0.1j * np.pi, -1.5 + 1j, -0.125 + 1j, 0.125 + 0.1j]])
    assert value("memoryless_fraction", layer) == 0.25
    assert value("undamped_fraction", layer, 8) == 0.0
    assert value("undamped_fraction", layer, 7) == 0.25
    assert value("low_frequency_share", layer) == 0.25


def test_nothing_stable():
    layer = build([[0.1 + 1j, 0.2 + 2j], [0.1 + 1j, 0.2 + 3j]], dt=[[1], [2]])
    assert value("unstable_fraction", layer) == 1.0
    for identifier in ("coverage", "channel_coverage", "largest_gap"):
        assert "no frequency" in reason(identifier, layer)
    assert value("timescale_coverage", layer, 64) == 0.0
    assert value("undamped_fraction", layer, 64) == 0.0
    for identifier in ("spectral_flatness", "time_constant_median", "memory_ratio"):
        assert reason(identifier, layer, 64) == "no mode is stable"
    assert "not positive" in reason("entanglement", layer)
    assert power_profile(layer) == timescale_profile(layer) == ()


@pytest.mark.parametrize("bad", [np.nan, np.inf, complex(0, np.nan), complex(-np.inf, 1)])
def test_poles_that_are_not_finite_leave_nothing_to_measure(bad):
    layer = build([[-0.1 + 1j, bad], [-0.1 + 2j, -0.3 + 1j]], dt=[[0.1], [0.2]])
    outcomes = measure_layer(layer, Context(1024, 16_000.0, {"start": layer}))
    assert list(outcomes) == list(METRICS)
    assert set(outcomes.values()) == {NotApplicable("1 of 4 poles is NaN or infinite")}
    assert power_profile(layer) == timescale_profile(layer) == ()


def test_zero_frequency():
    layer = build([[-0.1], [-0.2]], dt=[[1], [2]])
    assert reason("nyquist_headroom", layer) == "every mode is at zero frequency"
    assert "zero frequency" in reason("entanglement", layer)
    assert value("aliased_fraction", layer) == 0.0
    assert value("low_frequency_share", layer) == 1.0
    assert value("frequency_w1", layer) == pytest.approx(0.5)
    assert value("discrepancy", layer) == 1.0
    assert value("damping_ratio_median", layer) == 1.0


def test_a_rank_with_a_zero_frequency_is_left_out():
    dt = np.array([[0.1], [0.2], [0.4]])
    independent = np.array([[0.0], [0.3], [0.1]])  # rank 0: zero frequency in one channel
    poles = np.concatenate([-0.5 + 1j * independent, (-0.5 + 2j) * dt + 1j], axis=1)
    x, y = np.log(0.5 * dt[:, 0]), np.log(2 * dt[:, 0] + 1)
    assert value("entanglement", build(poles)) == pytest.approx(np.corrcoef(x, y)[0, 1] ** 2)


def test_the_same_decay_everywhere_is_not_entangled():
    poles = -0.5 + 1j * np.array([[0.1, 1.0], [0.2, 2.0], [0.3, 3.0]])
    assert value("entanglement", build(poles)) == 0.0
    assert value("entanglement", build(poles + 1e-8 * np.arange(3)[:, None])) == 0.0


def test_an_integrator_has_no_damping_ratio():
    assert value("damping_ratio_median", build([[0.0, -3.0 + 4j]])) == pytest.approx(0.6)
    assert "integrator" in reason("damping_ratio_median", build([[0.0]]))
    assert value("damping_ratio_median", build([[3.0 + 4j]])) == pytest.approx(-0.6)


def test_angles_beyond_nyquist_alias_and_fold():
    layer = build([[-0.1 + 1.5j * np.pi, -0.1 + 0.25j * np.pi], [-0.1 + 0.1j, -0.1 + 0.2j]])
    assert value("aliased_fraction", layer) == 0.25
    assert value("aliased_channel_fraction", layer) == 0.5
    assert value("nyquist_headroom", layer) == pytest.approx(2 / 3)
    folded = build([[-0.1 + 0.5j * np.pi, -0.1 + 0.25j * np.pi], [-0.1 + 0.1j, -0.1 + 0.2j]])
    for identifier in ("coverage", "spectral_flatness", "frequency_w1", "discrepancy"):
        assert value(identifier, layer) == pytest.approx(value(identifier, folded))
    assert value("alias_free_coverage", layer) < value("coverage", layer)
    every = build([[-0.1 + 4j]])
    assert value("alias_free_coverage", every) == 0.0


def test_an_angle_on_nyquist_up_to_rounding_is_not_aliased():
    angles = np.pi * np.array([[1.0, -1.0, 1 + 9e-7, 1 + 1.1e-6]])
    assert value("aliased_fraction", build(-0.1 + 1j * angles)) == 0.25


def test_bilinear_and_native_layers_cannot_alias():
    poles = [[-0.1 + 1j, -0.1 + 2j]]
    bilinear = build(poles, dt=[[0.1]], discretization=Discretization.BILINEAR)
    native = build(poles, discretization=Discretization.NATIVE)
    for identifier in (
        "aliased_fraction", "aliased_channel_fraction", "nyquist_headroom", "alias_free_coverage",
    ):  # fmt: skip
        assert "bilinear" in reason(identifier, bilinear)
        assert "discrete poles" in reason(identifier, native)
    assert reason("step_size_min", native) == "the family has no step size"
    assert value("coverage", native) == value("coverage", bilinear)


def test_real_poles_have_memory_and_no_frequency():
    layer = build([[-0.5, -0.25]], dt=[[0.1]], symmetry=Symmetry.REAL)
    outcomes = measure_layer(layer, Context(64, references={"s4d-real": layer}))
    measured = {key for key, outcome in outcomes.items() if isinstance(outcome, Measured)}
    assert measured == {
        "step_size_min", "step_size_median", "step_size_max", "max_radius", "unstable_fraction",
        "time_constant_p05", "time_constant_median", "time_constant_p95", "memoryless_fraction",
        "undamped_fraction", "memory_ratio", "timescale_coverage", "local_channel_fraction",
        "global_channel_fraction", "init_scheme", "init_drift",
        "redundant_mode_fraction",
    }  # fmt: skip
    rest = {
        outcome
        for key, outcome in outcomes.items()
        if key not in measured and KERNEL not in METRICS[key].needs
    }
    assert rest == {NotApplicable("real poles do not oscillate")}
    assert power_profile(layer) == ()
    assert sum(timescale_profile(layer)) == 1.0


@pytest.mark.parametrize(
    ("dt", "expected"),
    [
        ([[0.1], [0.4]], (0.1, 0.25, 0.4)),
        ([[0.1, 0.2, 0.9]], (0.1, 0.2, 0.9)),
        ([[0.1, 0.2, 0.3], [0.4, 0.5, 0.9]], (0.1, 0.35, 0.9)),
    ],
)
def test_step_sizes_per_channel_state_or_mode(dt, expected):
    layer = build(np.full((2, 3), -0.1 + 1j), dt)
    ids = ("step_size_min", "step_size_median", "step_size_max")
    assert tuple(value(identifier, layer) for identifier in ids) == pytest.approx(expected)


def test_one_channel_has_nothing_to_entangle_with():
    assert "one channel" in reason("entanglement", build([[-0.1 + 1j, -0.2 + 2j]]))
    dplr = build([[-0.1 + 1j], [-0.2 + 2j]], structure=Structure.DPLR, symmetry=Symmetry.FULL)
    assert "DPLR" in reason("entanglement", dplr)


@pytest.mark.parametrize(("length", "octaves"), [(2, 1), (3, 2), (4, 2), (5, 3), (784, 10)])
def test_octaves_of_a_sequence(length, octaves):
    layer = build([[-1.0]])  # a time constant of one sample, in the first octave
    assert value("timescale_coverage", layer, length) == pytest.approx(1 / octaves)


def test_a_sequence_of_one_sample_spans_no_octave():
    assert "one sample" in reason("timescale_coverage", build([[-1.0]]), 1)


def test_time_constants_on_the_edge_of_an_octave():
    layer = build([[-2.0, -1.0, -0.5, -0.25, -1 / 2**24, -1 / (2**24 - 1)]])
    profile = timescale_profile(layer)
    assert len(profile) == 26
    occupied = {index: share for index, share in enumerate(profile) if share}
    assert occupied == pytest.approx(dict.fromkeys([0, 1, 2, 3, 24, 25], 1 / 6))


def test_numbers_no_float_can_hold_are_said_to_be_so():
    assert "beyond what a float holds" in reason("max_radius", build([[800.0 + 1j]]))
    assert "beyond" in reason("time_constant_median", build([[-5e-324 + 1j]]))
    assert "beyond" in reason("nyquist_headroom", build([[-0.1 + 5e-324j]]))
    faint = build([[-5e-324 + 1j, -1e300 + 1e-300j], [-1e-300 + 3j, -1e308 + 1e308j]])
    for outcome in measure_layer(faint, Context(10, references={"start": faint})).values():
        assert isinstance(outcome, (Measured, NotApplicable))
    assert sum(power_profile(faint)) == pytest.approx(1.0)
    assert sum(timescale_profile(faint)) == 1.0


def test_drift_is_measured_in_half_widths_and_by_rank():
    start = build([[-0.1 + 1j, -0.1 + 2j], [-0.2 + 0.5j, -0.2 + 1j]])
    width = 2 * np.arcsin(np.sinh(start.decay / 2))
    moved = start.log_poles + 1j * width * np.array([[0.0, 0.3], [0.0, 0.0]])
    swapped = build(moved[:, ::-1].conj())
    assert value("init_drift", swapped, references={"start": start}) == pytest.approx(0.15)
    moved = start.log_poles - width * np.array([[0.0, 0.0], [0.4, 0.0]])
    assert value("init_drift", build(moved), references={"start": start}) == pytest.approx(0.2)


def test_the_nearest_scheme_is_named():
    start = build([[-0.1 + 1j, -0.1 + 2j]])
    near, far = build(start.log_poles * 1.01), build(start.log_poles * 2)
    known = {"far": far, "near": near}
    assert value("init_scheme", start, references=known) == "near"
    assert value("init_drift", start, references=known) == pytest.approx(
        value("init_drift", start, references={"near": near})
    )
    assert value("init_scheme", start, references={"first": near, "second": near}) == "first"


def test_poles_rounded_to_single_precision_have_not_moved():
    """A_imag as float32(pi) times n, as public code initializes it, is where pi n is."""
    n = np.arange(32)
    start = build((-0.5 + 1j * np.pi * n)[None] * 0.01)
    single = -np.exp(np.log(np.float32(0.5))).astype(float) + 1j * (np.float32(np.pi) * n).astype(
        np.float32
    )
    assert value("init_drift", build(single[None] * 0.01), references={"start": start}) == 0.0
    trained = build(single[None] * 0.01 + 1e-6j)
    assert value("init_drift", trained, references={"start": start}) > 1e-6


def test_a_reference_without_width_is_passed_over():
    layer = build([[-0.1 + 1j]])
    undamped, broken = build([[1j]]), build([[np.nan]])
    known = {"undamped": undamped, "broken": broken}
    assert "finite distance" in reason("init_drift", layer, references=known)
    assert value("init_scheme", layer, references=known | {"good": layer}) == "good"


def test_shares_count_what_holds():
    assert share(np.array([[True, False], [False, False]])) == 0.25
