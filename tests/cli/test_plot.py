"""`ssmspec plot`, and `ssmspec list plots`."""

import json
from pathlib import Path

import numpy as np
import pytest

from ssmspec.cli import run
from ssmspec.plots import KINDS
from ssmspec.results.trajectory import FILE_NAME, LayerPaths, Trajectory, save_trajectory
from tests.examples.plots import parsed

SAMPLES = Path(__file__).resolve().parents[2] / "sample_checkpoints"
LIN = str(SAMPLES / "s4d_lin.safetensors")
MAMBA = str(SAMPLES / "mamba1.safetensors")


def draws(tmp_path, *arguments, name="figure.svg"):
    """Run what must work; the words on the figure."""
    target = tmp_path / name
    assert run(["plot", *map(str, arguments), "--output", str(target)]) == 0
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [name]
    if target.suffix != ".svg":
        return target.read_bytes()
    root = parsed(target.read_bytes())
    return ["".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")]


def fails(capsys, *arguments):
    """Run what must be refused; the one sentence it says."""
    assert run(["plot", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("ssmspec: error: ")
    assert err.count("\n") == 1
    return err


@pytest.fixture
def trained(tmp_path):
    rng = np.random.default_rng(0)
    layers = tuple(
        LayerPaths(f"blocks.{i}.ssm", rng.uniform(0.01, 0.1, (3, 2, 2)), rng.random((3, 2, 2)))
        for i in range(2)
    )
    folder = tmp_path / "run"
    folder.mkdir()
    save_trajectory(Trajectory(np.array([0, 10, 20]), layers), folder / FILE_NAME)
    return folder


@pytest.mark.parametrize(
    "kind", ["poles", "coverage", "entanglement", "timescales", "kernels", "response", "sweep"]
)
def test_every_kind_of_a_checkpoint(tmp_path, kind):
    words = draws(tmp_path, LIN, "--seq-len", 256, "--kind", kind)
    if kind == "sweep":
        assert "factor on the step sizes" in words
    else:
        assert "s4_layers.0.kernel" in words


def test_the_suffix_decides_the_format(tmp_path):
    assert draws(tmp_path, LIN, name="a.png").startswith(b"\x89PNG\r\n")
    (tmp_path / "a.png").unlink()
    assert draws(tmp_path, LIN, name="a.pdf").startswith(b"%PDF")


def test_a_sweep_is_drawn_for_the_asking(tmp_path):
    assert "factor on the decays" in draws(tmp_path, LIN, "--sweep", "xi")


def test_another_scheme_stands_beside(tmp_path):
    assert "s4d-real, 32 × 16" not in draws(tmp_path, MAMBA, "-k", "poles")
    (tmp_path / "figure.svg").unlink()
    assert "s4d-inv, for comparison" in draws(tmp_path, LIN, "--against", "s4d-inv")


def test_layers_are_chosen(tmp_path):
    words = draws(tmp_path, LIN, "--layers", "*.1.*")
    assert "s4_layers.1.kernel" in words
    assert "s4_layers.0.kernel" not in words


def test_figure_3_is_one_command(tmp_path):
    words = draws(tmp_path, "--kind", "schemes")
    assert {"s4d-lin, dt = 0.001", "s4d-inv, dt = 0.01", "dfout, xi = 0.1"} <= set(words)
    (tmp_path / "figure.svg").unlink()
    words = draws(
        tmp_path, "-k", "schemes", "--scheme", "s4d-legs", "--scheme", "lru-ring",
        "--dt", "0.02", "--modes", "8",
    )  # fmt: skip
    assert {"s4d-legs, dt = 0.02", "lru-ring"} <= set(words)
    assert "1 of 8 aliased" not in words


def test_a_training_run_is_drawn_from_its_folder_or_its_file(tmp_path, trained):
    for source in (trained, trained / FILE_NAME):
        words = draws(tmp_path, source, "--kind", "trajectory")
        assert {"blocks.0.ssm", "blocks.1.ssm", "step 0", "step 20"} <= set(words)
        (tmp_path / "figure.svg").unlink()
    assert "blocks.0.ssm" not in draws(tmp_path, trained, "-k", "trajectory", "--layers", "*1*")


def test_a_figure_is_never_overwritten_without_force(tmp_path, capsys):
    target = tmp_path / "f.png"
    target.write_text("mine")
    assert "--force" in fails(capsys, LIN, "-o", target)
    assert target.read_text() == "mine"
    assert run(["plot", LIN, "-o", str(target), "--force"]) == 0
    assert target.read_bytes().startswith(b"\x89PNG")


def test_nothing_is_left_of_a_figure_that_fails(tmp_path, capsys):
    assert "depend on the input" in fails(capsys, MAMBA, "-k", "kernels", "-o", tmp_path / "k.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([LIN], "--output"),
        ([LIN, "-o", "x.jpg"], ".jpg"),
        ([LIN, "-o", "x"], "suffix"),
        ([LIN, "-o", "no/such/folder/x.png"], "folder"),
        ([LIN, "-o", "x.png", "-k", "pole"], "did you mean 'poles'?"),
        ([LIN, "-o", "x.png", "--against", "dfuot"], "did you mean 'dfout'?"),
        ([LIN, "-o", "x.png", "--dpi", "0"], "dpi"),
        ([LIN, "-o", "x.png", "--layers", "nothing*"], "nothing*"),
        (["no/such.pt", "-o", "x.png"], "no/such.pt"),
        (["-o", "x.png"], "name one"),
        ([LIN, "-o", "x.png", "-k", "kernels", "--against", "dfout"], "--against would do nothing"),
        ([LIN, "-o", "x.png", "-k", "poles", "--sweep", "dt"], "--sweep would do nothing"),
        ([LIN, "-o", "x.png", "--scheme", "dfout"], "--scheme would do nothing"),
        ([LIN, "-o", "x.png", "--dt", "0.1"], "--dt would do nothing"),
        ([LIN, "-o", "x.png", "--modes", "8"], "--modes would do nothing"),
        ([LIN, "-o", "x.png", "-k", "schemes"], "reads no checkpoint"),
        (["-o", "x.png", "-k", "schemes", "--seq-len", "9"], "reads no checkpoint"),
        (["-o", "x.png", "-k", "schemes", "--scheme", "s4d-lni"], "did you mean 's4d-lin'?"),
        (["-o", "x.png", "-k", "schemes", "--dt", "nan"], "positive"),
        (["-o", "x.png", "-k", "schemes", "--modes", "0"], "modes"),
        ([str(SAMPLES), "-o", "x.png", "-k", "trajectory"], FILE_NAME),
        ([LIN, "-o", "x.png", "-k", "trajectory"], "does not hold the paths"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert says in fails(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_what_a_trajectory_cannot_use_is_refused(capsys, tmp_path, trained):
    target = tmp_path / "t.png"
    said = fails(capsys, trained, "-k", "trajectory", "-o", target, "--seq-len", "9")
    assert "--layers only" in said
    said = fails(capsys, trained, "-k", "trajectory", "-o", target, "--layers", "blocks.9.ssm")
    assert "did you mean 'blocks." in said


def test_a_figure_never_replaces_its_checkpoint(tmp_path, capsys):
    copy = tmp_path / "model.png"
    copy.write_bytes(Path(LIN).read_bytes())
    assert "input itself" in fails(capsys, copy, "-o", copy, "--force")


def test_kinds_are_listed(capsys):
    assert run(["list", "plots", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [row["figure"] for row in listed] == list(KINDS)
    assert all(row["what it shows"] for row in listed)
