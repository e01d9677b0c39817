"""Trains the digits from several schemes and seeds, and says what became of the poles.

    python benchmarks/digits.py                      4 schemes, one with two gains, x 3 seeds
    python benchmarks/digits.py --seeds 1 --epochs 5 --runs dfout:zoh

Every run is `ssmspec train` at one setting; nothing is chosen by scheme. `cover` is the share of
the band that the poles reach, `aliased` the share of poles beyond Nyquist, `entangled` how far the
step size moves decay and frequency together (all three before -> after, the median of the layers),
and `moved` the rms distance of the poles from where they started, in half-widths.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ssmspec import analyze, compare
from ssmspec.outcome import Measured
from ssmspec.results.comparison import PolesMoved
from ssmspec.results.report import Report
from ssmspec.training import TrainConfig, train
from ssmspec.training.config import InputGain, ModelConfig, Norm

RUNS = ("dfout:unit-energy", "dfout:zoh", "s4d-lin", "s4d-inv", "s4d-legs")
"""Seed 0 is left out by default: the settings below were chosen on it, with s4d-legs."""
METRICS = ("coverage", "aliased_fraction", "entanglement")

BASE = TrainConfig(
    "digits",
    ModelConfig(n_layers=3, d_model=64, d_state=64, norm=Norm.BATCH, dropout=0.1),
    batch_size=50,
    lr=0.01,
    weight_decay=0.05,
    warmup_steps=25,
    spectrum_every=0,
)


@dataclass(frozen=True)
class Outcome:
    """One run: accuracies in [0, 1], seconds, and its poles before and after, in words."""

    test: float
    validation: float
    seconds: float
    spectrum: str


def run(config: TrainConfig, folder: Path) -> Outcome:
    """Train, and measure the first and the last checkpoint."""
    start = time.perf_counter()
    result = train(config, folder, force=True)
    seconds = time.perf_counter() - start
    before = analyze(folder / "initial.safetensors")
    after = analyze(folder / "model.safetensors")
    cells = [f"{told(before, key)} -> {told(after, key)}" for key in METRICS]
    moved = [
        layer.poles.rms
        for layer in compare(folder / "initial.safetensors", folder / "model.safetensors").layers
        if isinstance(layer.poles, PolesMoved)
    ]
    cells.append(f"{statistics.median(moved):.1f}")
    spectrum = "  ".join(f"{cell:>14}" for cell in cells)
    return Outcome(result.test_metric, result.best_metric, seconds, spectrum)


def told(report: Report, key: str) -> str:
    """The median of a metric over the layers; "-" where it does not apply."""
    outcomes = [layer.metrics[key] for layer in report.layers]
    values = [
        outcome.value
        for outcome in outcomes
        if isinstance(outcome, Measured) and isinstance(outcome.value, float)
    ]
    return f"{statistics.median(values):.2f}" if values else "-"


def show(label: str, outcome: Outcome) -> None:
    """One line of the table."""
    print(
        f"{label:<24}  {100 * outcome.test:>6.2f}  {100 * outcome.validation:>6.2f}  "
        f"{outcome.seconds:>5.0f}  {outcome.spectrum}",
        flush=True,
    )


def main() -> None:
    """Run the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=(1, 2, 3))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", nargs="+", default=RUNS, help="SCHEME or SCHEME:INPUT-GAIN")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    base = replace(BASE, epochs=given.epochs, schedule_steps=25 * given.epochs)
    header = "  ".join(f"{name:>14}" for name in ("cover", "aliased", "entangled", "moved"))
    print(f"{'run':<24}  {'test %':>6}  {'val. %':>6}  {'s':>5}  {header}")
    with tempfile.TemporaryDirectory() as folder:
        for name in given.runs:
            scheme, _, gain = name.partition(":")
            model = replace(base.model, scheme=scheme)
            if gain:
                model = replace(model, input_gain=InputGain(gain))
            outcomes = []
            for seed in given.seeds:
                outcomes.append(run(replace(base, model=model, seed=seed), Path(folder)))
                show(f"{name}, seed {seed}", outcomes[-1])
            tests = [100 * outcome.test for outcome in outcomes]
            print(f"{name:<24}  {statistics.mean(tests):>6.2f}  mean; {min(tests):.2f} the worst")


if __name__ == "__main__":
    main()
