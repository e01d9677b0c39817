"""Many checkpoints: saved reports in the place of checkpoints, and several processes."""

import json
from pathlib import Path

import pytest

import ssmspec
from ssmspec.checking import pool
from ssmspec.cli import run
from ssmspec.errors import UsageError

SAMPLES = Path(__file__).resolve().parents[2] / "sample_checkpoints"
GOOD, WARNING, FAILING = (
    str(SAMPLES / f"{name}.safetensors") for name in ("mamba2", "s4d_lin", "defect_unstable_s5")
)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)


def saved(name, path, *options):
    """A report of `check`, written by a run of its own."""
    run(["check", path, *options, "--force", "--format", f"json={name}"])
    return name


def test_reports_of_parts_come_to_the_verdict_of_the_whole():
    whole = ssmspec.check([GOOD, WARNING, FAILING])
    parts = ssmspec.check([saved("a.json", GOOD), WARNING, saved("c.json", FAILING)])
    assert [file.path for file in parts.files] == [file.path for file in whole.files]
    assert (parts.exit_code, whole.exit_code) == (1, 1)
    for part, file in zip(parts.files, whole.files, strict=True):
        assert part.to_dict()["report"]["findings"] == file.to_dict()["report"]["findings"]
        assert (part.exit_code, part.verdict, part.tested) == (
            file.exit_code,
            file.verdict,
            file.tested,
        )


def test_selection_and_level_are_those_of_the_last_run():
    report = saved("b.json", WARNING)
    assert ssmspec.check([report]).exit_code == 0
    assert ssmspec.check([report], fail_on="warning").exit_code == 1
    assert ssmspec.check([report], fail_on="warning", ignore=["INI"]).exit_code == 0
    (hint,) = ssmspec.check([report], preset="strict").hints
    assert "judged by the preset recommended" in hint


def test_what_a_baseline_held_stays_unchanged_and_can_be_compared_anew():
    baseline = saved("base.json", FAILING)
    report = saved("now.json", FAILING, "--baseline", baseline)
    assert ssmspec.check([FAILING]).exit_code == 1
    assert ssmspec.check([report]).exit_code == 0
    assert ssmspec.check([saved("plain.json", FAILING)], baselines=[baseline]).exit_code == 0


def test_an_analysis_may_stand_for_its_checkpoint(capsys):
    run(["analyze", FAILING, "--format", "json"])
    Path("analysis.json").write_text(capsys.readouterr().out)
    assert ssmspec.check(["analysis.json"]).exit_code == 1


def test_what_could_not_be_judged_then_cannot_be_judged_now():
    Path("broken.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{broken}")
    (file,) = ssmspec.check([saved("e.json", "broken.safetensors")]).files
    assert file.exit_code == 2
    assert "broken.safetensors" in file.path
    content = json.loads(Path("e.json").read_text())
    content["schema_version"] = 99
    Path("e.json").write_text(json.dumps(content))
    (file,) = ssmspec.check(["e.json"]).files
    assert "schema version 99" in file.error
    content.update(schema_version=1, checkpoints=[])
    Path("e.json").write_text(json.dumps(content))
    (file,) = ssmspec.check(["e.json"]).files
    assert file.error == "e.json tells of no checkpoint"


def test_two_reports_of_one_checkpoint_are_both_judged():
    reports = [saved("a.json", FAILING), saved("b.json", FAILING)]
    assert [file.path for file in ssmspec.check(reports).files] == [FAILING, f"{FAILING} (2)"]


def test_processes_change_nothing_but_the_time(monkeypatch):
    monkeypatch.setattr(pool, "WORTH", 0.0)
    sources = [FAILING, saved("a.json", GOOD), WARNING, "missing.safetensors"]
    done = []
    several = ssmspec.check(sources, jobs=2, progress=lambda *at: done.append(at))
    assert several.to_dict() == ssmspec.check(sources).to_dict()
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_few_small_files_start_no_process(monkeypatch):
    monkeypatch.setattr(pool, "ProcessPoolExecutor", None)
    assert ssmspec.check([GOOD, WARNING], jobs=8).exit_code == 0
    assert list(pool.in_order(lambda place, task: place * task, [3, 4, 5], 1)) == [0, 4, 10]
    with pytest.raises(UsageError, match="at least 1"):
        ssmspec.check([GOOD], jobs=0)
