"""Time, memory and bytes read of `ssmspec analyze`, against file size and against mode count.

    python benchmarks/analyze.py [--repeats 3] [--folder DIR] [--only NAME]

Makes safetensors files of layers (sparse, so that 12 GB take no room on disk) and runs on each, in
turns, the tool and, for S4D, the torch script that a user would write instead, if torch is there.
Then compares the start of the process with importing its base libraries. Prints medians, of
processor time.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from synthetic import LAYERS

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "sample_checkpoints" / "s4d_lin.safetensors"

# Runs a program in a fresh interpreter and reports on it. Bytes are those of read calls after the
# imports, so that reading Python's own modules does not count; VmHWM is the peak of this process
# alone (ru_maxrss of a child would start from its parent's).
PROBE = """
import atexit, json, os, sys, time
def field(path, key):
    with open(path) as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(key))
report, kind, *arguments = sys.argv[1:]
if kind == "tool":
    import numpy, rich.console, rich.table, ssmspec.analysis
    from ssmspec.cli import analyze, main
else:
    import torch
    from safetensors.torch import load_file
start, began = field("/proc/self/io", "rchar"), time.process_time()
@atexit.register
def tell():
    read = field("/proc/self/io", "rchar") - start
    peak = field("/proc/self/status", "VmHWM") * 1024
    with open(report, "w") as out:
        json.dump({"read": read, "peak": peak, "work": time.process_time() - began}, out)
if kind == "tool":
    sys.argv = ["ssmspec", *arguments]
    main()
else:
    script, *rest = arguments
    sys.argv = ["script", *rest]
    exec(compile(script, "script", "exec"))
"""

# What one writes in a notebook: load all, poles, and coverage channel by channel on a grid.
SCRIPT = """
import math, sys, torch
from safetensors.torch import load_file
state = load_file(sys.argv[1])
grid = torch.linspace(0, math.pi, 512)
for name in state:
    if not name.endswith(".log_dt"):
        continue
    path = name.removesuffix("log_dt")
    dt = torch.exp(state[name])[:, None]
    decay = dt * torch.exp(state[path + "log_A_real"])
    angle = (dt * state[path + "A_imag"]).abs()
    omega = ((angle + math.pi) % (2 * math.pi) - math.pi).abs()
    covered = torch.zeros(512, dtype=torch.bool)
    for channel in range(omega.shape[0]):
        distance = (grid[:, None] - omega[channel]).abs()
        covered |= (distance <= decay[channel]).any(1)
    aliased = (angle > math.pi).float().mean().item()
    print(path, aliased, covered.float().mean().item(), torch.exp(-decay).max().item())
