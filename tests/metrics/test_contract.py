"""The table of metrics: every record is complete, measured somewhere and refused somewhere."""

import gc
import tracemalloc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from ssmspec.kernel import LayerKernel
from ssmspec.metrics import (
    METRICS,
    Aggregate,
    Context,
    Metric,
    combine,
    measure_layer,
    power_profile,
    timescale_profile,
)
from ssmspec.metrics.base import (
    ALIASABLE,
    COMPLEX,
    DECAYING,
    DIAGONAL,
    FINITE,
    KERNEL,
    KNOWN_INITIALIZATION,
    RESAMPLE,
    RESONANT_MODE,
    ROW_STRIDE,
    SEQUENCE_LENGTH,
    SEVERAL_CHANNELS,
    STABLE_MODE,
    STEP_SIZE,
    SUMMABLE,
    TIME_INVARIANT,
    TRACTABLE,
)
from ssmspec.outcome import Direction, Measured, NotApplicable
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Structure, Symmetry

IDS = [
    "step_size_min", "step_size_median", "step_size_max", "max_radius", "unstable_fraction",
    "aliased_fraction", "aliased_channel_fraction", "nyquist_headroom", "coverage",
    "alias_free_coverage", "channel_coverage", "largest_gap", "spectral_flatness",
    "frequency_w1", "discrepancy", "low_frequency_share", "time_constant_p05",
    "time_constant_median", "time_constant_p95", "memoryless_fraction", "undamped_fraction",
    "memory_ratio", "timescale_coverage", "local_channel_fraction", "global_channel_fraction",
    "damping_ratio_median", "entanglement", "init_scheme",
    "init_drift", "hinf_max", "dead_channel_fraction", "heard_coverage", "heard_flatness",
    "energy_beyond", "aliased_energy", "energy_horizon",
    "locality", "stride_energy", "stride_energy_chance", "resampling_risk", "effective_order",
    "redundant_mode_fraction", "dead_mode_fraction",
]  # fmt: skip


def layer(log_poles=None, dt=((0.1,), (0.2,)), **kind):
    if log_poles is None:
        log_poles = [[-0.1 + 1j, -0.2 + 2j], [-0.3 + 1.5j, -0.1 + 3j]]
    kind = {"discretization": Discretization.ZOH, "symmetry": Symmetry.HALF} | kind
    return LayerSpectrum(
        "layer",
        "s4d",
        log_poles=np.array(log_poles, dtype=complex),
        dt=None if dt is None else np.array(dt),
        **kind,
    )


HEALTHY = layer()
KNOWN = Context(
    1024,
    None,
    {"s4d-lin": HEALTHY},
    kernel=LayerKernel(HEALTHY, np.array([[[1.0, 2.0], [1j, 1.0]]], dtype=complex)),
    row_stride=32,
    resample=2.0,
)
GROWING = layer([[0.1 + 1j, -0.2 + 2j], [-0.3 + 1.5j, -0.1 + 3j]])
UNKNOWN_LENGTH = replace(KNOWN, sequence_length=None)

# What each requirement is missing from, and a word of the reason it then gives.
BROKEN = {
    FINITE: (layer([[np.nan, -1 + 1j], [-1, -1]]), KNOWN, "NaN"),
    COMPLEX: (layer([[-1, -2], [-3, -4]], symmetry=Symmetry.REAL), KNOWN, "oscillate"),
    STEP_SIZE: (layer(dt=None), KNOWN, "no step size"),
    SEQUENCE_LENGTH: (HEALTHY, UNKNOWN_LENGTH, "--seq-len"),
    STABLE_MODE: (layer([[0.1 + 1j, 0.2 + 2j], [0.1, 0.2]]), KNOWN, "no mode is stable"),
    RESONANT_MODE: (layer([[-1.1 + 1j, -2 + 2j], [0.1, -3]]), KNOWN, "no frequency"),
    SEVERAL_CHANNELS: (layer([[-0.1 + 1j, -0.2 + 2j]], dt=[[0.1]]), KNOWN, "one channel"),
    DIAGONAL: (layer(structure=Structure.DPLR, symmetry=Symmetry.FULL), KNOWN, "DPLR"),
    ALIASABLE: (layer(discretization=Discretization.BILINEAR), KNOWN, "never aliases"),
    KNOWN_INITIALIZATION: (HEALTHY, Context(1024), "random"),
    KERNEL: (HEALTHY, replace(KNOWN, kernel=None), "C is not in the file"),
    DECAYING: (GROWING, KNOWN, "1 of 4 modes do not decay"),
    SUMMABLE: (GROWING, UNKNOWN_LENGTH, "--seq-len"),
    TRACTABLE: (layer(np.full((2, 2**17 + 1), -0.1 + 1j)), KNOWN, "too many"),
    TIME_INVARIANT: (layer(selective=True), KNOWN, "depend on the input"),
    ROW_STRIDE: (HEALTHY, replace(KNOWN, row_stride=None), "--row-stride"),
    RESAMPLE: (HEALTHY, replace(KNOWN, resample=None), "--resample"),
}
NEEDS = [(metric, need) for metric in METRICS.values() for need in (FINITE, *metric.needs)]


