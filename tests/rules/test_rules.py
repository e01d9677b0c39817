"""Rules on hand-made spectra and hand-made metric values; expected numbers are worked out here."""

import math
import re

import numpy as np
import pytest

from ssmspec.errors import SsmspecError
from ssmspec.metrics.base import Context
from ssmspec.outcome import Level, Measured, NotApplicable
from ssmspec.reading import Discretization
from ssmspec.results.report import LayerReport
from ssmspec.rules import RULES, judge
from ssmspec.rules.base import Evidence
from ssmspec.rules.wording import compared, number, percent, power_of_e
from ssmspec.spectrum import LayerSpectrum, Symmetry

LEVELS = {
    "STB001": "error", "STB002": "error", "ACC001": "warning", "INI001": "warning",
    "INI002": "warning", "INI003": "info", "INI004": "warning", "LST001": "warning",
    "DEA002": "warning", "LOC002": "info", "MEM001": "info", "MEM002": "warning", "MEM003": "info",
    "ALI001": "info", "COV001": "info", "COV002": "info", "ENT001": "info", "DEA001": "info",
    "RED001": "info", "LOC001": "info", "RES001": "info", "PRC001": "warning", "REG001": "error",
}  # fmt: skip

# code, metric, value that fires, value that does not: one float64 step apart at the threshold.
BY_METRIC = [
    ("MEM001", "memoryless_fraction", np.nextafter(0.1, 1), 0.1),
    ("MEM003", "undamped_fraction", np.nextafter(0.5, 1), 0.5),
    ("ALI001", "aliased_fraction", np.nextafter(0.01, 1), 0.01),
    ("COV001", "coverage", np.nextafter(0.9, 0), 0.9),
    ("COV002", "spectral_flatness", np.nextafter(0.5, 0), 0.5),
    ("INI001", "init_drift", np.nextafter(1e-3, 0), 1e-3),
    ("MEM002", "memory_ratio", np.nextafter(1.0, 0), 1.0),
]


def evidence(
    decay=((0.01, 0.02), (0.03, 0.04)), *, dt="spread", length=None, selective=False, metrics=()
):
    decay = np.asarray(decay, dtype=float)
    if isinstance(dt, str):
        dt = np.geomspace(0.005, 0.02, decay.shape[0])[:, None]
    omega = np.zeros_like(decay) if selective else np.full_like(decay, 1.0)
    spectrum = LayerSpectrum(
        name="layers.0",
        family="mamba" if selective else "s4d",
        discretization=Discretization.ZOH,
        symmetry=Symmetry.REAL if selective else Symmetry.HALF,
        log_poles=-decay + 1j * omega,
        dt=None if dt is None else np.broadcast_to(dt, (decay.shape[0], 1)).astype(float),
        selective=selective,
    )
    layer = LayerReport(
        name=spectrum.name,
        family=spectrum.family,
        family_title=spectrum.family,
        discretization=spectrum.discretization.value,
        symmetry=spectrum.symmetry.value,
        channels=spectrum.channels,
        modes=spectrum.modes,
        selective=selective,
        metrics={
            key: value if isinstance(value, NotApplicable) else Measured(value, "1")
            for key, value in dict(metrics).items()
        },
    )
    return Evidence(spectrum, layer, Context(sequence_length=length))


def codes(facts):
    return [finding.code for finding in judge(facts)]


def only(facts, code):
    [finding] = [finding for finding in judge(facts) if finding.code == code]
    return finding


def test_levels_are_the_specified_ones():
    assert {code: rule.level.value for code, rule in RULES.items()} == LEVELS


def test_entanglement_tells_nobody_anything_and_is_off():
    facts = evidence(metrics={"entanglement": 0.9})
    assert codes(facts) == []
    assert RULES["ENT001"].apply(facts).value == 0.9


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_every_rule_explains_itself(rule):
    assert re.fullmatch(r"[A-Z]{3}\d{3}", rule.code)
    assert rule.title
    assert not rule.title.endswith(".")
    for text in (rule.why, rule.advice):
        assert text[0].isupper()
        assert text.endswith(".")
    assert rule.source
    assert rule.threshold is None or math.isfinite(rule.threshold)


def test_a_layer_without_remarks():
    assert codes(evidence()) == []
    assert codes(evidence(dt=None)) == []


@pytest.mark.parametrize(("code", "metric", "fires", "passes"), BY_METRIC)
def test_metric_rules_fire_just_past_their_threshold(code, metric, fires, passes):
    finding = only(evidence(length=1000, metrics={metric: float(fires)}), code)
    assert finding.value == fires
    assert finding.threshold == passes
    assert finding.level.value == LEVELS[code]
    assert finding.layer == "layers.0"
    assert finding.message.endswith(f". {RULES[code].advice}")
    assert "threshold" in finding.message
    assert "layers.0" not in finding.message
    assert codes(evidence(length=1000, metrics={metric: passes})) == []
    reason = NotApplicable("no such thing")
    assert codes(evidence(length=1000, metrics={metric: reason})) == []


