"""Make the figures that the README and the docs show, each with one `ssmspec plot` command.

`python docs/figures/make.py` writes them beside itself. Those that need more than the repository
holds (a real checkpoint beside it, or torch for a short training run) are skipped where it is not
there.
"""

from __future__ import annotations

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT))

from ssmspec.cli import run  # noqa: E402 - after the path is set

SAMPLES = ROOT / "sample_checkpoints"
CIFAR10 = ROOT.parent / "shared" / "checkpoints" / "s4d_cifar10.pth"

LIN = (SAMPLES / "s4d_lin.safetensors", "--seq-len", "1024", "--layers", "*.0.*")
FIGURES: dict[str, tuple[object, ...]] = {
    "figure3": ("--kind", "schemes"),
    "poles": (*LIN, "--kind", "poles"),
    "coverage": (SAMPLES / "s5.safetensors", "--seq-len", "1024", "--kind", "coverage"),
    "entanglement": (*LIN, "--kind", "entanglement"),
    "timescales": (SAMPLES / "mamba1.safetensors", "--seq-len", "2048", "--kind", "timescales"),
    "sweep": (SAMPLES / "s4d_lin.safetensors", "--seq-len", "1024", "--sweep", "dt"),
}
OF_CIFAR10 = {
    "kernels": (CIFAR10, "--seq-len", "1024", "--kind", "kernels"),
    "response": (CIFAR10, "--seq-len", "1024", "--kind", "response"),
}
TRAINING = ("--task", "digits", "--scheme", "s4d-lin", "--epochs", "6", "--spectrum-every", "5")


def ssmspec(*arguments: object) -> None:
    """Run one command of the program."""
    if run([str(argument) for argument in arguments]) != 0:
        sys.exit(1)


def plot(name: str, arguments: tuple[object, ...]) -> None:
    """Draw one figure."""
    ssmspec("plot", *arguments, "--output", HERE / f"{name}.png", "--dpi", "200", "--force")


def main() -> None:
    """Draw all that can be drawn here."""
    for name, arguments in FIGURES.items():
        plot(name, arguments)
    if CIFAR10.exists():
        for name, arguments in OF_CIFAR10.items():
            plot(name, arguments)
    if find_spec("torch"):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run"
            ssmspec("train", *TRAINING, "--output", path, "--quiet")
            plot("trajectory", (path, "--kind", "trajectory", "--layers", "blocks.[01].*"))


if __name__ == "__main__":
    main()
