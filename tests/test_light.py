"""What must not be loaded: torch and its like are for the commands that need them."""

import inspect
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from ssmspec.cli import COMMANDS, SUMMARIES

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "scipy", "matplotlib", "pandas", "control")


def loaded_by(code):
    """Top-level modules in sys.modules after running some code in a new interpreter."""
    script = f"{code}\nimport sys\nprint(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.splitlines()[-1].split())


def command(*arguments):
    return f"from ssmspec.cli import run\nassert run({list(arguments)!r}) == 0"


@pytest.mark.parametrize("name", ["s4d_lin", "s5", "lru", "mamba1", "mamba2"])
def test_analyze_loads_nothing_heavy(name):
    sample = f"sample_checkpoints/{name}.safetensors"
    reports = command("analyze", sample, "--stored-as", "bf16")
    reports += "\n" + command("analyze", sample, "--seq-len", "1024", "--verbose")
    loaded = loaded_by(reports)
    assert "numpy" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_a_torch_file_is_read_without_torch(shared):
    loaded = loaded_by(command("analyze", str(shared / "s4d_smnist.pth")))
    assert loaded.isdisjoint(HEAVY)


def test_help_loads_not_even_numpy():
    loaded = loaded_by(command("--help"))
    assert "typer" in loaded
    assert loaded.isdisjoint((*HEAVY, "numpy"))


def test_the_library_loads_nothing_heavy():
    assert loaded_by("import ssmspec; ssmspec.analyze; ssmspec.read_spectra").isdisjoint(HEAVY)


def test_no_command_loads_numpy_for_its_help():
    for name in COMMANDS:
        assert loaded_by(command(name, "--help")).isdisjoint((*HEAVY, "numpy"))


def test_the_summaries_of_help_are_those_of_the_commands():
    assert list(SUMMARIES) == list(COMMANDS)
    for name, module in COMMANDS.items():
        said = inspect.getdoc(import_module(module).command).split("\n\n")[0]
        assert SUMMARIES[name] == " ".join(said.split())


def test_completion_knows_the_options():
    asked = {"COMP_WORDS": "ssmspec check --pre", "COMP_CWORD": "2"}
    done = subprocess.run(
        [sys.executable, "-m", "ssmspec"],
        env=os.environ | asked | {"_SSMSPEC_COMPLETE": "complete_bash"},
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert "--preset" in done.stdout