def test_the_table_is_the_specified_one_in_its_order():
    assert list(METRICS) == IDS
    assert list(measure_layer(HEALTHY, KNOWN)) == IDS


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.id)
def test_every_metric_is_measured_on_a_healthy_layer(metric):
    outcome = metric(HEALTHY, KNOWN)
    assert isinstance(outcome, Measured)
    assert type(outcome.value) in (float, str)
    assert outcome.unit == metric.unit


@pytest.mark.parametrize(
    ("metric", "need"), NEEDS, ids=[f"{metric.id}-{need.label}" for metric, need in NEEDS]
)
def test_every_metric_is_refused_where_a_requirement_is_missing(metric, need):
    spectrum, context, word = BROKEN[need]
    outcome = metric(spectrum, context)
    assert isinstance(outcome, NotApplicable)
    assert word in outcome.reason
    assert outcome.reason == need.missing(spectrum, context)


def test_no_requirement_goes_unused():
    assert {need for _, need in NEEDS} == set(BROKEN)


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.id)
def test_every_record_can_be_shown(metric):
    for text in (metric.unit, metric.summary, metric.formula, metric.source):
        assert text
        assert text == text.strip()
        assert "\n" not in text
    assert isinstance(metric.direction, Direction)
    assert isinstance(metric.aggregate, Aggregate)
    assert len(metric.summary) <= 90
    assert not metric.summary.endswith(".")


@pytest.mark.parametrize("need", BROKEN, ids=lambda need: need.label)
def test_reasons_read_as_clauses(need):
    spectrum, context, _ = BROKEN[need]
    reason = need.missing(spectrum, context)
    assert not reason.endswith(".")
    assert reason[0].islower() or reason[0].isdigit() or reason.startswith("C ")
    assert need.missing(HEALTHY, KNOWN) is None


def test_frequencies_are_in_hertz_where_the_rate_is_known():
    cycles = METRICS["largest_gap"](HEALTHY, Context())
    hertz = METRICS["largest_gap"](HEALTHY, Context(sample_rate=16_000.0))
    assert (cycles.unit, hertz.unit) == ("cycles/sample", "Hz")
    assert hertz.value == pytest.approx(16_000 * cycles.value)
    without = measure_layer(HEALTHY, KNOWN)
    given = measure_layer(HEALTHY, replace(KNOWN, sample_rate=16_000.0))
    assert {key for key in without if without[key] != given[key]} == {"largest_gap"}


def metric_with(aggregate):
    return Metric(
        id="example",
        unit="1",
        direction=Direction.NEITHER,
        aggregate=aggregate,
        summary="an example",
        formula="x",
        measure=lambda spectrum, context: 0.0,
    )


@pytest.mark.parametrize(
    ("aggregate", "expected", "text"),
    [
        (Aggregate.MAX, 4.0, "maximum over layers"),
        (Aggregate.MIN, 1.0, "minimum over layers"),
        (Aggregate.MEAN, 3.25, "mean over layers, weighted by modes"),
    ],
)
def test_numbers_are_combined_as_the_record_says(aggregate, expected, text):
    combined = combine(metric_with(aggregate), [(10, Measured(1.0, "1")), (30, Measured(4.0, "1"))])
    assert combined.outcome == Measured(expected, "1")
    assert combined.aggregate == text


