"""`ssmspec reinit` as a command: what it prints, its exit codes, and being killed."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

import ssmspec
from ssmspec.cli import run
from tests.examples.reinit import trained_s4d


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "in.safetensors"
    save_file(trained_s4d(), path)
    return path


def reinit(capsys, *arguments):
    """Exit code, stdout and stderr of one command line."""
    code = run(["reinit", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_default_is_dfout_and_the_result_is_read_as_such(checkpoint, tmp_path, capsys):
    output = tmp_path / "out.safetensors"
    code, out, err = reinit(capsys, checkpoint, "--output", output)
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"{checkpoint}   S4D-DFouT (dfout), seed 0"
    assert "2 layers get new poles; 8 tensors are copied as they are" in out
    assert "s4_layers.0.kernel  16 x 8" in out
    assert "changed in every layer: log_A_real, A_imag" in out
    assert "step sizes are kept, and A holds the new poles at them" in out
    assert "C stays as it is, for a model that will be trained again" in out
    assert out.splitlines()[-1] == f"written to {output}"
    for layer in ssmspec.read_spectra(output):
        angles = np.sort(layer.omega.ravel())
        np.testing.assert_allclose(angles, np.pi * np.arange(128) / 128, atol=1e-5)


def test_a_dry_run_prints_before_and_after_and_writes_nothing(checkpoint, tmp_path, capsys):
    output = tmp_path / "out.safetensors"
    code, out, _ = reinit(capsys, checkpoint, "-o", output, "--dry-run")
    assert code == 0
    assert out.splitlines()[-1] == "nothing was written (dry run)"
    report = ssmspec.analyze(checkpoint)
    before = report.layers[0].value("spectral_flatness")
    assert f"{before:.2f} -> " in out
    assert [file.name for file in tmp_path.iterdir()] == ["in.safetensors"]


def test_the_plan_as_json(checkpoint, capsys):
    code, out, _ = reinit(
        capsys, checkpoint, "--dry-run", "--format", "json", "--c", "fit", "--search-xi",
        "--seq-len", 128, "--xi-min", 0.01, "--seed", 7,
    )  # fmt: skip
    assert code == 0
    plan = json.loads(out)
    assert (plan["scheme"], plan["seed"], plan["c"], plan["written"]) == ("dfout", 7, "fit", False)
    assert plan["output"] is None
    layer = plan["layers"][0]
    assert layer["tensors"] == [
        f"s4_layers.0.kernel.{leaf}" for leaf in ("log_A_real", "A_imag", "C")
    ]
    assert layer["step_sizes"] == "kept"
    assert layer["metrics"]["entanglement"]["before"]["value"] > 0.5
    assert 0 < layer["kernel"]["energy_kept"] <= 1
    assert 0.01 <= layer["xi"]["lowest"] <= layer["xi"]["highest"] <= 0.1
    assert plan["tensors_copied"] == len(trained_s4d()) - 6


def test_a_fit_is_printed_with_what_it_keeps(checkpoint, capsys):
    arguments = ("--dry-run", "--c", "fit", "--search-xi", "--seq-len", "128")
    code, out, _ = reinit(capsys, checkpoint, *arguments)
    assert code == 0
    assert "energy kept" in out
    assert "Tikhonov" in out
    assert "xi was chosen for each channel" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "--output FILE"),
        (("-o", "out.pth"), "from a torch file only"),
        (("-o", "out.bin.gz"), "told by its name"),
        (("--dry-run", "--scheme", "dfot"), "did you mean 'dfout'"),
        (("--dry-run", "--c", "fit"), "--seq-len L"),
        (("--dry-run", "--search-xi"), "--c fit"),
        (("--dry-run", "--dt", "keep", "--dt-min", "0.1", "--scheme", "s4d-lin"), "leave out one"),
        (("--dry-run", "--xi-min", "0.2"), "xi_min = 0.2 is above xi_max = 0.1"),
        (("--dry-run", "--xi-min", "nan"), "finite"),
        (("--dry-run", "--xi-min", "0", "--xi-max", "0"), "without damping"),
        (("--dry-run", "--scale", "2"), "dfout does not read scale"),
        (("--dry-run", "--layers", "nothing*"), "no state-space layer"),
        (("--dry-run", "--seed", "-1"), "non-negative"),
        (("--dry-run", "--c", "kept"), "Invalid value"),
    ],
)
def test_what_makes_no_sense_exits_2_in_one_sentence(checkpoint, capsys, arguments, sentence):
    code, out, err = reinit(capsys, checkpoint, *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("ssmspec: error: ")
    assert err.count("\n") == 1
    assert sentence in err
    assert [file.name for file in checkpoint.parent.iterdir()] == ["in.safetensors"]


def test_an_existing_output_needs_force(checkpoint, tmp_path, capsys):
    output = tmp_path / "out.safetensors"
    output.write_text("mine")
    code, _, err = reinit(capsys, checkpoint, "-o", output)
    assert code == 2
    assert "--force replaces it" in err
    assert output.read_text() == "mine"
    assert reinit(capsys, checkpoint, "-o", output, "--force")[0] == 0
    assert load_file(output).keys() == trained_s4d().keys()


def test_a_layer_that_cannot_names_what_it_can(tmp_path, capsys):
    path = tmp_path / "in.safetensors"
    rng = np.random.default_rng(0)
    save_file(
        {
            "mixer.A_log": rng.normal(size=(4, 3)).astype(np.float32),
            "mixer.dt_proj.bias": rng.normal(size=4).astype(np.float32),
        },
        path,
    )
    code, _, err = reinit(capsys, path, "--dry-run")
    assert code == 2
    assert "mixer stores real poles and cannot hold dfout" in err
    assert "it can hold s4d-real" in err
    code, out, _ = reinit(capsys, path, "--dry-run", "--scheme", "s4d-real")
    assert code == 0
    assert "tau 5 %" in out


def test_names_with_control_characters_are_shown_escaped(tmp_path, capsys):
    path = tmp_path / "in.safetensors"
    tensors = {name.replace("s4_", "[red]\x1b[31m"): v for name, v in trained_s4d().items()}
    save_file(tensors, path)
    code, out, _ = reinit(capsys, path, "--dry-run")
    assert code == 0
    assert "\x1b" not in out
    assert r"[red]\x1b[31mlayers.0.kernel" in out


def test_it_needs_no_torch(checkpoint, tmp_path):
    output = tmp_path / "out.safetensors"
    script = (
        "import sys; from ssmspec.cli import run; "
        f"code = run(['reinit', {str(checkpoint)!r}, '-o', {str(output)!r}, '-q']); "
        "heavy = {'torch', 'scipy', 'matplotlib', 'pandas'} & set(sys.modules); "
        "sys.exit(code or (f'imported {heavy}' if heavy else 0))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_killed_while_it_writes_it_leaves_no_output(tmp_path, suffix):
    """The command as a whole; tests of `rewrite` kill it before every single call."""
    path, folder = tmp_path / f"in.{suffix}", tmp_path / "out"
    tensors = trained_s4d(shape=(64, 32)) | {"big": np.zeros(32 << 20, dtype=np.uint8)}
    if suffix == "pth":
        torch.save({name: torch.from_numpy(values) for name, values in tensors.items()}, path)
    else:
        save_file(tensors, path)
    before = path.read_bytes()
    folder.mkdir()
    output = folder / f"out.{suffix}"
    command = [sys.executable, "-m", "ssmspec", "reinit", str(path), "-o", str(output), "-q"]
    for _ in range(10):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while process.poll() is None and not list(folder.iterdir()):
            time.sleep(0.001)
        process.kill()  # something of it stands in the folder
        if process.wait() != 0:  # and it had not come to its end
            break
        output.unlink()
    assert process.returncode == -signal.SIGKILL
    left = output.read_bytes() if output.exists() else None
    subprocess.run([*command, "--force"], check=True, capture_output=True)
    assert left in (None, output.read_bytes())
    assert path.read_bytes() == before