"""


@dataclass(frozen=True)
class Case:
    """One file to make: `layers` layers of channels x modes, in a file of `size` bytes.

    `beside` is how many small tensors stand before each layer, as experts do.
    """

    name: str
    layers: int
    channels: int
    modes: int
    size: int = 0
    family: str = "s4d"
    beside: int = 1

    @property
    def poles(self) -> int:
        """Stored poles; one of each pair in S5, which has no channels."""
        each = self.modes // 2 if self.family == "s5" else self.channels * self.modes
        return self.layers * each


class Cost(NamedTuple):
    """What one run took: seconds of a processor after the imports, peak bytes, bytes read."""

    seconds: float
    peak: float
    read: float


CASES = (
    Case("12 MB", 4, 128, 32, 12 * 10**6),
    Case("1.2 GB", 4, 128, 32, 12 * 10**8),
    Case("12 GB", 4, 128, 32, 12 * 10**9),
    Case("200 layers", 200, 8, 16),
    Case("2,000 layers", 2000, 8, 16),
    Case("1e5 modes", 1, 2000, 50),
    Case("1e6 modes", 1, 20_000, 50),
    Case("5e6 modes", 1, 100_000, 50),
    Case("S4D 48x512x32", 48, 512, 32),
    Case("Mamba 130m", 24, 1536, 16, 520 * 10**6, "mamba", 8),
    Case("Mamba 2.8b", 64, 5120, 16, 11 * 10**9, "mamba", 8),
    Case("Mamba-2 2.7b", 64, 80, 1, 5 * 10**9, "mamba2", 8),
    Case("S5 6x256", 6, 256, 256, family="s5"),
    Case("S5 6x512", 6, 512, 512, family="s5"),
    Case("74,000", 48, 32, 1, family="mamba2", beside=1540),
)


def write_case(case: Case, path: Path) -> None:
    """Write a safetensors file whose filler is a hole before, between and after its layers.

    The header is written by hand, because the safetensors library would write the filler's bytes.
    """
    rng = np.random.default_rng(0)
    prefix, make = LAYERS[case.family]
    layers = [make(rng, (case.channels, case.modes)) for _ in range(case.layers)]
    used = sum(tensor.nbytes for layer in layers for tensor in layer.values())
    filler = max(case.size - used, 0) // (case.layers * case.beside + 1) // 8192 * 8192
    entries: list[tuple[str, NDArray[np.float32] | None]] = []
    for index, layer in enumerate(layers):
        entries += [(f"blocks.{index}.mlp.{n}.weight", None) for n in range(case.beside)]
        entries += [(prefix.format(index) + name, tensor) for name, tensor in layer.items()]
    entries.append(("head.weight", None))
    header: dict[str, object] = {}
    begins = [0]
    for name, tensor in entries:
        dtype, shape = ("F16", (filler // 8192, 4096)) if tensor is None else ("F32", tensor.shape)
        begins.append(begins[-1] + (filler if tensor is None else tensor.nbytes))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": begins[-2:]}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        data = file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(data + begins[-1])
        for begin, (_, tensor) in zip(begins, entries, strict=False):
            if tensor is not None:
                file.seek(data + begin)
                file.write(tensor.tobytes())


def run(*arguments: str | Path) -> float:
    """Seconds a fresh interpreter takes from start to end."""
    start = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    if ended.returncode:
        sys.exit(f"a run failed:\n{ended.stderr.decode()}")
    return time.perf_counter() - start


def probe(folder: Path, kind: str, *arguments: str | Path) -> Cost:
    """What a program costs, run under the probe."""
    report = folder / "probe.json"
    run("-c", PROBE, report, kind, *arguments)
    told = json.loads(report.read_text())
    return Cost(told["work"], told["peak"], told["read"])


def medians(runs: Iterable[Iterable[float]]) -> list[float]:
    """The median of each number over all runs."""
    return [statistics.median(numbers) for numbers in zip(*runs, strict=True)]


def bench_files(cases: Sequence[Case], repeats: int, folder: Path) -> None:
    """Print a row a case: the tool, the script, and the script's time over the tool's."""
    torch = importlib.util.find_spec("torch") is not None
    print(
        f"{'file':<14}{'size MB':>10}{'modes':>11} |{'s':>7}{'peak MB':>9}{'read MB':>9}"
        f"{'us/mode':>9} |{'script s':>9}{'peak MB':>9}{'script/tool':>12}"
    )
    for case in cases:
        path = folder / "model.safetensors"
        write_case(case, path)
        poles = case.poles
        tool: list[Cost] = []
        script: list[Cost] = []
        for _ in range(repeats):
            tool.append(probe(folder, "tool", "analyze", path, "--seq-len", "1024"))
            if torch and case.family == "s4d":
                script.append(probe(folder, "script", SCRIPT, path))
        ours = Cost(*medians(tool))
        row = (
            f"{case.name:<14}{path.stat().st_size / 1e6:>10,.1f}{poles:>11,} |"
            f"{ours.seconds:>7.2f}{ours.peak / 1e6:>9,.0f}{ours.read / 1e6:>9,.2f}"
            f"{1e6 * ours.seconds / poles:>9.2f} |"
        )
        if script:
            theirs = Cost(*medians(script))
            row += f"{theirs.seconds:>9.2f}{theirs.peak / 1e6:>9,.0f}"
            row += f"{theirs.seconds / ours.seconds:>12.2f}"
        print(row, flush=True)
        path.unlink()


def bench_start(repeats: int) -> None:
    """Print how long a process takes, as a multiple of importing its base libraries."""
    commands: dict[str, tuple[str | Path, ...]] = {
        "import numpy, typer, rich.table": ("-c", "import numpy, typer, rich.table"),
        "ssmspec --help": ("-m", "ssmspec", "--help"),
        f"ssmspec analyze {SAMPLE.name}": ("-m", "ssmspec", "analyze", SAMPLE),
    }
    turns = [[run(*command) for command in commands.values()] for _ in range(repeats)]
    taken = medians(turns)
    print()
    for name, seconds in zip(commands, taken, strict=True):
        print(f"{name:<42}{seconds:>7.3f} s{seconds / taken[0]:>7.2f} times")


def main() -> None:
    """Run both benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--folder", type=Path, help="where files are made (default: temporary)")
    parser.add_argument("--only", choices=[*(case.name for case in CASES), "start"])
    options = parser.parse_args()
    cases = [case for case in CASES if options.only in (None, case.name)]
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="ssmspec-") as folder:
        if cases:
            bench_files(cases, options.repeats, Path(folder))
    if options.only in (None, "start"):
        bench_start(max(options.repeats, 9))


if __name__ == "__main__":
    main()
