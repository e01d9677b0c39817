"""Runs of tiny checkpoints in which it is known at which step what happens."""

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

import ssmspec
from ssmspec.analysis import track as use_case
from ssmspec.analysis.run_members import members
from ssmspec.cli import run as cli
from ssmspec.errors import CheckpointError, UsageError
from ssmspec.writers.base import Page
from ssmspec.writers.track import TRACK_WRITERS
from tests.examples.comparison import s4d
from tests.examples.small_models import s5

STEPS = (500, 1000, 1500, 2000)
CROSSES = 1500
DIES = 1000


def model(step):
    """S5, a pole of which is outside the circle from CROSSES on; S4D, deaf in a channel at DIES."""
    held = {}
    for i in range(2):
        layer = s5(np.random.default_rng(i))
        layer["Lambda_re"] = layer["Lambda_re"] + 1e-4 * step
        if i == 1 and step >= CROSSES:
            layer["Lambda_re"][3] = 0.02
        held |= {f"layers_{i}.seq.{key}": value for key, value in layer.items()}
    other = s4d("other.kernel")
    if step == DIES:
        other["other.kernel.C"][1] = 0.0
    return held | other


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracked") / "run"
    for step in STEPS:
        place = folder / f"checkpoint-{step}"
        place.mkdir(parents=True)
        np.savez(place / "model.npz", **model(step))
    return folder


@pytest.fixture(scope="module")
def tracked(folder):
    return ssmspec.track(folder, seq_len=1024)


def test_the_step_at_which_a_pole_crosses_the_circle_is_named(tracked):
    assert [step.step for step in tracked.steps] == list(STEPS)
    first = {firing.finding.code: firing for firing in tracked.first}
    grows = first["STB001"]
    assert tracked.first[0] == grows
    assert (grows.step, grows.after, grows.layers) == (CROSSES, 1000, ("layers_1.seq",))
    assert (grows.last, grows.lasts) == (2000, True)
    dies = first["DEA001"]
    assert (dies.step, dies.after, dies.last, dies.lasts) == (DIES, 500, DIES, False)
    assert dies.layers == ("other.kernel",)
    assert [step.worst and step.worst[0].code for step in tracked.steps[2:]] == ["STB001"] * 2
    for step in tracked.steps:  # nothing but what each file says by itself
        alone = ssmspec.analyze(step.path, seq_len=1024)
        assert step.report == alone
        assert all(first[finding.code].step <= step.step for finding in alone.findings)


def test_every_format_says_it(tracked):
    text = TRACK_WRITERS["text"].render(tracked, Page())
    row = next(line for line in text.splitlines() if line.startswith("STB001"))
    assert row.split() == ["STB001", "error", "1,500", "1,000", "the", "end", "1", "layers_1.seq"]
    assert "the first error, STB001, is at checkpoint 1,500" in text
    for column in ("cover", "aliased", "memory/L", "entangled", "drift", "worst"):
        assert column in text
    assert "| `STB001` | error | 1,500 |" in TRACK_WRITERS["markdown"].render(tracked, Page())
    assert "STB001" in TRACK_WRITERS["html"].render(tracked, Page())
    coverage = tracked.steps[0].report.model["coverage"].outcome
    rows = list(csv.DictReader(io.StringIO(TRACK_WRITERS["csv"].render(tracked, Page()))))
    row = next(row for row in rows if row["layer"] == "(model)" and row["metric"] == "coverage")
    assert (row["step"], float(row["value"]), row["unit"]) == ("500", coverage.value, coverage.unit)
    content = json.loads(TRACK_WRITERS["json"].render(tracked, Page()), parse_constant=pytest.fail)
    assert content["first"][0]["step"] == CROSSES
    assert [entry["step"] for entry in content["checkpoints"]] == list(STEPS)


def test_a_tracked_run_is_a_baseline_of_its_checkpoints(folder, tracked, tmp_path, capsys):
    saved = tmp_path / "run.json"
    saved.write_text(TRACK_WRITERS["json"].render(tracked, Page()))
    bad = str(folder / "checkpoint-1500")
    assert cli(["check", bad, "--seq-len", "1024"]) == 1
    assert cli(["check", bad, "--seq-len", "1024", "--baseline", str(saved)]) == 0
    capsys.readouterr()


