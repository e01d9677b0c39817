"""Time, memory and error of the fast kernel, beside the direct formula in one run.

    python benchmarks/kernel.py [--channels H] [--modes M] [--lengths L ...] [--repeats N]

Poles and residues are those of an S4D-Lin layer as it is initialized. The two are timed in turns,
forward and then backward, and times are medians; the ratio is the median of the ratios of each
turn. Memory is how far the peak of a fresh process rises above where it was before the one call.
Above `--backward-up-to` lags, where the direct formula needs tens of gigabytes, only forward runs.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from direct import direct_kernel, peak_megabytes
from torch import Tensor

from ssmspec.schemes import SCHEMES
from ssmspec.training.model.kernel import KernelFunction, vandermonde_kernel

FORMS: dict[str, KernelFunction] = {"fast": vandermonde_kernel, "direct": direct_kernel}
CHECKED = 4
"""Channels whose error is measured, against the direct formula in float64."""


class Inputs(NamedTuple):
    """What a kernel is made from."""

    decay: Tensor
    omega: Tensor
    residues: Tensor


class Turn(NamedTuple):
    """Seconds of one call; `backward` is 0 where it did not run."""

    forward: float
    backward: float


def inputs(channels: int, modes: int) -> Inputs:
    """An S4D-Lin layer with trainable poles."""
    draw = SCHEMES["s4d-lin"].draw(channels, modes)
    log_poles = torch.from_numpy(draw.log_poles)
    residues = torch.randn(1, channels, modes, 2, generator=torch.Generator().manual_seed(0))
    parts = (-log_poles.real.float(), log_poles.imag.float(), residues)
    return Inputs(*(part.contiguous().requires_grad_() for part in parts))


def turn(form: KernelFunction, given: Inputs, length: int, *, backward: bool) -> Turn:
    """Time one call."""
    start = time.perf_counter()
    kernel = form(*given, length)
    forward = time.perf_counter() - start
    if not backward:
        return Turn(forward, 0.0)
    weights = torch.ones_like(kernel)
    start = time.perf_counter()
    torch.autograd.grad(kernel, given, weights)
    return Turn(forward, time.perf_counter() - start)


def error(form: KernelFunction, given: Inputs, length: int) -> float:
    """Largest error of the first channels, as a share of the largest |K|."""
    with torch.no_grad():
        few = given.decay[:CHECKED], given.omega[:CHECKED], given.residues[:, :CHECKED]
        decay, omega, residues = few
        exact = direct_kernel(decay.double(), omega.double(), residues.double(), length)
        return float((form(*few, length) - exact).abs().max() / exact.abs().max())


def megabytes(form: str, options: argparse.Namespace, length: int, *, backward: bool) -> float:
    """Peak memory of one call, in a process of its own."""
    shape = [str(number) for number in (options.channels, options.modes, length)]
    command = [sys.executable, __file__, "--alone", form, *shape, str(int(backward))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def alone(form: str, channels: str, modes: str, length: str, backward: str) -> None:
    """Print how far one call raises the peak of this process."""
    given = inputs(int(channels), int(modes))
    turn(FORMS[form], given, 8, backward=True)
    before = peak_megabytes()
    turn(FORMS[form], given, int(length), backward=backward == "1")
    after = peak_megabytes()
    print(after - before)


def row(label: str, values: list[float], digits: int) -> None:
    """One line of the table: the two forms and direct / fast."""
    fast, direct, ratio = values
    print(f"  {label:<20}{fast:>12.{digits}f}{direct:>12.{digits}f}{ratio:>10.1f}", flush=True)


def compare(options: argparse.Namespace, length: int) -> None:
    """Measure one length and print its rows."""
    given = inputs(options.channels, options.modes)
    backward = length <= options.backward_up_to
    turns = [
        [turn(form, given, length, backward=backward) for form in FORMS.values()]
        for _ in range(options.repeats + 1)
    ][1:]  # the first warms up
    print(f"L = {length:,}")
    parts: list[tuple[str, Callable[[Turn], float]]] = [("forward, ms", lambda each: each.forward)]
    if backward:
        parts.append(("backward, ms", lambda each: each.backward))
        parts.append(("both, ms", sum))
    for label, part in parts:
        fast, direct = ([1e3 * part(each[i]) for each in turns] for i in range(2))
        ratios = [slow / quick for quick, slow in zip(fast, direct, strict=True)]
        row(label, [statistics.median(values) for values in (fast, direct, ratios)], 2)
    for both_ways in (False, True)[: 1 + backward]:
        fast_mb, direct_mb = (
            megabytes(form, options, length, backward=both_ways) for form in FORMS
        )
        label = "peak of both, MB" if both_ways else "peak of forward, MB"
        row(label, [fast_mb, direct_mb, direct_mb / max(fast_mb, 1.0)], 0)
    errors = [error(form, given, length) for form in FORMS.values()]
    print(f"  {'error / max |K|':<20}{errors[0]:>12.1e}{errors[1]:>12.1e}", flush=True)


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--modes", type=int, default=32)
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 4096, 16_384, 65_536])
    parser.add_argument("--backward-up-to", type=int, default=16_384)
    parser.add_argument("--repeats", type=int, default=5, help="turns of each (default 5)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alone", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.alone:
        alone(*options.alone)
        return
    print(
        f"{options.channels} channels x {options.modes} modes, {options.threads} threads, float32"
    )
    print(f"  {'':<20}{'fast':>12}{'direct':>12}{'ratio':>10}")
    for length in options.lengths:
        compare(options, length)


if __name__ == "__main__":
    main()
