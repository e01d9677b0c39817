"""Stopping and going on: the numbers of a run must not tell when it was interrupted."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ssmspec.errors import CheckpointError, UsageError
from ssmspec.training import train
from ssmspec.training.interruption import TERMINATED
from ssmspec.training.run_lock import locked
from tests.examples.training_runs import left_in, rows_of, tiny

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What twelve steps in one go leave."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(tiny(), folder)
    return left_in(folder)


@pytest.mark.parametrize("first", [1, 5, 7])
def test_twelve_steps_are_so_many_and_the_rest(tmp_path, whole, first):
    # Mid-epoch (an epoch has 39 steps), mid-row (3), between evaluations (5) and looks (4).
    folder = tmp_path / "run"
    train(tiny(max_steps=first), folder)
    assert rows_of(folder, "test")  # the short run came to its own end
    train(tiny(), folder, resume=True)
    assert left_in(folder) == whole


def test_a_cosine_stays_where_the_run_began_with_it(tmp_path):
    train(tiny(schedule="cosine"), tmp_path / "whole")
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(tiny(schedule="cosine"), folder, on_progress=stopping_at(6, signal.SIGINT))
    train(tiny(schedule="cosine"), folder, resume=True)
    assert left_in(folder) == left_in(tmp_path / "whole")
    with pytest.raises(UsageError, match="to 0 at step 12, and the run is to last 13 steps"):
        train(tiny(schedule="cosine", max_steps=13), folder, resume=True)


def stopping_at(step, number):
    """A progress callback that sends this process a signal at some step."""

    def on_progress(progress):
        if progress.step == step:
            os.kill(os.getpid(), number)

    return on_progress


@pytest.mark.parametrize("step", [4, 7])  # the step that is finished after 4 is due to be evaluated
def test_ctrl_c_finishes_the_step_saves_and_goes_on(tmp_path, whole, step):
    folder = tmp_path / "run"
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match=f"stopped after step {step + 1} and saved"):
        train(tiny(), folder, on_progress=stopping_at(step, signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is before
    assert not rows_of(folder, "test")
    train(tiny(), folder, resume=True)
    assert left_in(folder) == whole


def test_sigterm_ends_with_its_own_code(tmp_path, whole):
    folder = tmp_path / "run"
    with pytest.raises(SystemExit) as stop:
        train(tiny(), folder, on_progress=stopping_at(6, signal.SIGTERM))
    assert stop.value.code == TERMINATED == 143
    train(tiny(), folder, resume=True)
    assert left_in(folder) == whole


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    def twice(progress):
        if progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="stopped twice"):
        train(tiny(), tmp_path / "run", on_progress=twice)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from ssmspec.training import train
from tests.examples.training_runs import tiny

def on_progress(progress):
    if progress.step == 9:
        os.kill(os.getpid(), signal.SIGKILL)

train(tiny(save_every=2), Path({folder!r}), on_progress=on_progress)
"""


def test_a_killed_run_goes_on_from_its_last_save(tmp_path, whole):
    folder = tmp_path / "run"
    script = KILLED.format(paths=[str(ROOT), str(ROOT / "tests")], folder=str(folder))
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert torch.load(folder / "resume.pt", weights_only=True)["step"] == 8
    (folder / "best.safetensors").unlink(missing_ok=True)  # as if it had died in between
    train(tiny(), folder, resume=True)
    assert left_in(folder) == whole


def test_a_run_that_is_over_can_be_resumed_to_no_effect(tmp_path, whole):
    folder = tmp_path / "run"
    train(tiny(), folder)
    result = train(tiny(), folder, resume=True)
    assert left_in(folder) == whole
    assert result.steps == 12


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": {"scheme": "s4d-lin"}}, 'scheme = "dfout", not "s4d-lin"'),
        ({"model": {"d_model": 16}}, "d_model = 8, not 16"),
        ({"seed": 5}, "seed = 0, not 5"),
        ({"lr": 0.1, "clip": None}, "lr = 0.004, not 0.1; clip = 1.0, not none"),
        ({"batch_size": 64}, "batch_size = 32, not 64"),
    ],
)
def test_another_run_is_not_resumed(tmp_path_factory, run_of_five, change, said):
    del tmp_path_factory
    before = {path.name: path.read_bytes() for path in run_of_five.iterdir()}
    with pytest.raises(UsageError) as refused:
        train(tiny(**change), run_of_five, resume=True)
    assert said in str(refused.value)
    assert {path.name: path.read_bytes() for path in run_of_five.iterdir()} == before


