"""Metrics that may only get so much worse than their baselines."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ssmspec
from ssmspec._version import __version__
from ssmspec.checking import regression
from ssmspec.checking.baseline import Earlier
from ssmspec.checking.regression import Allowance, parse_allowance
from ssmspec.cli import run
from ssmspec.errors import UsageError
from ssmspec.metrics import METRICS
from ssmspec.outcome import Direction, Level, Measured, NotApplicable
from ssmspec.results.check import WHOLE_MODEL
from ssmspec.results.saved import SavedRun
from tests.checking.test_baseline import HEALTHY, saved
from tests.examples.comparison import s4d


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Dial:
    """A metric whose value a test sets."""

    def __init__(self, monkeypatch, metric, direction):
        self.value = 0.0
        self.metric = replace(
            METRICS[metric], direction=direction, needs=(), measure=lambda *_: self.value
        )
        monkeypatch.setitem(METRICS._records, metric, self.metric)


def baselines_of(model, dial, values):
    names = []
    for i, value in enumerate(values):
        dial.value = value
        names.append(f"base{i}.json")
        ssmspec.check(model, baseline_output=names[-1], force=True)
    return names


def regressions(run_):
    (file,) = run_.files
    assert file.error is None
    return {f.finding.layer: f.finding for f in file.findings if f.finding.code == "REG001"}


# direction, baselines, allowance, values that pass, values that do not
CASES = [
    (Direction.HIGHER, [0.8], "5%", [0.76, 0.9, 5.0], [0.7599, 0.0, -3.0]),
    (Direction.LOWER, [0.8], "5%", [0.84, 0.1, -5.0], [0.8401, 2.0]),
    (Direction.NEITHER, [0.8], "5%", [0.76, 0.84, 0.8], [0.7599, 0.8401]),
    (Direction.HIGHER, [0.8], "0.05", [0.75], [0.7499]),
    (Direction.LOWER, [-0.8], "5%", [-0.76, -2.0], [-0.7599]),
    (Direction.HIGHER, [0.8], "0", [0.8, 0.8 - 1e-13], [0.8 - 1e-6]),
    (Direction.LOWER, [0.0], "50%", [0.0, -1.0], [1e-9]),
    (Direction.LOWER, [0.1, 0.2, 0.3], "0", [0.4], [0.4001]),  # mean 0.2, spread 0.2
    (Direction.LOWER, [0.1, 0.2, 0.3], "", [0.4], [0.4001]),
    (Direction.NEITHER, [0.1, 0.2, 0.3], "", [0.0, 0.4], [-0.0001, 0.4001]),
    (Direction.LOWER, [0.1, 0.2, 0.3], "0.5", [0.7], [0.7001]),  # more is allowed than the spread
    (Direction.LOWER, [0.1, 0.2, 0.3], "100%", [0.4], [0.4001]),
]


@pytest.fixture(scope="module")
def plain():
    return ssmspec.analyze(s4d("layers.0.kernel", **HEALTHY))


def measuring(report, value):
    """The report with another coverage, of its layer and of the model."""
    outcome = Measured(value, "fraction")
    (layer,) = report.layers
    return replace(
        report,
        layers=(replace(layer, metrics=layer.metrics | {"coverage": outcome}),),
        model=report.model | {"coverage": replace(report.model["coverage"], outcome=outcome)},
    )


@pytest.mark.parametrize(("direction", "held", "amount", "passes", "fails"), CASES)
def test_each_metric_may_get_worse_in_its_own_direction(
    monkeypatch, plain, direction, held, amount, passes, fails
):
    monkeypatch.setitem(
        METRICS._records, "coverage", replace(METRICS["coverage"], direction=direction)
    )
    source = SavedRun(Path("base.json"), __version__, None, ())
    earlier = [Earlier(source, measuring(plain, value)) for value in held]
    allowance = parse_allowance(f"coverage:{amount}" if amount else "coverage")

    def judged(value):
        now = measuring(plain, value)
        found = regression.regressions(now, earlier, [allowance], lambda _: Level.WARNING)
        return {finding.layer: finding for finding in found}

    for value in passes:
        assert judged(value) == {}
    for value in fails:
        found = judged(value)
        assert set(found) == {"layers.0.kernel", WHOLE_MODEL}
        finding = found[WHOLE_MODEL]
        assert finding.level is Level.WARNING
        assert finding.value == value
        center = sum(held) / len(held)
        share = abs(center) * float(amount.removesuffix("%") or 0) / 100
        asked = share if amount.endswith("%") else float(amount or 0)
        allowed = max(asked, max(held) - min(held))
        limit = center + allowed if value > center else center - allowed
        assert finding.threshold == pytest.approx(limit)
        assert finding.message.startswith("coverage is ")
        assert finding.message.endswith("with --write-baseline.")


def test_a_regression_names_value_baseline_change_and_what_is_allowed(monkeypatch):
    model = saved("model.safetensors")
    dial = Dial(monkeypatch, "coverage", Direction.HIGHER)
    names = baselines_of(model, dial, [0.8])
    dial.value = 0.6
    found = regressions(ssmspec.check(model, baselines=names, max_regression=["coverage:5%"]))
    assert found[WHOLE_MODEL].message.startswith(
        "coverage is 0.6 and was 0.8 in the baseline: a change of -0.2 (-25 %), where 0.04 "
        "downward is allowed (to 0.76). "
    )


def test_reg001_is_set_and_selected_like_any_rule(monkeypatch):
    model = saved("model.safetensors")
    dial = Dial(monkeypatch, "coverage", Direction.HIGHER)
    names = baselines_of(model, dial, [0.8])
    dial.value = 0.1
    config = Path("ssmspec.toml")
    options = {"baselines": names, "max_regression": ["coverage:5%"], "config": config}
    config.write_text('[rules]\nREG001 = "warning"\n')
    run_ = ssmspec.check(model, **options)
    assert run_.exit_code == 0
    assert {f.level.value for f in regressions(run_).values()} == {"warning"}
    assert run_.files[0].tested[WHOLE_MODEL] == ("REG001",)
    assert "REG001" in run_.files[0].tested["layers.0.kernel"]
    config.write_text('[[overrides]]\nlayers = "layers.*"\nrules = { REG001 = "off" }\n')
    assert set(regressions(ssmspec.check(model, **options))) == {WHOLE_MODEL}
    config.write_text('[rules]\nREG001 = "off"\n')
    with pytest.raises(UsageError, match="switches off"):
        ssmspec.check(model, **options)
    for selection in ({"select": ["ALI"]}, {"ignore": ["REG"]}):
        with pytest.raises(UsageError, match="leaves out"):
            ssmspec.check(model, baselines=names, max_regression=["coverage:5%"], **selection)
    # What is kept of a run with regressions is no excuse for the next.
    config.unlink()
    arguments = ["check", model, "--baseline", names[0], "--max-regression", "coverage:5%"]
    assert run([*arguments, "--format", "json=run.json"]) == 1
    assert "REG001" in Path("run.json").read_text()
    run_ = ssmspec.check(model, baselines=["run.json", names[0]], max_regression=["coverage:0"])
    assert {f.status.value for f in run_.files[0].findings if f.finding.code == "REG001"} <= {"new"}


def test_what_is_no_longer_measured_is_a_regression(monkeypatch):
    model = saved("model.safetensors")
    dial = Dial(monkeypatch, "coverage", Direction.HIGHER)
    names = baselines_of(model, dial, [0.8])
    for value, reason in ((NotApplicable("no such luck"), "no such luck"), (math.inf, "inf")):
        dial.value = value
        run_ = ssmspec.check(model, baselines=names, max_regression=["coverage:5%"])
        assert run_.exit_code == 1
        finding = regressions(run_)[WHOLE_MODEL]
        assert reason in finding.message
        assert (finding.value, finding.threshold) == (None, None)


def test_layers_count_where_their_names_match(capsys):
    before = saved("before.safetensors", {}, {"dt": 0.01})
    ssmspec.check(before, baseline_output="base.json")
    after = saved("after.safetensors", {"dt": 0.002}, {"dt": 0.01}, {"dt": 0.002})
    arguments = ["check", after, "--baseline", "base.json", "--max-regression", "coverage:1%"]
    assert run([*arguments, "--format", "json"]) == 1
    out, err = capsys.readouterr()
    findings = json.loads(out)["checkpoints"][0]["report"]["findings"]
    worse = [f["layer"] for f in findings if f["code"] == "REG001"]
    assert worse == ["layers.0.kernel", WHOLE_MODEL]
    assert "1 of 3 layers are in no baseline" in err
    assert "layers.2.kernel" in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("coverge:5%", "did you mean 'coverage'"),
        ("coverge", "did you mean 'coverage'"),
        ("coverage:nan", "0 or more"),
        ("coverage:-1%", "0 or more"),
        ("coverage:inf", "0 or more"),
        ("coverage:", "METRIC:AMOUNT"),
        ("coverage:5 percent", "METRIC:AMOUNT"),
        ("coverage", "several baselines"),
        ("init_scheme:5%", "is a name"),
        ("memory_ratio:5%", "has no memory_ratio: the sequence length is not known"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_work(monkeypatch, capsys, text, says):
    model = saved("model.safetensors")
    ssmspec.check(model, baseline_output="base.json")
    monkeypatch.setattr("ssmspec.checking.gate.analyze", None)
    assert run(["check", model, "--baseline", "base.json", "--max-regression", text]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err


def test_one_metric_has_one_allowance():
    with pytest.raises(UsageError, match="twice for coverage"):
        ssmspec.check({}, max_regression=["coverage:5%", "coverage:1%"])
    assert parse_allowance("coverage:5%") == Allowance("coverage", 0.05, True)
    assert parse_allowance("coverage:0.05") == Allowance("coverage", 0.05, False)
    assert parse_allowance("coverage") == Allowance("coverage")


def test_metrics_of_another_length_or_unit_are_not_compared():
    model = saved("model.safetensors")
    ssmspec.check(model, seq_len=64, baseline_output="base.json")
    options = {"baselines": ["base.json"], "max_regression": ["largest_gap:5%"]}
    (file,) = ssmspec.check(model, seq_len=128, **options).files
    assert file.exit_code == 2
    assert "at L = 64, this at L = 128" in file.error
    assert file.report is not None
    (file,) = ssmspec.check(model, seq_len=64, sample_rate=10.0, **options).files
    assert file.exit_code == 2
    assert "Hz" in file.error
    assert ssmspec.check(model, seq_len=64, **options).exit_code == 0


def fresh(seed, channels=128, modes=32):
    """S4D-Lin as state-spaces/s4 draws it."""
    dt = np.exp(np.random.default_rng(seed).uniform(np.log(1e-3), np.log(1e-1), channels))
    return {
        "kernel.log_dt": np.log(dt),
        "kernel.log_A_real": np.full((channels, modes), np.log(0.5)),
        "kernel.A_imag": np.tile(np.pi * np.arange(modes), (channels, 1)),
    }, float(np.mean(dt[:, None] * np.arange(modes) > 1.0 + 1e-6))


def test_baselines_of_three_seeds_tolerate_a_fourth():
    models, shares = zip(*(fresh(seed) for seed in range(40)), strict=True)
    # Between seeds aliased_fraction varies by sd 0.018, counted here by n dt > 1.
    assert np.std(shares) == pytest.approx(0.018, abs=0.005)
    names = [f"seed{seed}.json" for seed in range(3)]
    for seed, name in enumerate(names):
        (file,) = ssmspec.check(models[seed], baseline_output=name).files
        assert file.report.layers[0].value("aliased_fraction") == pytest.approx(shares[seed])
    limit = np.mean(shares[:3]) + max(shares[:3]) - min(shares[:3])
    spread = {"baselines": names, "max_regression": ["aliased_fraction"]}
    for seed in (3, int(np.argmax(shares))):
        assert shares[seed] < limit
        assert regressions(ssmspec.check(models[seed], **spread)) == {}
    # Step sizes up to 0.2 let more modes alias than any of the 40 seeds.
    wide = dict(models[3])
    wide["kernel.log_dt"] = wide["kernel.log_dt"] + np.log(2.0)
    assert set(regressions(ssmspec.check(wide, **spread))) == {"kernel", WHOLE_MODEL}
    # One baseline at 5 % of its value takes a mere seed for a regression.
    worst, lowest = int(np.argmax(shares)), int(np.argmin(shares[:3]))
    alone = {"baselines": [names[lowest]], "max_regression": ["aliased_fraction:5%"]}
    assert shares[worst] > 1.05 * shares[lowest]
    assert regressions(ssmspec.check(models[worst], **alone))