@pytest.mark.parametrize("metric", ["coverage", "spectral_flatness"])
def test_coverage_rules_need_two_channels(metric):
    assert codes(evidence([[0.1, 0.2]], metrics={metric: 0.1})) == []
    assert len(codes(evidence([[0.1], [0.2]], metrics={metric: 0.1}))) == 1


def test_messages_read_well():
    aliased = only(evidence(metrics={"aliased_fraction": 0.10767}), "ALI001")
    assert aliased.message.startswith("10.8 % of the modes alias (threshold 1 %): ")
    close = only(evidence(metrics={"coverage": 0.89996}), "COV001")
    assert "reach 89.996 % of the band" in close.message
    fresh = only(evidence(metrics={"init_drift": 3e-8, "init_scheme": "s4d-lin"}), "INI001").message
    assert "the s4d-lin initialization puts them (3e-08 half-widths away rms" in fresh


# growth


def test_growth_over_a_known_length():
    # exp(0.0025 * 1024) = exp(2.56) = 12.9358
    finding = only(evidence([[0.01, -0.0025], [0.01, 0.5]], length=1024), "STB001")
    assert finding.level is Level.ERROR
    assert finding.value == pytest.approx(12.935817315543076)
    assert finding.threshold == 1.01
    assert "1 of 4 modes grows, the fastest (channel 0, mode 1)" in finding.message
    assert "by a factor of 12.9 over 1,024 samples (threshold 1.01)" in finding.message


def test_a_mimo_layer_has_no_channels_to_name():
    assert "the fastest (mode 1)" in only(evidence([[0.1, -0.1]]), "STB001").message


def test_growth_threshold_of_a_known_length():
    # ln(1.01) = 0.009950330853168083, over 1000 samples
    assert codes(evidence([[-0.99e-5], [1.0]], length=1000)) == []
    assert codes(evidence([[-1.00e-5], [1.0]], length=1000)) == ["STB001"]


def test_growth_of_an_unknown_length():
    finding = only(evidence([[-0.0025, -0.001], [1.0, 1.0]]), "STB001")
    assert finding.value == -0.0025
    assert finding.threshold == -1e-6
    assert "2 of 4 modes grow" in finding.message
    assert "e-fold every 400 samples" in finding.message
    assert codes(evidence([[-1e-6], [1.0]])) == []
    assert codes(evidence([[0.0], [1.0]])) == []
    assert codes(evidence([[np.nextafter(-1e-6, -1)], [1.0]])) == ["STB001"]


@pytest.mark.parametrize(
    ("decay", "length", "shown"),
    [(-18.683, 1, "a factor of 1.3e+08"), (-5.0, 10**9, "a factor of more than 1e+300")],
)
def test_growth_never_overflows(decay, length, shown):
    finding = only(evidence([[decay], [1.0]], length=length), "STB001")
    assert shown in finding.message
    assert "inf" not in finding.message
    finding.to_dict()


def test_growth_beyond_float64_is_null_in_the_report():
    [finding] = judge(evidence([[-5.0], [1.0]], length=10**9))
    assert finding.to_dict()["value"] is None


# numbers that are none


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("length", [None, 100])
def test_a_pole_that_is_not_finite_is_an_error(bad, length):
    [finding] = judge(evidence([[0.1, 0.2], [bad, 0.1]], length=length))
    assert (finding.code, finding.level) == ("STB002", Level.ERROR)
    assert finding.value is None
    assert finding.threshold is None
    assert "1 of 4 modes have" in finding.message
    assert "(the first is channel 1, mode 0)" in finding.message


def test_an_infinite_step_size_is_an_error_even_where_the_pole_is_finite():
    [finding] = judge(evidence(dt=[[0.1], [np.inf]]))
    assert finding.code == "STB002"
    assert "2 of 4 modes" in finding.message


def test_growth_is_still_seen_beside_a_nan():
    assert codes(evidence([[np.nan, 0.2], [-0.1, 0.1]])) == ["STB001", "STB002"]


def test_a_nan_metric_cannot_reach_a_rule():
    with pytest.raises(SsmspecError):
        Measured(math.nan, "1")


# memory of selective layers


