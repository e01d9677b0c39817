"""Kills the program while it writes, and looks at what is left: a file whole, or none.

    python benchmarks/kills.py --count 200

Everything is loaded once; each trial is a fork of it that is killed (SIGKILL) after a random time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # a fork whose parent has threads of OpenMP waits for them

from ssmspec import open_checkpoint
from ssmspec.cli import run
from ssmspec.errors import SsmspecError

SAMPLE = Path(__file__).resolve().parents[1] / "sample_checkpoints" / "s4d_lin.safetensors"
TRAIN = [
    "--task", "delay", "--d-model", "8", "--d-state", "4", "--n-layers", "1", "--max-steps", "4",
    "--save-every", "1", "--batch-size", "4", "--seq-len", "64",
]  # fmt: skip


def _whole_model(path: Path) -> None:
    with open_checkpoint(path) as checkpoint:
        for name in checkpoint.tensors:
            checkpoint.load(name)


def _whole_json(path: Path) -> None:
    json.loads(path.read_text(encoding="utf-8"))


def trial(arguments: list[str], folder: Path, delay: float) -> bool:
    """Run a command line in a fork; True where it was killed before it ended."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.chdir(folder)
        os._exit(run(arguments))
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def left_whole(folder: Path, checks: Mapping[str, Callable[[Path], None]]) -> str:
    """What is wrong with what is left; "" where nothing is."""
    for path in folder.rglob("*"):
        if path.is_dir() or (path.name.startswith(".ssmspec-") and path.suffix == ".tmp"):
            continue
        check = checks.get(path.suffix)
        try:
            if check is not None:
                check(path)
            elif path.stat().st_size == 0:
                return f"{path.name} is empty"
        except (SsmspecError, ValueError, OSError) as error:
            return f"{path.name}: {error}"
    return ""


def main() -> None:
    """Kill, look, and count; exit 1 where something was half-written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    checks = {".safetensors": _whole_model, ".pt": _whole_model, ".json": _whole_json}
    formats = ["--format", "json=report.json", "--format", "markdown=report.md"]
    commands = {
        "reinit": ["reinit", str(SAMPLE), "--scheme", "dfout", "--output", "new.safetensors"],
        "check": ["check", str(SAMPLE), *formats, "--write-baseline", "baseline.json"],
        "train": ["train", *TRAIN, "--output", "run"],
    }
    longest: dict[str, float] = {}
    seen: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "trial"
        for command, arguments in commands.items():  # loads all, and tells how long each takes
            place.mkdir()
            os.chdir(place)
            run(arguments)
            began = time.monotonic()
            trial([*arguments, "--force"], place, 0.0)
            child = os.fork()
            if child == 0:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                os._exit(run([*arguments, "--force"]))
            os.waitpid(child, 0)
            longest[command] = time.monotonic() - began
            os.chdir(name)
            shutil.rmtree(place)
        for number in range(options.count):
            command = list(commands)[number % len(commands)]
            resumes = command == "train" and (place / "run" / "resume.pt").exists()
            if not resumes:
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir()
            arguments = commands[command] + (["--resume"] if resumes else [])
            killed = trial(arguments, place, rng.uniform(0.0, longest[command]))
            seen[f"{command} {'killed' if killed else 'ended before'}"] += 1
            longest[command] *= 1.05 if killed else 0.9  # so that two in three are killed
            wrong = left_whole(place, checks)
            if wrong:
                seen["half-written"] += 1
                print(f"trial {number}, {command}: {wrong}")
            seen["temporary files left"] += len(list(place.rglob(".ssmspec-*.tmp")))
    for what, times in sorted(seen.items()):
        print(f"{times:5} {what}")
    sys.exit(bool(seen["half-written"]))


if __name__ == "__main__":
    main()
