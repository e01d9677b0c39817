"""One layer of ours beside the standalone S4D of state-spaces/s4, forward and backward.

    python benchmarks/s4_layer.py models/s4/s4d.py

The file is the user's own copy and is no part of this repository; what it imports of its own
package and of einops is put in its place here. Both layers hold the same poles, step sizes and
weights, and their outputs are compared before anything is timed. Times are those of the processor,
on one thread, in turns; the ratio is the median of the ratios of each turn. Memory is how far the
peak of a fresh process rises.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import torch
from direct import peak_megabytes
from torch import Tensor, nn

from ssmspec.training.config import ModelConfig
from ssmspec.training.model.initialize import new_layer
from ssmspec.training.model.stack import Block

SIZES = ((1024, 128, 4), (4096, 64, 2), (16_384, 64, 2))
"""Length, channels and batch."""


def theirs(path: Path, channels: int) -> nn.Module:
    """The layer that the file describes."""
    einops, nn_parts = types.ModuleType("einops"), types.ModuleType("src.models.nn")
    vars(einops).update(
        rearrange=None, repeat=lambda values, _, h: values.unsqueeze(0).repeat(h, 1)
    )
    vars(nn_parts).update(DropoutNd=nn.Dropout)
    for name in ("src", "src.models"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules |= {"einops": einops, "src.models.nn": nn_parts}
    spec = importlib.util.spec_from_file_location("standalone_s4d", path)
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    layer: nn.Module = module.S4D(channels, d_state=64)
    return layer


class Ours(nn.Module):
    """The same layer out of a block of ours, with the other one's numbers."""

    def __init__(self, other: Any, channels: int) -> None:
        super().__init__()
        config = ModelConfig(scheme="s4d-lin", d_model=channels, d_state=64)
        self.block = Block(config, new_layer(config, 0, 0))
        ssm: Any = self.block.ssm
        linear = other.output_linear[0]
        pairs = [
            (ssm.log_dt, other.kernel.log_dt),
            (ssm.log_A_real, other.kernel.log_A_real),
            (ssm.A_imag, other.kernel.A_imag),
            (ssm.C, other.kernel.C),
            (ssm.D, other.D),
            (self.block.mix.weight, linear.weight.squeeze(-1)),
            (self.block.mix.bias, linear.bias),
        ]
        with torch.no_grad():
            for mine, value in pairs:
                mine.copy_(value)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        """(B, H, L) to (B, H, L)."""
        y = self.block._mixed(x.transpose(1, 2), 1.0, None)  # noqa: SLF001 - all but norm and sum
        return y.transpose(1, 2), None


def step(layer: nn.Module, x: Tensor) -> float:
    """Forward and backward; returns the processor's seconds."""
    start = time.process_time()
    layer(x)[0].square().mean().backward()
    return time.process_time() - start


def measure(path: Path, size: tuple[int, int, int], repeats: int) -> None:
    """Compare one size and print its row."""
    length, channels, batch = size
    torch.manual_seed(0)
    other = theirs(path, channels)
    layers = (Ours(other, channels), other)
    x = torch.randn(batch, channels, length)
    with torch.no_grad():
        mine, reference = (layer(x)[0] for layer in layers)
    apart = float((mine - reference).abs().max() / reference.abs().max())
    turns = [[step(layer, x) for layer in layers] for _ in range(repeats + 1)][1:]
    ours, their = (statistics.median(times) for times in zip(*turns, strict=True))
    ratio = statistics.median(slow / quick for quick, slow in turns)
    memory = [alone(path, which, size) for which in ("ours", "theirs")]
    print(
        f"{length:>8,}{1e3 * ours:>12.1f}{1e3 * their:>12.1f}{ratio:>8.1f}"
        f"{memory[0]:>12.0f}{memory[1]:>12.0f}{memory[1] / memory[0]:>8.1f}{apart:>10.1e}",
        flush=True,
    )


def alone(path: Path, which: str, size: tuple[int, int, int]) -> float:
    """Peak memory of one step, in a process of its own."""
    command = [sys.executable, __file__, str(path), "--alone", which, *map(str, size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("path", type=Path, help="models/s4/s4d.py of state-spaces/s4")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--alone", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.alone:
        which, (length, channels, batch) = options.alone[0], map(int, options.alone[1:])
        other = theirs(options.path, channels)
        layer = Ours(other, channels) if which == "ours" else other
        step(layer, torch.randn(1, channels, 8))
        before = peak_megabytes()
        step(layer, torch.randn(batch, channels, length))
        print(peak_megabytes() - before)
        return
    heads = ("ours, ms", "theirs, ms", "ratio", "ours, MB", "theirs, MB", "ratio", "apart")
    widths = (12, 12, 8, 12, 12, 8, 10)
    columns = "".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True))
    print(f"{'L':>8}{columns}")
    for size in SIZES:
        measure(options.path, size, options.repeats)


if __name__ == "__main__":
    main()
