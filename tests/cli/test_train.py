"""`ssmspec train` from end to end, and what it says when it cannot."""

import json
import os
import subprocess
import sys

import pytest

from ssmspec.cli import run
from tests.examples.training_runs import FILES, rows_of, tensors

TINY = ("--n-layers", "1", "--d-model", "8", "--d-state", "8", "--batch-size", "32")


def call(capsys, *arguments):
    """One command line in this process: (exit code, stdout, stderr)."""
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "digits"
    assert (
        run(
            [
                *("train", "--task", "digits", "--scheme", "s4d-lin", *TINY),
                *("--max-steps", "40", "--eval-every", "20", "--output", str(folder)),
            ]
        )
        == 0
    )
    return folder


def test_a_run_tells_how_it_goes_and_what_it_came_to(capsys, tmp_path):
    code, out, err = call(
        capsys,
        *("train", "--task", "digits", *TINY, "--max-steps", 6, "--eval-every", 3),
        *("--output", tmp_path / "run"),
    )
    assert code == 0
    lines = err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step 3/6", "step 6/6"]
    for part in ("epoch 1", "loss ", "accuracy ", "validation ", " steps/s", "ETA 0:0"):
        assert all(part in line for line in lines)
    assert out.startswith("digits from dfout: accuracy ")
    assert "on the test data" in out
    assert "blocks.0.ssm" in out  # the spectrum, first look against last
    assert f"ssmspec analyze {tmp_path / 'run'}" in out
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES


def test_quiet_says_nothing_on_stderr(capsys, tmp_path):
    code, out, err = call(
        capsys, "train", "--task", "digits", *TINY, "--max-steps", 2, "-o", tmp_path / "r", "-q"
    )
    assert (code, err) == (0, "")
    assert "accuracy" in out


def test_what_was_trained_goes_through_every_other_command(capsys, tmp_path, trained):
    code, out, _ = call(capsys, "analyze", trained, "--format", "json")
    report = json.loads(out)
    assert code == 0
    assert report["sequence_length"] == 64
    (layer,) = report["layers"]
    assert (layer["name"], layer["family"], layer["channels"], layer["modes"]) == (
        ("blocks.0.ssm", "s4d", 8, 4)
    )
    assert any(
        "64, is what the file says of its training" in said for said in report["assumptions"]
    )
    assert "value" in layer["metrics"]["energy_horizon"]  # kernels, L and row stride are known
    assert "value" in layer["metrics"]["stride_energy"]

    code, _, _ = call(capsys, "check", trained)
    assert code == 0
    code, _, _ = call(capsys, "check", trained / "initial.safetensors", "--select", "INI")
    assert code == 0  # INI001 is a warning

    code, out, _ = call(
        capsys,
        *("compare", trained / "initial.safetensors", trained / "model.safetensors"),
        *("--format", "json"),
    )
    assert code == 0
    document = json.loads(out)
    assert document["sequence_length"] == 64
    assert document["layers"][0]["poles_moved"]["rms"] > 0

    fresh = tmp_path / "fresh.safetensors"
    code, _, _ = call(capsys, "reinit", trained, "--scheme", "s4d-inv", "--output", fresh)
    assert code == 0
    code, _, _ = call(
        capsys,
        *("train", "--task", "digits", *TINY, "--init", fresh),  # S4D layers, as the file has
        *("--max-steps", 3, "--output", tmp_path / "again"),
    )
    assert code == 0
    document = json.loads((tmp_path / "again" / "config.json").read_text())
    assert document["started_from"] == {"path": str(fresh), "layers": {"scheme": "s4d-lin"}}
    start = tensors(tmp_path / "again" / "initial.safetensors")
    assert {k: v.tobytes() for k, v in start.items()} == {
        k: v.tobytes() for k, v in tensors(fresh).items()
    }
    code, out, _ = call(
        capsys, "analyze", tmp_path / "again/initial.safetensors", "--format", "json"
    )
    assert json.loads(out)["layers"][0]["metrics"]["init_scheme"]["value"] == "s4d-inv"


def test_resume_needs_no_more_than_the_folder(capsys, trained, tmp_path):
    folder = tmp_path / "run"
    base = ("train", "--task", "digits", *TINY, "--eval-every", 4, "--log-every", 1)
    base = (*base, "--schedule", "constant")
    assert call(capsys, *base, "--max-steps", 3, "-o", folder)[0] == 0
    assert call(capsys, "train", "-o", folder, "--resume", "--max-steps", 9)[0] == 0
    assert call(capsys, *base, "--max-steps", 9, "-o", tmp_path / "whole")[0] == 0
    assert rows_of(folder) == rows_of(tmp_path / "whole")
    code, _, err = call(capsys, "train", "-o", folder, "--resume", "--scheme", "s4d-lin")
    assert code == 2
    assert 'started with scheme = "dfout", not "s4d-lin"' in err