def test_the_cache_measures_only_what_is_new(folder, tracked, tmp_path, monkeypatch):
    measured = []
    analyze = use_case.analyze

    def counting(path, reading):
        measured.append(Path(path).name)
        return analyze(path, reading)

    monkeypatch.setattr(use_case, "analyze", counting)
    cache, few = tmp_path / "cache.json", [folder / f"checkpoint-{step}" for step in STEPS[:3]]
    ssmspec.track(few, seq_len=1024, cache=cache)
    again = ssmspec.track(folder, seq_len=1024, cache=cache)
    assert measured == [f"checkpoint-{step}" for step in STEPS]
    assert [step.kept for step in again.steps] == [True, True, True, False]
    assert again.to_dict()["checkpoints"] == tracked.to_dict()["checkpoints"]
    changed = folder / "checkpoint-1000/model.npz"
    times = changed.stat()
    os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    ssmspec.track(folder, seq_len=1024, cache=cache)
    assert measured[4:] == ["checkpoint-1000"]
    ssmspec.track(folder, seq_len=512, cache=cache)
    assert len(measured) == 9
    before = cache.read_bytes()
    cache.write_bytes(before[:-100])
    with pytest.raises(
        CheckpointError, match=r"no whole cache of a tracked run; name another file"
    ):
        ssmspec.track(folder, seq_len=1024, cache=cache)
    assert cache.read_bytes() == before[:-100]
    report = tmp_path / "report.json"
    ssmspec.analyze(folder / "checkpoint-500").save(report)
    with pytest.raises(CheckpointError, match="no whole cache"):
        ssmspec.track(folder, cache=report)


@pytest.mark.parametrize(
    ("names", "counted", "order"),
    [
        (["checkpoint-500/", "checkpoint-1000/", "model.npz"], "checkpoint", [500, 1000]),
        (["epoch=3-step=2000.ckpt", "epoch=10-step=900.ckpt", "last.ckpt"], "step", [900, 2000]),
        (["epoch=9-loss=0.25.ckpt", "epoch=10-loss=0.24.ckpt"], "epoch", [9, 10]),
        (["global_step20/", "global_step100/", "latest"], "step", [20, 100]),
        (["snapshots/step-020.npz", "snapshots/step-100.npz", "s4d.npz"], "step", [20, 100]),
        (["s4d-64-9.pt", "s4d-64-10.pt", "s4d-64-011.pt"], "number", [9, 10, 11]),
        (["step-2k.pt", "step-900.pt", "optimizer_step-900.pt"], "step", [900, 2000]),
        (["30/", "4/"], "number", [4, 30]),
    ],
)  # fmt: skip
def test_names_say_the_order(tmp_path, names, counted, order):
    for name in names:
        place = tmp_path / "a9b" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir() if name.endswith("/") else place.touch()
    kind, found, _ = members([str(tmp_path / "a9b")])
    assert (kind, [member.step for member in found]) == (counted, order)


def test_addresses_and_folders_of_single_files_say_it_too(tmp_path):
    kind, found, _ = members(["hf://owner/s4d-7b@step1000", "hf://owner/s4d-7b@step-200/model.npz"])
    assert (kind, [member.step for member in found]) == ("step", [200, 1000])
    for step in (3, 20):
        (tmp_path / f"step-{step}").mkdir()
        (tmp_path / f"step-{step}/model.npz").touch()
    _, found, _ = members([str(tmp_path / "*/model.npz")])
    assert [member.step for member in found] == [3, 20]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["checkpoint-500.pt"], "two or more checkpoints, and only"),
        (["step-5.pt", "epoch-6.pt"], "no common order"),
        (["a/step-5.pt", "b/step-5.pt"], "are both of step 5"),
        (["best.pt", "last.pt"], "has no step in its name"),
        (["run-1-5.pt", "run-2-6.pt"], "do not say which number is the step"),
        (["a7.pt", "b8.pt"], "do not say which number is the step"),
    ],
)
def test_what_has_no_order_is_one_sentence(tmp_path, capsys, names, said):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert cli(["track", *(str(tmp_path / name) for name in names)]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_other_models_and_nothing_at_all_are_refused(folder, tmp_path):
    np.savez(tmp_path / "checkpoint-3000.npz", **s4d("elsewhere.kernel"))
    with pytest.raises(UsageError, match="no layer in common"):
        ssmspec.track([folder, tmp_path / "checkpoint-3000.npz"])
    with pytest.raises(UsageError, match="nothing fits"):
        ssmspec.track(tmp_path / "*.pt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no step in its name"):
        ssmspec.track(tmp_path / "empty")