def test_accumulator_against_the_length():
    facts = evidence([[1e-5, 0.1], [0.1, 0.1]], selective=True, length=2000)
    finding = only(facts, "ACC001")
    assert finding.value == pytest.approx(1e5)
    assert finding.threshold == 20_000
    assert "100,000 samples (threshold 20,000: 10 sequences)" in finding.message
    assert codes(evidence([[1e-5], [0.1]], selective=True, length=10_001)) == []
    assert codes(evidence([[1e-5], [0.1]], selective=False, length=100)) == []


def test_accumulator_without_a_length():
    assert codes(evidence([[1.01e-6], [0.1]], selective=True)) == []
    finding = only(evidence([[0.99e-6], [0.1]], selective=True), "ACC001")
    assert finding.threshold == 1e6


def test_a_mode_without_decay_is_an_accumulator():
    finding = only(evidence([[0.0], [0.1]], selective=True, length=100), "ACC001")
    assert "infinite" in finding.message
    assert finding.to_dict()["value"] is None


def test_memory_ratio_of_a_selective_layer_is_information():
    facts = evidence([[0.1], [0.1]], selective=True, length=1000, metrics={"memory_ratio": 0.25})
    finding = only(facts, "MEM002")
    assert finding.level is Level.INFO
    assert "nominal" in finding.message
    assert "lasts 250 of 1,000 samples (ratio 0.25, threshold 1" in finding.message
    # ln(100) / 1000
    assert "0.00461 nat/sample" in finding.message


# step sizes


def test_zeroed_bias():
    # softplus(0) = ln 2
    finding = only(evidence(dt=math.log(2.0), selective=True), "INI002")
    assert finding.level is Level.WARNING
    assert finding.value == 0.0
    assert finding.threshold == 0.02
    assert "median of 0.693" in finding.message


@pytest.mark.parametrize(
    ("spread", "median", "selective", "fires"),
    [
        (0.019, 0.2, True, True),
        (0.021, 0.2, True, False),
        (0.019, 0.001, True, True),
        (0.019, 0.2, False, False),
    ],
)
def test_spread_of_step_sizes(spread, median, selective, fires):
    # Quartiles of five equidistant points are the second and the fourth.
    log_dt = math.log(median) + spread * np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    facts = evidence(np.full((5, 1), 0.1), dt=np.exp(log_dt)[:, None], selective=selective)
    assert codes(facts) == (["INI002"] if fires else [])


def test_step_sizes_that_underflow_do_not_hide_the_others():
    dt = np.array([0.0, *[0.693] * 9])[:, None]
    assert codes(evidence(np.full((10, 1), 0.1), dt=dt, selective=True)) == ["INI002"]


def test_one_step_size_has_no_spread_to_lose():
    assert codes(evidence([[0.1, 0.2]], dt=0.693, selective=True)) == []


@pytest.mark.parametrize(
    ("dt", "value", "threshold"),
    [
        ([2.0, 5.0], 2.0, 1.0),
        ([1e-6, 5e-5], 5e-5, 1e-4),
        ([1e-5, 3.0], None, None),
    ],
)
def test_unusual_step_sizes(dt, value, threshold):
    finding = only(evidence(dt=np.array(dt)[:, None]), "INI003")
    assert (finding.value, finding.threshold) == (value, threshold)
    assert finding.level is Level.INFO


@pytest.mark.parametrize("dt", [[1.0 + 1e-7, 5.0], [1e-4 * (1 - 1e-7), 1e-5], [0.5, 100.0]])
def test_one_usual_step_size_is_enough(dt):
    assert codes(evidence(dt=np.array(dt)[:, None])) == []


# wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0045123, "0.00451"), (1.375, "1.38"), (20480.0, "20,480"), (999.7, "1,000"),
        (1.3e8, "1.3e+08"), (0.0, "0"), (math.inf, "infinite"), (3e-8, "3e-08"), (400.0, "400"),
    ],
)  # fmt: skip
def test_number(value, text):
    assert number(value) == text


def test_percent_and_power():
    assert percent(0.9375) == "93.8 %"
    assert percent(1.0) == "100 %"
    assert power_of_e(2.56) == "12.9"
    assert power_of_e(200.0) == "7.23e+86"
    assert power_of_e(690.0) == "4.6e+299"
    for beyond in (691.0, 710.0, 1e12):  # 300 ln(10) = 690.78; a float ends at e^709.8
        assert power_of_e(beyond) == "more than 1e+300"
    assert power_of_e(-1e12) == "0"


@pytest.mark.parametrize(
    ("value", "threshold", "form", "shown"),
    [
        (0.10004, 0.1, percent, ("10.004 %", "10 %")),
        (20480.25, 20480.0, number, ("20480.2", "20480")),
        (0.5, 0.25, number, ("0.5", "0.25")),
    ],
)
def test_compared_numbers_differ(value, threshold, form, shown):
    assert compared(value, threshold, form) == shown


# fresh models, drawn here as their public code draws them
