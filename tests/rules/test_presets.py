"""Levels and thresholds as presets and rule books set them."""

import math

import numpy as np
import pytest

from ssmspec.errors import SsmspecError, UsageError
from ssmspec.outcome import Level, NotFinite
from ssmspec.rules import RULES, judge, judge_all
from ssmspec.rules.base import Bound, Rule
from ssmspec.rules.book import Override, RuleBook
from ssmspec.rules.presets import PRESETS, RECOMMENDED, STRICT, TRAINING_START, Preset
from ssmspec.rules.settings import Setting
from tests.rules.test_rules import LEVELS, evidence, only

# Which side of its threshold each rule fires on, as the table of rules says it in words.
BOUNDS = {
    "STB001": "max", "ACC001": "max", "INI001": "min", "INI002": "min", "PRC001": "max",
    "MEM001": "max", "MEM002": "min", "MEM003": "max", "ALI001": "max", "COV001": "min",
    "COV002": "min", "ENT001": "max", "DEA001": "max", "RED001": "max", "LOC001": "min",
    "RES001": "max", "INI004": "min", "LOC002": "max", "STB002": "none", "INI003": "none",
    "LST001": "none", "DEA002": "none", "REG001": "none",
}  # fmt: skip

# Evidence on which many rules fire at once: levels error, warning and info.
MANY = {
    "memoryless_fraction": 0.5,
    "aliased_fraction": 0.5,
    "coverage": 0.1,
    "spectral_flatness": 0.1,
    "entanglement": 0.9,
    "init_drift": 0.0,
    "memory_ratio": 0.5,
}


def many(**options):
    return evidence(length=1000, metrics=MANY, **options)


def levels(book, facts):
    return {finding.code: finding.level.value for finding in book.judge(facts)}


def test_every_rule_declares_its_bound():
    assert {code: rule.bound.value for code, rule in RULES.items()} == BOUNDS


def test_a_rule_has_a_threshold_and_a_bound_or_neither():
    parts = {
        "code": "XXX001", "level": Level.INFO, "title": "t", "why": "W.", "advice": "A.",
        "source": "s", "check": None,
    }  # fmt: skip
    assert Rule(threshold=0.5, bound=Bound.MAX, **parts).apply(evidence()) is None
    for wrong in ({"threshold": 0.5}, {"threshold": None, "bound": Bound.MIN}):
        with pytest.raises(SsmspecError, match="XXX001"):
            Rule(**wrong, **parts)


def test_recommended_is_the_table():
    facts = many()
    assert RuleBook().judge(facts) == judge(facts)
    for code in RULES.keys() - {"ENT001"}:
        assert RuleBook().level_of(code, "layers.0").value == LEVELS[code]
    assert RuleBook().level_of("ENT001", "layers.0") is None


def test_training_start_raises_four_rules_asks_two_more_or_less_and_no_other():
    raised = {"ALI001", "COV001", "COV002", "MEM002"}
    expected = {
        code: "warning" if code in raised else LEVELS[code]
        for code in levels(RuleBook(RECOMMENDED), many()).keys() - {"INI001"} | {"ENT001"}
    }
    assert raised < set(expected)
    assert levels(RuleBook(TRAINING_START), many()) == expected


@pytest.mark.parametrize("selective", [False, True])
def test_strict_leaves_no_note(selective):
    facts = many(selective=selective)
    plain, strict = levels(RuleBook(), facts), levels(RuleBook(STRICT), facts)
    assert plain.keys() == strict.keys()
    assert "info" in plain.values()
    assert strict == {c: "warning" if v == "info" else v for c, v in plain.items()}


def test_settings_are_laid_over_one_another_and_the_last_match_wins():
    book = RuleBook(
        STRICT,
        rules={"ALI001": Setting(max=0.6), "ENT001": Setting(level=Level.INFO)},
        overrides=(
            Override("layers.*", {"ALI001": Setting(level=Level.ERROR, max=0.4)}),
            Override("layers.0", {"ALI001": Setting(level=Level.INFO), "MEM001": Setting("off")}),
            Override("decoder.*", {"ALI001": Setting("off")}),
        ),
    )
    finding = next(f for f in book.judge(many()) if f.code == "ALI001")
    assert (finding.level, finding.threshold) == (Level.INFO, 0.4)  # 0.5 passes 0.4, not 0.6
    assert levels(book, many())["ENT001"] == "info"  # named, so that the floor of strict yields
    assert "MEM001" not in book.codes_for("layers.0")
    assert "MEM001" in book.codes_for("layers.1")
    assert "ALI001" not in book.codes_for("decoder.3")
    assert "ALI001" not in levels(RuleBook(rules={"ALI001": Setting(max=0.6)}), many())
    assert book.unused_overrides(frozenset({"layers.0"})) == ("decoder.*",)