@pytest.mark.parametrize(
    ("aggregate", "text"),
    [
        (Aggregate.MAX, "maximum over 2 of 3 layers"),
        (Aggregate.MEAN, "mean over 2 of 3 layers, weighted by modes"),
        (Aggregate.COMMON, "the value that 2 of 3 layers share"),
    ],
)
def test_layers_without_a_value_are_left_out_and_counted(aggregate, text):
    layers = [(1, Measured(2.0, "1")), (9, NotApplicable("because")), (3, Measured(2.0, "1"))]
    combined = combine(metric_with(aggregate), layers)
    assert combined.outcome == Measured(2.0, "1")
    assert combined.aggregate == text


def test_names_are_combined_only_where_layers_agree():
    lin, inv = Measured("s4d-lin", "scheme"), Measured("s4d-inv", "scheme")
    metric = METRICS["init_scheme"]
    assert combine(metric, [(1, lin), (2, lin)]).outcome == lin
    differing = combine(metric, [(1, lin), (2, inv), (1, lin)]).outcome
    assert differing == NotApplicable("the layers differ: s4d-lin in 2, s4d-inv in 1")


def test_the_reasons_of_the_layers_are_the_models():
    metric = metric_with(Aggregate.MEAN)
    same = combine(metric, [(1, NotApplicable("a")), (1, NotApplicable("a"))])
    assert same.outcome == NotApplicable("a")
    assert same.aggregate == "mean over layers, weighted by modes"
    mixed = [(1, NotApplicable(reason)) for reason in "abbcd"]
    assert combine(metric, mixed).outcome == NotApplicable(
        "b (2 layers); a (1 layer); other reasons in 2 more"
    )
    two = [(1, NotApplicable(reason)) for reason in "aab"]
    assert combine(metric, two).outcome == NotApplicable("a (2 layers); b (1 layer)")
    assert combine(metric, []).outcome == NotApplicable("the model has no layer")


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((1, 4096), None),  # 2^24 pairs
        ((1, 4097), "16,785,409 pairs of modes are too many; it is computed for 16,777,216"),
        ((4, 2049), "16,793,604 pairs of modes are too many; it is computed for 16,777,216"),
        ((2**16, 4), None),  # 2^18 modes
        ((2**16 + 1, 4), "262,148 modes are too many; it is computed for up to 262,144"),
    ],
)
def test_layers_are_too_large_by_their_modes_or_by_their_pairs(shape, reason):
    large = layer(np.full(shape, -0.1 + 1j), dt=np.full((shape[0], 1), 0.1))
    assert TRACTABLE.missing(large, KNOWN) == reason


def test_layers_in_different_units_have_no_common_number():
    layers = [(1, Measured(0.1, "cycles/sample")), (1, Measured(800.0, "Hz"))]
    outcome = combine(METRICS["largest_gap"], layers).outcome
    assert outcome == NotApplicable(
        "the layers are measured in different units (Hz, cycles/sample)"
    )


@pytest.mark.parametrize("shape", [(1, 200_000), (6_250, 32)])
def test_memory_is_in_proportion_to_the_modes(shape):
    """No array of modes times bins: with 128 bins that would be 1 kB a mode."""
    rng = np.random.default_rng(0)
    dt = 10 ** rng.uniform(-3, -1, (shape[0], 1))
    spectrum = layer(dt * (-0.5 + 60j * rng.random(shape)), dt)
    context = Context(1024, None, {"start": layer(spectrum.log_poles * 1.1, dt)})
    tracemalloc.start()
    try:
        outcomes = measure_layer(spectrum, context)
        assert len(power_profile(spectrum)) == 128
        assert len(timescale_profile(spectrum)) == 26
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 110 * spectrum.log_poles.size
    refused = {key for key, outcome in outcomes.items() if isinstance(outcome, NotApplicable)}
    without_kernel = {key for key, metric in METRICS.items() if KERNEL in metric.needs}
    alone = {"entanglement", "redundant_mode_fraction"}
    assert refused - without_kernel == (alone if shape[0] == 1 else set())


def test_a_remembered_profile_does_not_keep_its_layer_alive():
    spectrum = layer()
    assert power_profile(spectrum) == power_profile(spectrum)
    gone = weakref.ref(spectrum)
    del spectrum
    gc.collect()
    assert gone() is None
