"""Time and memory of a training step with the fast kernel, beside the direct formula in one run.

    python benchmarks/train_step.py [--d-model H] [--layers N] [--batch B] [--lengths L ...]

The model, the data and the optimizer are the same; only how kernels are made differs. A step is
forward, backward and AdamW. The two are timed in turns, and times are medians; the ratio is the
median of the ratios of each turn. Memory is how far the peak of a fresh process rises above where
it was before its first step. The defaults keep the direct formula within 16 GB at L = 16,384.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

import torch
from direct import direct_kernel, peak_megabytes

from ssmspec.training.config import ModelConfig
from ssmspec.training.model.kernel import KernelFunction, vandermonde_kernel
from ssmspec.training.model.layers import DiagonalLayer
from ssmspec.training.model.stack import SequenceModel, build_model
from ssmspec.training.tasks.base import Batch, Data, Target

FORMS: dict[str, KernelFunction] = {"fast": vandermonde_kernel, "direct": direct_kernel}
CLASSES = 10


class Nothing:
    """A split without examples: only the shape of the data matters here."""

    def __len__(self) -> int:
        return 0

    def batch(self, _: object) -> Batch:
        """There is none."""
        raise IndexError


class Trainer:
    """A model with its optimizer and one batch to learn."""

    def __init__(self, form: str, options: argparse.Namespace, length: int) -> None:
        config = ModelConfig(
            scheme=options.scheme, d_model=options.d_model, n_layers=options.layers, d_state=64
        )
        split = Nothing()
        data = Data(split, split, split, Target.CLASS, 1, CLASSES, length)
        self.model: SequenceModel = build_model(config, data, seed=0)
        for module in self.model.modules():
            if isinstance(module, DiagonalLayer):
                module.kernel_function = FORMS[form]
        draw = torch.Generator().manual_seed(0)
        self.x = torch.randn(options.batch, length, 1, generator=draw)
        self.y = torch.arange(options.batch) % CLASSES
        self.optimizer = torch.optim.AdamW(self.model.parameter_groups(1e-3, 1e-3, 0.01))
        self.losses: list[float] = []

    def step(self) -> float:
        """One training step; returns its seconds."""
        start = time.perf_counter()
        loss = torch.nn.functional.cross_entropy(self.model(self.x), self.y)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        taken = time.perf_counter() - start
        self.losses.append(loss.item())
        return taken


def megabytes(form: str, options: argparse.Namespace, length: int) -> float:
    """Peak memory of one step, in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--lengths", str(length), "--alone", form]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def alone(form: str, options: argparse.Namespace) -> None:
    """Print how far one step raises the peak of this process."""
    Trainer(form, options, 8).step()
    trainer = Trainer(form, options, options.lengths[0])
    before = peak_megabytes()
    trainer.step()
    after = peak_megabytes()
    print(after - before)


def compare(options: argparse.Namespace, length: int) -> None:
    """Measure one length and print its rows."""
    trainers = [Trainer(form, options, length) for form in FORMS]
    turns = [[trainer.step() for trainer in trainers] for _ in range(options.repeats + 1)][1:]
    fast, direct = (statistics.median(times) for times in zip(*turns, strict=True))
    ratio = statistics.median(slow / quick for quick, slow in turns)
    fast_mb, direct_mb = (megabytes(form, options, length) for form in FORMS)
    apart = max(abs(a - b) for a, b in zip(*(each.losses for each in trainers), strict=True))
    print(
        f"{length:>8,}{1e3 * fast:>12.1f}{1e3 * direct:>12.1f}{ratio:>8.1f}"
        f"{fast_mb:>12.0f}{direct_mb:>12.0f}{direct_mb / fast_mb:>8.1f}{apart:>14.1e}",
        flush=True,
    )


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scheme", default="dfout")
    parser.add_argument("--d-model", type=int, default=64)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 4096, 16_384])
    parser.add_argument("--repeats", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alone", choices=FORMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.alone:
        alone(options.alone, options)
        return
    print(
        f"{options.layers} layers, d_model {options.d_model}, N = 64, batch {options.batch}, "
        f"{options.scheme}, {options.threads} threads, float32"
    )
    heads = ("fast, ms", "direct, ms", "ratio", "fast, MB", "direct, MB", "ratio", "losses apart")
    widths = (12, 12, 8, 12, 12, 8, 14)
    columns = "".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True))
    print(f"{'L':>8}{columns}")
    for length in options.lengths:
        compare(options, length)


if __name__ == "__main__":
    main()
