"""Time and memory of all kernel metrics of one layer, beside a plain numpy prototype in one run.

    OMP_NUM_THREADS=1 python benchmarks/kernel_metrics.py [--channels H] [--modes M] [--length L]

The prototype is what one writes first: every definition as it stands, one channel at a time, an
exponential for every mode and lag, a fraction for every mode and frequency, eigenvalues of the
product of two Gramians. It refines no peak. The two run in turns; times are medians, memory is the
peak of what numpy allocates.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ssmspec.kernel import LayerKernel, discretized_input
from ssmspec.metrics import METRICS, Context
from ssmspec.metrics.base import KERNEL
from ssmspec.outcome import Measured
from ssmspec.reading import Discretization
from ssmspec.spectrum import LayerSpectrum, Symmetry

STRIDE = 32
OURS = [
    key for key, metric in METRICS.items() if KERNEL in metric.needs or key.startswith("redundant")
]


def layer(channels: int, modes: int) -> LayerKernel:
    """An S4D-Lin layer as it is initialized, poles moved by 1 %."""
    rng = np.random.default_rng(0)
    dt = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), (channels, 1)))
    poles = (-0.5 + 1j * np.pi * np.arange(modes)) * (1 + 0.01 * rng.normal(size=(channels, modes)))
    spectrum = LayerSpectrum("layer", "s4d", Discretization.ZOH, Symmetry.HALF, dt * poles, dt)
    C = rng.normal(size=(1, channels, modes)) + 1j * rng.normal(size=(1, channels, modes))
    return LayerKernel(spectrum, C * discretized_input(spectrum))


def tool(kernel: LayerKernel, length: int) -> dict[str, float]:
    """All kernel metrics, nothing remembered from before."""
    fresh = LayerKernel(kernel.spectrum, kernel.residues)
    context = Context(length, kernel=fresh, row_stride=STRIDE, resample=2.0)
    outcomes = {key: METRICS[key](kernel.spectrum, context) for key in OURS}
    return {
        key: float(outcome.value)
        for key, outcome in outcomes.items()
        if isinstance(outcome, Measured)
    }


def prototype(kernel: LayerKernel, length: int) -> dict[str, float]:
    """The same metrics as their definitions read."""
    lags = np.arange(length)
    omega = np.linspace(0.0, np.pi, 2048)
    c, log_poles = kernel.residues[0], kernel.spectrum.log_poles
    energy = np.zeros(length)
    peaks, orders, redundant = [], [], 0
    for h in range(len(c)):
        poles = np.exp(log_poles[h])
        energy += (2.0 * (c[h] @ np.exp(log_poles[h][:, None] * lags)).real) ** 2
        z = np.exp(-1j * np.union1d(omega, kernel.spectrum.omega[h]))
        up = c[h] @ (1.0 / (1.0 - poles[:, None] * z))
        down = c[h].conj() @ (1.0 / (1.0 - poles.conj()[:, None] * z))
        peaks.append(np.abs(up + down).max())
        both, residues = np.concatenate([poles, poles.conj()]), np.concatenate([c[h], c[h].conj()])
        reached = 1.0 / (1.0 - both[:, None] * both.conj())
        seen = residues.conj()[:, None] * residues / (1.0 - both.conj()[:, None] * both)
        values = np.sqrt(np.abs(np.sort(np.linalg.eigvals(reached @ seen).real)[::-1]))
        orders.append(np.count_nonzero(np.cumsum(values) < 0.99 * values.sum()) + 1)
        upper = poles.real + 1j * np.abs(poles.imag)
        distance = np.abs(upper[:, None] - upper) / np.abs(1.0 - upper.conj()[:, None] * upper)
        np.fill_diagonal(distance, 1.0)
        redundant += int((distance < 0.05).any(axis=1).sum())
    radius, size = np.exp(log_poles.real), np.abs(c)
    alone = size**2 * (1.0 - radius ** (2 * length)) / (1.0 - radius**2)
    near = np.minimum(lags % STRIDE, -lags % STRIDE) <= 2
    horizon = int(np.searchsorted(np.cumsum(energy), 0.9 * energy.sum())) + 1
    loud = size / (1.0 - radius)
    return {
        "hinf_max": max(peaks),
        "dead_channel_fraction": float(np.mean(np.array(peaks) < 1e-3 * max(peaks))),
        "aliased_energy": alone[kernel.spectrum.aliased].sum() / alone.sum(),
        "energy_horizon": horizon,
        "locality": horizon / length,
        "stride_energy": energy[near].sum() / energy.sum(),
        "stride_energy_chance": float(near.mean()),
        "resampling_risk": alone[2.0 * kernel.spectrum.omega > np.pi].sum() / alone.sum(),
        "effective_order": float(np.median(orders)),
        "redundant_mode_fraction": redundant / c.size,
        "dead_mode_fraction": float((loud < 1e-3 * loud.max(axis=1, keepdims=True)).mean()),
    }


Program = Callable[[LayerKernel, int], dict[str, float]]


def seconds(program: Program, kernel: LayerKernel, length: int) -> float:
    """How long one run takes."""
    start = time.perf_counter()
    program(kernel, length)
    return time.perf_counter() - start


def peak_bytes(program: Program, kernel: LayerKernel, length: int) -> int:
    """The most memory numpy holds during one run, beyond the layer itself."""
    tracemalloc.start()
    program(kernel, length)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def by_metric(kernel: LayerKernel, length: int) -> NDArray[np.float64]:
    """Seconds of each metric in table order; what one leaves behind the next ones find."""
    context = Context(length, kernel=kernel, row_stride=STRIDE, resample=2.0)
    marks = [time.perf_counter()]
    for key in OURS:
        METRICS[key](kernel.spectrum, context)
        marks.append(time.perf_counter())
    return np.diff(marks)


def main() -> None:
    """Measure, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--channels", type=int, default=512)
    parser.add_argument("--modes", type=int, default=32)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5, help="runs of each (default 5)")
    options = parser.parse_args()
    kernel = layer(options.channels, options.modes)
    print(f"{options.channels} channels x {options.modes} modes, L = {options.length:,}\n")
    ours, theirs = tool(kernel, options.length), prototype(kernel, options.length)
    print(f"{'metric':<26}{'tool':>14}{'prototype':>14}{'seconds':>10}")
    for key, taken in zip(OURS, by_metric(kernel, options.length), strict=True):
        print(f"{key:<26}{ours[key]:>14.8g}{theirs[key]:>14.8g}{taken:>10.4f}")
    turns = [
        [seconds(program, kernel, options.length) for program in (tool, prototype)]
        for _ in range(options.repeats)
    ]
    quick, slow = (statistics.median(times) for times in zip(*turns, strict=True))
    small, large = (peak_bytes(program, kernel, options.length) for program in (tool, prototype))
    print(f"\n{'':<26}{'seconds':>10}{'peak MB':>10}")
    print(f"{'tool':<26}{quick:>10.2f}{small / 1e6:>10.0f}")
    print(f"{'prototype':<26}{slow:>10.2f}{large / 1e6:>10.0f}")
    print(f"{'prototype / tool':<26}{slow / quick:>10.1f}{large / small:>10.2f}")


if __name__ == "__main__":
    main()
