"""Rules on kernels, on hand-made metric values; their thresholds are worked out here."""

from dataclasses import replace

import numpy as np
import pytest

from ssmspec.outcome import Level, NotApplicable
from ssmspec.rules import RULES, judge
from ssmspec.rules.book import RuleBook
from ssmspec.rules.settings import Setting
from tests.rules.test_rules import codes, evidence, only

# code, metric, value that fires, value that does not: one float64 step apart at the threshold.
BY_METRIC = [
    ("DEA001", "dead_channel_fraction", np.nextafter(0.25, 1), 0.25),
    ("RED001", "redundant_mode_fraction", np.nextafter(0.25, 1), 0.25),
    ("LOC001", "locality", np.nextafter(0.05, 0), 0.05),
    ("RES001", "resampling_risk", np.nextafter(0.05, 1), 0.05),
    ("ALI001", "aliased_energy", np.nextafter(0.01, 1), 0.01),
]


def with_stride(energy, chance, stride=32, **metrics):
    metrics = {"stride_energy": energy, "stride_energy_chance": chance, **metrics}
    facts = evidence(length=1024, metrics=metrics)
    return replace(facts, context=replace(facts.context, row_stride=stride))


@pytest.mark.parametrize(("code", "metric", "fires", "passes"), BY_METRIC)
def test_rules_fire_just_past_their_threshold(code, metric, fires, passes):
    finding = only(evidence(length=1000, metrics={metric: float(fires)}), code)
    assert finding.value == fires
    assert finding.threshold == passes
    assert finding.level is Level.INFO
    assert finding.message.endswith(f". {RULES[code].advice}")
    assert "threshold" in finding.message
    assert codes(evidence(length=1000, metrics={metric: passes})) == []
    reason = NotApplicable("no such thing")
    assert codes(evidence(length=1000, metrics={metric: reason})) == []


def test_local_by_its_first_lags():
    finding = only(evidence(length=1024, metrics={"locality": 35 / 1024}), "LOC001")
    assert finding.message.startswith(
        "the kernel is local: 90 % of its energy lies in the first 35 of 1,024 lags "
        "(3.42 %, threshold 5 %)"
    )


def test_local_by_its_rows():
    chance = 5 / 32
    finding = only(with_stride(0.579, chance, locality=0.07), "LOC002")
    assert finding.value == 0.579
    assert finding.threshold == 3 * chance
    assert finding.message.startswith(
        "the kernel follows the row stride of 32: 57.9 % of its energy lies within 2 lags of a "
        "multiple (threshold 46.9 %: 3 times chance)"
    )
    assert codes(with_stride(3 * chance, chance)) == []
    assert codes(with_stride(np.nextafter(3 * chance, 1), chance)) == ["LOC002"]
    assert codes(with_stride(0.8, chance, locality=0.01)) == ["LOC001", "LOC002"]
    assert codes(with_stride(1.0, 5 / 14, stride=14)) == []  # 3 times chance is beyond 1


def test_aliasing_is_a_warning_where_most_modes_alias():
    levels = [
        only(evidence(metrics={"aliased_fraction": share}), "ALI001").level
        for share in (0.5, np.nextafter(0.5, 1))
    ]
    assert levels == [Level.INFO, Level.WARNING]
    quiet = RuleBook(rules={"ALI001": Setting(max=0.6)})
    loud = evidence(metrics={"aliased_fraction": 0.3, "aliased_energy": 0.02})
    [finding] = quiet.judge(loud)  # a configured max is of the share of modes
    assert (finding.value, finding.threshold, finding.level) == (0.02, 0.01, Level.INFO)


def test_aliasing_is_said_in_hertz():
    facts = evidence(metrics={"aliased_fraction": 0.3, "nyquist_headroom": 0.25})
    facts = replace(facts, context=replace(facts.context, sample_rate=16_000.0))
    assert "(the highest, 32 kHz, is beyond Nyquist at 8 kHz)" in only(facts, "ALI001").message


def test_aliased_modes_say_what_they_hold():
    metrics = {"aliased_fraction": 0.10767, "aliased_energy": 0.1185}
    [finding] = judge(evidence(metrics=metrics))
    assert finding.value == 0.10767
    assert finding.message.startswith(
        "10.8 % of the modes alias (threshold 1 %) and hold 11.8 % of the modes' energy: "
    )
    few = only(evidence(metrics={"aliased_fraction": 0.005, "aliased_energy": 0.3}), "ALI001")
    assert few.value == 0.3
    assert few.message.startswith("modes that alias hold 30 % of the modes' energy (threshold 1 %)")
    quiet = evidence(metrics={"aliased_fraction": 0.01, "aliased_energy": 0.01})
    assert codes(quiet) == []
