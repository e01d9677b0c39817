"""Baselines: new, unchanged and fixed findings, and metrics that may only get so much worse."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import ssmspec
from ssmspec._version import __version__
from ssmspec.checking import write_baseline
from ssmspec.cli import run
from ssmspec.errors import CheckpointError, UsageError
from tests.examples.comparison import s4d

HEALTHY = {"modes": 4, "dt": 0.05, "log_A_real": np.full((2, 4), -3.0)}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def saved(name, *layers, **options):
    """A file of S4D layers; each is a dict of changes to a trained-looking layer."""
    state = {}
    for i, changes in enumerate(layers or ({},)):
        state |= s4d(f"layers.{i}.kernel", **(HEALTHY | changes), **options)
    save_file({key: value.astype(np.float32) for key, value in state.items()}, name)
    return name


ALIASED = {"dt": 0.5}  # the second channel steps by 1: n = 2 and 3 turn by 2 pi and 3 pi a sample


def statuses(run_):
    (file,) = run_.files
    found = {(f.finding.code, f.finding.layer): f.status for f in file.findings}
    return {key: None if status is None else status.value for key, status in found.items()} | {
        (f.code, f.layer): "fixed" for f in file.fixed
    }


def test_new_unchanged_and_fixed_by_rule_and_layer():
    before = saved("before.safetensors", ALIASED, ALIASED, {})
    ssmspec.check(before, baseline_output="base.json")
    after = saved("after.safetensors", ALIASED, {}, ALIASED)
    judged = statuses(ssmspec.check(after, baselines=["base.json"]))
    aliasing = {layer: status for (code, layer), status in judged.items() if code == "ALI001"}
    assert aliasing == {
        "layers.0.kernel": "unchanged",
        "layers.1.kernel": "fixed",
        "layers.2.kernel": "new",
    }
    assert set(statuses(ssmspec.check(after)).values()) == {None}


def test_only_new_findings_fail_the_gate():
    config = Path("ssmspec.toml")
    config.write_text('[rules]\nALI001 = "error"\n')
    before = saved("before.safetensors", ALIASED)
    assert ssmspec.check(before, config=config, baseline_output="base.json").exit_code == 1
    options = {"config": config, "baselines": ["base.json"]}
    for name, layer in (("fixed", {}), ("same", ALIASED)):
        after = saved(f"{name}.safetensors", layer)
        assert ssmspec.check(after, **options).exit_code == 0
    worse = saved("worse.safetensors", ALIASED, ALIASED)
    (file,) = ssmspec.check(worse, **options).files
    assert file.exit_code == 1
    assert [f.layer for f in file.failing] == ["layers.1.kernel"]


def test_findings_are_compared_unfiltered_and_filtered_afterwards():
    before = saved("before.safetensors", ALIASED)
    ssmspec.check(before, baseline_output="base.json", select=["INI"])
    kept = json.loads(Path("base.json").read_text())
    assert "ALI001" in {f["code"] for f in kept["checkpoints"][0]["report"]["findings"]}
    assert kept["check"]["select"] == []
    after = saved("after.safetensors", ALIASED)
    judged = statuses(ssmspec.check(after, baselines=["base.json"], select=["ALI"]))
    assert judged == {("ALI001", "layers.0.kernel"): "unchanged"}
    fresh = saved("fresh.safetensors")
    assert statuses(ssmspec.check(fresh, baselines=["base.json"], select=["ALI"])) == {
        ("ALI001", "layers.0.kernel"): "fixed"
    }
    assert statuses(ssmspec.check(fresh, baselines=["base.json"], select=["INI003"])) == {}


def test_what_is_no_longer_judged_is_not_fixed():
    before = saved("before.safetensors", ALIASED, ALIASED)
    ssmspec.check(before, baseline_output="base.json")
    after = saved("after.safetensors", {}, {})
    off = Path("ssmspec.toml")
    off.write_text('[[overrides]]\nlayers = "*.1.*"\nrules = { ALI001 = "off" }\n')
    judged = statuses(ssmspec.check(after, baselines=["base.json"], config=off, select=["ALI"]))
    assert judged == {("ALI001", "layers.0.kernel"): "fixed"}
    judged = statuses(ssmspec.check(after, baselines=["base.json"], layers="*.1.*", select=["ALI"]))
    assert judged == {("ALI001", "layers.1.kernel"): "fixed"}


def test_several_baselines_count_together():
    for name, layers in (("a", (ALIASED, {})), ("b", ({}, ALIASED))):
        ssmspec.check(saved(f"{name}.safetensors", *layers), baseline_output=f"{name}.json")
    both = saved("both.safetensors", ALIASED, ALIASED)
    judged = statuses(ssmspec.check(both, baselines=["a.json", "b.json"], select=["ALI"]))
    assert set(judged.values()) == {"unchanged"}
    assert set(statuses(ssmspec.check(both, baselines=["a.json"], select=["ALI"])).values()) == {
        "new",
        "unchanged",
    }


def test_a_baseline_carries_versions_and_the_fingerprint_and_is_not_overwritten(capsys):
    model = saved("model.safetensors")
    assert run(["check", model, "--write-baseline", "base.json", "--quiet"]) == 0
    document = json.loads(Path("base.json").read_text())
    assert document["schema_version"] == 1
    assert document["tool"]["version"] == __version__
    fingerprint = document["checkpoints"][0]["report"]["checkpoint"]["fingerprint"]
    assert fingerprint == ssmspec.analyze(model).checkpoint.fingerprint
    before = Path("base.json").read_bytes()
    assert run(["check", model, "--write-baseline", "base.json"]) == 2
    assert "--force" in capsys.readouterr().err
    assert Path("base.json").read_bytes() == before
    assert run(["check", model, "--write-baseline", "base.json", "--force"]) == 0
    # A baseline that is read is an input, which is never replaced.
    options = ["--baseline", "base.json", "--write-baseline", "base.json", "--force"]
    assert run(["check", model, *options]) == 2
    assert Path("base.json").read_bytes() == before


def test_no_baseline_of_what_could_not_be_judged(capsys):
    Path("broken.safetensors").write_bytes(b"nothing")
    model = saved("model.safetensors")
    arguments = ["check", model, "broken.safetensors", "--write-baseline", "base.json"]
    assert run([*arguments, "--format", "json=run.json"]) == 2
    assert "no baseline was written" in capsys.readouterr().err
    assert not Path("base.json").exists()
    assert Path("run.json").exists()
    run_ = ssmspec.check([model, "broken.safetensors"], baseline_output="base.json")
    assert any("no baseline was written" in hint for hint in run_.hints)
    assert not Path("base.json").exists()
    with pytest.raises(UsageError, match="no baseline was written"):
        write_baseline(run_, Path("base.json"))


def test_checkpoints_and_baselines_find_each_other():
    a, b = saved("a.safetensors", ALIASED), saved("b.safetensors")
    ssmspec.check([a, b], baseline_output="both.json")
    ssmspec.check(a, baseline_output="a.json")
    other = saved("other.safetensors", ALIASED)
    assert ssmspec.check(other, baselines=["a.json"]).exit_code == 0  # one and one
    for path in (a, f"./{a}"):  # by path
        (file,) = ssmspec.check(path, baselines=["both.json"], select=["ALI"]).files
        assert [f.status.value for f in file.findings] == ["unchanged"]
    first, second = ssmspec.check([b, a], baselines=["both.json"], select=["ALI"]).files
    assert first.findings == ()
    assert [f.status.value for f in second.findings] == ["unchanged"]
    with pytest.raises(UsageError, match=r"both.json holds a.safetensors, b.safetensors, none"):
        ssmspec.check(other, baselines=["both.json"])
    with pytest.raises(UsageError, match=r"no baseline holds other.safetensors: both.json holds"):
        ssmspec.check([a, other], baselines=["both.json"])
    with pytest.raises(UsageError, match=r"a.json holds a.safetensors, none"):
        ssmspec.check([b, other], baselines=["both.json", "a.json"])


def test_an_analysis_is_a_baseline_too(capsys):
    model = saved("model.safetensors", ALIASED)
    assert run(["analyze", model, "--format", "json", "--output", "report.json"]) == 0
    after = saved("after.safetensors", ALIASED)
    judged = statuses(ssmspec.check(after, baselines=["report.json"], select=["ALI"]))
    assert set(judged.values()) == {"unchanged"}


def test_a_damaged_baseline_is_refused():
    model = saved("model.safetensors")
    ssmspec.check(model, baseline_output="base.json")
    document = json.loads(Path("base.json").read_text())
    for change in (
        lambda d: d["checkpoints"][0].update(report=None),
        lambda d: d["checkpoints"][0].update(path=3),
        lambda d: d.update(checkpoints={}) or d["check"].pop("preset"),
        lambda d: d.update(checkpoints=[3]),
        lambda d: d.pop("tool"),
        lambda d: d.update(schema_version=99),
    ):
        damaged = json.loads(json.dumps(document))
        change(damaged)
        Path("damaged.json").write_text(json.dumps(damaged))
        with pytest.raises((CheckpointError, UsageError), match=r"damaged.json"):
            ssmspec.check(model, baselines=["damaged.json"])
    document["checkpoints"][0].pop("report")
    Path("empty.json").write_text(json.dumps(document))
    with pytest.raises(UsageError, match="holds no measurement"):
        ssmspec.check(model, baselines=["empty.json"])


def test_what_makes_a_comparison_less_telling_is_said(capsys):
    model, other = saved("model.safetensors", ALIASED), saved("other.safetensors")
    ssmspec.check(model, seq_len=64, baseline_output="base.json")

    def hints(path, *options):
        run(["check", path, "--baseline", "base.json", *options])
        return capsys.readouterr().err

    assert hints(other, "--seq-len", "64") == ""
    assert "same fingerprint" in hints(model, "--seq-len", "64")
    assert "measured at L = 64, this at no known sequence length" in hints(other)
    assert "judged by the preset recommended, this by strict" in hints(
        other, "--seq-len", "64", "--preset", "strict"
    )
    assert hints(model, "--quiet") == ""
    document = json.loads(Path("base.json").read_text())
    document["tool"]["version"] = "0.0.0"
    Path("base.json").write_text(json.dumps(document))
    assert "written by ssmspec 0.0.0" in hints(other, "--seq-len", "64")


@pytest.mark.parametrize(("held", "rest"), [(5, ""), (6, " and 1 more"), (7, " and 2 more")])
def test_a_baseline_of_many_checkpoints_names_the_first_and_counts_the_rest(held, rest):
    saved("layers.safetensors")
    names = [f"model_{i}.safetensors" for i in range(held)]
    for name in names:
        Path(name).write_bytes(Path("layers.safetensors").read_bytes())
    ssmspec.check(names, baseline_output="base.json")
    with pytest.raises(UsageError) as caught:
        ssmspec.check("layers.safetensors", baselines=["base.json"])
    named = ", ".join(names[:5])
    assert f"the baseline base.json holds {named}{rest}, none of which" in str(caught.value)