def test_options_go_over_a_file_over_a_preset(capsys, tmp_path):
    page = tmp_path / "run.toml"
    page.write_text(
        'task = "digits"\nscheme = "s4d-inv"\nn_layers = 1\nd_model = 8\nd_state = 4\n'
        "batch_size = 32\nepochs = 50\ndt_max = 0.2\nprenorm = false\n"
    )
    code, _, _ = call(
        capsys,
        *("train", "--config", page, "--d-state", 8, "--max-steps", 2, "-o", tmp_path / "run"),
    )
    assert code == 0
    settings = json.loads((tmp_path / "run/config.json").read_text())["settings"]
    told = {key: settings[key] for key in ("scheme", "d_state", "max_steps", "epochs", "dt_max")}
    assert told == {
        "scheme": "s4d-inv",
        "d_state": 8,
        "max_steps": 2,
        "epochs": None,
        "dt_max": 0.2,
    }
    assert settings["prenorm"] is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say what to train on"),
        (("--task", "digit"), "did you mean 'digits'"),
        (("--task", "digits", "--scheme", "dfoud"), "did you mean 'dfout'"),
        (("--task", "digits", "--preset", "nope"), "no preset is called 'nope'"),
        (("--task", "digits", "--config", "none.toml"), "none.toml does not exist"),
        (("--task", "digits", "--norm", "bach"), "norm is no 'bach'; did you mean 'batch'"),
        (("--task", "digits", "--set", "lag"), "--set takes NAME=VALUE"),
        (("--task", "digits", "--set", "lag=3"), "the task digits has no setting 'lag'"),
        (("--task", "delay", "--set", "lagg=3"), "did you mean 'lag'"),
        (("--task", "digits", "--device", "tpu"), "no device is called 'tpu'"),
        (("--task", "digits", "--xi-max", "0.2", "--scheme", "s4d-lin"), "does not read xi_max"),
        (("--resume",), "is no folder that `ssmspec train` wrote"),
        (("--task", "digits", "--lr", "0"), "lr must be a positive number"),
    ],
)
def test_what_makes_no_sense_is_one_sentence_and_exit_2(capsys, tmp_path, arguments, said):
    code, out, err = call(capsys, "train", *arguments, "-o", tmp_path / "run")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert said in err
    assert not (tmp_path / "run").exists()


def test_a_run_that_diverges_exits_2_and_names_what_is_left(capsys, tmp_path):
    code, _, err = call(
        capsys, "train", "--task", "digits", *TINY, "--lr", "1e30", "-q", "-o", tmp_path / "run"
    )
    assert code == 2
    assert "the last good checkpoint is" in err
    assert err.count("\n") == 1


def test_an_interrupted_run_says_how_to_go_on(capsys, tmp_path, monkeypatch):
    from ssmspec import training

    def stopped(*_, **__):
        raise KeyboardInterrupt("stopped after step 3 and saved")

    monkeypatch.setattr(training, "train", stopped, raising=False)
    code, _, err = call(capsys, "train", "--task", "digits", *TINY, "-o", tmp_path / "run")
    assert code == 130
    assert f"stopped after step 3 and saved; `ssmspec train --output {tmp_path / 'run'}" in err


def test_without_torch_one_sentence_says_what_to_install(tmp_path):
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from ssmspec.cli import run\n"
        f"sys.exit(run(['train', '--task', 'digits', '-o', {str(tmp_path / 'run')!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        "ssmspec: error: training needs torch, which is not installed; install it with "
        "pip install 'ssmspec[train]'\n"
    )


def test_tasks_are_listed_without_torch():
    script = (
        "from ssmspec.cli import run\nassert run(['list', 'tasks']) == 0\nimport sys\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "digits" in done.stdout
    assert "lag=L/4" in done.stdout


@pytest.mark.parametrize(
    ("command", "threads"), [(["analyze"], "1"), (["train"], None), (["train", "x"], None)]
)
def test_training_keeps_its_threads(monkeypatch, command, threads):
    from ssmspec import cli

    for variable in cli.BLAS_THREADS:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(sys, "argv", ["ssmspec", *command])
    monkeypatch.setattr(cli, "run", lambda arguments: 0)
    with pytest.raises(SystemExit):
        cli.main()
    assert [os.environ.pop(variable, None) for variable in cli.BLAS_THREADS] == [threads] * 2
