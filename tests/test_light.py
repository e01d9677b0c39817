"""What must not be loaded: torch and its like are for the commands that need them."""

import subprocess
import sys
from pathlib import Path

import pytest

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
    loaded = loaded_by(command("analyze", sample, "--seq-len", "1024", "--verbose"))
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