def test_a_rule_that_is_off_can_be_switched_on_for_some_layers():
    book = RuleBook(
        rules={"ALI001": Setting("off")},
        overrides=(Override("layers.0", {"ALI001": Setting(Level.WARNING)}),),
    )
    assert levels(book, many())["ALI001"] == "warning"
    assert book.level_of("ALI001", "layers.1") is None


def test_the_table_is_what_judges_a_layer_and_regressions_are_not_in_it():
    left_out = ("REG001", "ENT001")
    assert RuleBook().codes_for("x") == tuple(code for code in RULES if code not in left_out)


@pytest.mark.parametrize(
    ("code", "setting", "says"),
    [
        ("ALI001", Setting(min=0.1), "max = 0.1"),
        ("COV001", Setting(max=0.1), "min = 0.1"),
        ("STB002", Setting(max=0.1), "no threshold"),
        ("REG001", Setting(min=0.1), "no threshold"),
        ("ALI001", Setting(max=math.nan), "finite"),
        ("ALI001", Setting(max=math.inf), "finite"),
        ("ALI001", Setting(max=-0.1), "at least 0"),
        ("STB001", Setting(max=0.9), "at least 1"),
        ("ALI01", Setting(), "did you mean 'ALI001'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(code, setting, says):
    for make in (
        lambda: RuleBook(rules={code: setting}),
        lambda: RuleBook(overrides=(Override("*", {code: setting}),)),
        lambda: RuleBook(Preset("mine", "mine", {code: setting})),
    ):
        with pytest.raises(UsageError, match=says):
            make()


@pytest.mark.parametrize("code", [code for code, bound in BOUNDS.items() if bound != "none"])
def test_the_lowest_threshold_of_every_rule_is_safe_to_judge_by(code):
    setting = Setting(**{BOUNDS[code]: RULES[code].lowest})
    book = RuleBook(rules={code: setting})
    for length in (None, 1000):
        for selective in (False, True):
            facts = evidence(length=length, selective=selective, metrics=MANY | {"locality": 0.0})
            for finding in book.judge(facts):
                assert "nan" not in finding.message


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'training-start'"):
        PRESETS.require("training_start")


def test_what_the_preset_leaves_out_is_shown_to_who_asks():
    facts = evidence(metrics={"entanglement": 0.9})
    assert judge(facts) == []
    assert [finding.code for finding in judge_all(facts)] == ["ENT001"]


def test_a_metric_that_is_nan_fires_stb002_by_name():
    names = [f"metric_{i}" for i in range(5)]
    facts = evidence(metrics={name: NotFinite("it is NaN") for name in names[:1]})
    finding = only(facts, "STB002")
    assert finding.level is Level.ERROR
    assert "metric_0" in finding.message
    assert finding.value is None
    facts = evidence(metrics={name: NotFinite("it is NaN") for name in names})
    assert "metric_0, metric_1, metric_2 and 2 more" in only(facts, "STB002").message


def test_a_metric_turns_nan_into_an_outcome_of_its_own():
    from dataclasses import replace

    from ssmspec.metrics import METRICS
    from ssmspec.outcome import NotApplicable

    facts = evidence()
    coverage = METRICS["coverage"]
    for value in (math.nan, np.float64("nan")):
        outcome = replace(coverage, measure=lambda *_, v=value: v)(facts.spectrum, facts.context)
        assert isinstance(outcome, NotFinite)
        assert outcome.to_dict() == {"not_applicable": outcome.reason}
    for value in (math.inf, -math.inf):
        outcome = replace(coverage, measure=lambda *_, v=value: v)(facts.spectrum, facts.context)
        assert isinstance(outcome, NotApplicable)
        assert not isinstance(outcome, NotFinite)


def test_list_and_explain_show_presets_bounds_and_regressions(capsys):
    from ssmspec.cli import run

    assert run(["list", "rules"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "max 0.01" in rows["ALI001"]
    assert "min 0.9" in rows["COV001"]
    assert "error" in rows["REG001"]
    assert run(["list", "presets"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "ALI001, COV001, COV002, MEM002: warning" in rows["training-start"]
    assert "no finding below warning" in rows["strict"]
    for preset in PRESETS:
        assert run(["explain", preset]) == 0
        assert f"--preset {preset}" in capsys.readouterr().out
    assert run(["explain", "COV001"]) == 0
    assert 'COV001 = { level = "info", min = 0.9 }' in capsys.readouterr().out
    assert run(["explain", "REG001"]) == 0
    assert "--max-regression" in capsys.readouterr().out