@pytest.fixture(scope="module")
def run_of_five(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "five"
    train(tiny(max_steps=5), folder)
    return folder


def test_a_shorter_end_than_was_reached(run_of_five):
    with pytest.raises(UsageError, match="stands at step 5 already, and the run is to last 4"):
        train(tiny(max_steps=4), run_of_five, resume=True)


def test_another_task_is_not_resumed(run_of_five):
    with pytest.raises(UsageError, match='task = "digits", not "delay"'):
        train(replace(tiny(), task="delay"), run_of_five, resume=True)


def test_nothing_to_resume(tmp_path):
    with pytest.raises(UsageError, match=r"is no folder that `ssmspec train` wrote"):
        train(tiny(), tmp_path / "none", resume=True)


def test_a_damaged_state_is_told_and_runs_no_code(tmp_path, run_of_five):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((run_of_five / name).read_bytes())
    with pytest.raises(UsageError, match=r"there is no .*resume.pt"):
        train(tiny(), tmp_path, resume=True)
    whole_state = (run_of_five / "resume.pt").read_bytes()
    (tmp_path / "resume.pt").write_bytes(whole_state[: len(whole_state) // 2])
    with pytest.raises(CheckpointError, match="is damaged"):
        train(tiny(), tmp_path, resume=True)
    torch.save({"ssmspec_resume": Path("/")}, tmp_path / "resume.pt")  # an object, not a number
    with pytest.raises(CheckpointError, match="is damaged"):
        train(tiny(), tmp_path, resume=True)


def test_a_tampered_state_is_one_sentence(tmp_path, run_of_five):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((run_of_five / name).read_bytes())
    whole = torch.load(run_of_five / "resume.pt", weights_only=True)
    weight = next(iter(whole["model"]))
    groups = whole["optimizer"]["param_groups"]
    tampered = [
        {"step": 10**400}, {"step": -1}, {"rows": [[1]]}, {"rows": 3}, {"window": []},
        {"best": {"step": 1}}, {"model": []}, {"model": {}}, {"optimizer": {"param_groups": []}},
        {"model": {**whole["model"], weight: torch.zeros(1)}}, {"monitor": [1]},
        {"best": {**whole["best"], "weights": {}}},
        {"optimizer": {**whole["optimizer"], "state": {0: {"exp_avg": torch.zeros(3, 5, 7)}}}},
        {"optimizer": {**whole["optimizer"], "param_groups": [{**g, "lr": "x"} for g in groups]}},
    ]  # fmt: skip
    for change in tampered:
        torch.save({**whole, **change}, tmp_path / "resume.pt")
        with pytest.raises(CheckpointError, match=r"is damaged|does not hold this model's"):
            train(tiny(), tmp_path, resume=True)


def test_a_run_is_written_by_one_process_and_what_killed_ones_left_is_swept(tmp_path, run_of_five):
    fcntl = pytest.importorskip("fcntl")
    folder = tmp_path / "run"
    shutil.copytree(run_of_five, folder)
    left = folder / ".ssmspec-0123456789abcdef.tmp"
    left.write_text("half")
    (folder / ".ssmspec-mine.tmp").write_text("not ours")
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    for how in ({"resume": True}, {"force": True}):
        with pytest.raises(UsageError, match="another process is training into"):
            train(tiny(), folder, **how)
    assert left.exists()
    os.close(descriptor)
    with locked(folder):
        pass
    assert not left.exists()
    assert (folder / ".ssmspec-mine.tmp").exists()
