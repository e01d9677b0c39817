"""Everything that a GPU could refute, checked and measured by one script in eight minutes at most.

    python benchmarks/gpu.py [--device cuda] [--small] [--minutes 7.5]

It prints a table ready for docs/training.md, with the name of the card, and exits 1 where something
does not hold. `--device cpu --small` is a smoke test of the script itself. What would pass the time
given is left out, and said to be.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from direct import direct_kernel
from torch import Tensor, nn
from train_step import Nothing

from ssmspec.training import TrainConfig, train
from ssmspec.training.config import ModelConfig, Precision
from ssmspec.training.model.kernel import KernelFunction, vandermonde_kernel
from ssmspec.training.model.layers import DiagonalLayer
from ssmspec.training.model.stack import SequenceModel, build_model
from ssmspec.training.tasks.base import Data, Target


@dataclass(frozen=True)
class Row:
    """One line of the table: what was done, what came out, and whether that is as it must be."""

    what: str
    value: str
    holds: bool = True


@dataclass(frozen=True)
class Place:
    """Where and how large."""

    device: torch.device
    small: bool

    @property
    def lengths(self) -> tuple[int, ...]:
        """Sequence lengths to measure."""
        return (256,) if self.small else (1024, 4096, 16_384)

    @property
    def channels(self) -> int:
        """H."""
        return 8 if self.small else 128

    def wait(self) -> None:
        """Until the device has done all it was asked for."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable[[], object], repeats: int = 5) -> float:
        """Median time of some work, which is done once before."""
        work()
        times = []
        for _ in range(repeats):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    def megabytes(self, work: Callable[[], object]) -> str:
        """How far the peak of allocated memory rises."""
        if self.device.type != "cuda":
            work()
            return "not measured on a CPU"
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        work()
        return f"{(torch.cuda.max_memory_allocated(self.device) - before) / 1e6:,.0f} MB"


def leaves(place: Place, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Decay, omega and residues of some modes."""
    draw = torch.Generator().manual_seed(0)
    shape = (channels, 32)
    decay = torch.rand(shape, generator=draw, dtype=torch.float64) * 0.05 + 1e-3
    omega = torch.rand(shape, generator=draw, dtype=torch.float64) * 3.1
    residues = torch.randn(1, *shape, 2, generator=draw)
    return (
        decay.to(place.device).requires_grad_(),
        omega.to(place.device).requires_grad_(),
        residues.to(place.device).requires_grad_(),
    )


def kernels(place: Place) -> Iterator[Row]:
    """Kernel and gradient against the direct formula in float64, also where TF32 is allowed."""
    for allowed in ("highest", "medium"):
        torch.set_float32_matmul_precision(allowed)
        length = place.lengths[-1]
        fast, exact = leaves(place, 8), leaves(place, 8)
        weights = torch.randn(length, generator=torch.Generator().manual_seed(1)).to(place.device)
        kernel = vandermonde_kernel(*fast, length)
        truth = _direct_float64(exact[0], exact[1], exact[2].double(), length)
        (kernel * weights).sum().backward()  # type: ignore[no-untyped-call]
        (truth * weights).sum().backward()  # type: ignore[no-untyped-call]
        error = _apart(kernel.detach(), truth.detach())
        pairs = zip(fast, exact, strict=True)
        slopes = max(_apart(mine.grad, theirs.grad) for mine, theirs in pairs)
        yield Row(f"kernel, L = {length:,}, matmul {allowed}", f"error {error:.1e}", error < 5e-6)
        yield Row(f"its gradient, matmul {allowed}", f"error {slopes:.1e}", slopes < 1e-4)
    torch.set_float32_matmul_precision("highest")


def _direct_float64(decay: Tensor, omega: Tensor, residues: Tensor, length: int) -> Tensor:
    """`direct_kernel` in float64 on the tensors' own device."""
    lags = torch.arange(length, dtype=torch.float64, device=decay.device)
    powers = torch.exp(torch.complex(-decay, omega).unsqueeze(-1) * lags)
    return 2.0 * torch.einsum("shn,hnk->shk", torch.view_as_complex(residues), powers).real


def _apart(mine: Tensor | None, theirs: Tensor | None) -> float:
    assert mine is not None
    assert theirs is not None
    return float((mine - theirs).abs().max() / theirs.abs().max())


def model(place: Place, length: int, kernel: KernelFunction | None = None) -> SequenceModel:
    """Four blocks on the device."""
    config = ModelConfig(d_model=place.channels, d_state=64, n_layers=1 if place.small else 4)
    split = Nothing()
    made = build_model(config, Data(split, split, split, Target.CLASS, 1, 10, length), seed=0)
    for module in made.modules():
        if kernel is not None and isinstance(module, DiagonalLayer):
            module.kernel_function = kernel
    return made.to(place.device)


def step(net: nn.Module, x: Tensor, precision: torch.dtype | None = None) -> Tensor:
    """Forward and backward; the loss."""
    net.zero_grad()
    with torch.autocast(x.device.type, dtype=precision, enabled=precision is not None):
        answers: Tensor = net(x)
    loss = answers.float().square().mean()
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def steps(place: Place) -> Iterator[Row]:
    """A training step against the direct formula, compiled, and in half precision."""
    for length in place.lengths:
        x = torch.randn(2 if place.small else 8, length, 1, device=place.device)
        fast, direct = model(place, length), model(place, length, direct_kernel)
        losses = [float(step(net, x)) for net in (fast, direct)]
        apart = abs(losses[0] - losses[1]) / abs(losses[1])
        quick = place.seconds(lambda net=fast, x=x: step(net, x))  # type: ignore[misc]
        slow = place.seconds(lambda net=direct, x=x: step(net, x), 3)  # type: ignore[misc]
        memory = [place.megabytes(lambda n=net, x=x: step(n, x)) for net in (fast, direct)]  # type: ignore[misc]
        yield Row(
            f"step, L = {length:,}, fast and direct",
            f"{1e3 * quick:.1f} and {1e3 * slow:.1f} ms ({slow / quick:.1f}x), {memory[0]} and "
            f"{memory[1]}, losses {apart:.1e} apart",
            apart < 1e-4,
        )
    for name, kind in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        if kind is torch.float16 and place.device.type == "cpu":
            continue
        half = float(step(fast, x, kind))
        apart = abs(half - losses[0]) / abs(losses[0])
        took = place.seconds(lambda kind=kind: step(fast, x, kind))  # type: ignore[misc]
        yield Row(f"{name}, L = {length:,}", f"{1e3 * took:.1f} ms, {apart:.1e} apart", apart < 0.1)
    yield from compiled(place, fast, x, losses[0], quick)


def compiled(
    place: Place, net: SequenceModel, x: Tensor, loss: float, quick: float
) -> Iterator[Row]:
    """The same step through torch.compile, as `--compile` takes it."""
    if place.small:
        return  # a compiler is needed, which not every CPU has
    net.compile(mode="reduce-overhead" if place.device.type == "cuda" else "default")
    first = time.perf_counter()
    apart = abs(float(step(net, x)) - loss) / abs(loss)
    first = time.perf_counter() - first
    took = place.seconds(lambda: step(net, x))
    yield Row(
        "compiled step",
        f"{1e3 * took:.1f} against {1e3 * quick:.1f} ms, {apart:.1e} apart, {first:.0f} s at first",
        apart < 1e-4,
    )


def long(place: Place) -> Iterator[Row]:
    """Peak memory at L = 65,536, with activations kept and made again."""
    length = 512 if place.small else 65_536
    losses = []
    for again in (False, True):
        net = model(place, length)
        net.recompute(again)
        x = torch.ones(2, length, 1, device=place.device)
        memory = place.megabytes(lambda net=net, x=x: losses.append(float(step(net, x))))  # type: ignore[misc]
        how = "made again" if again else "kept"
        yield Row(f"L = {length:,}, batch 2, activations {how}", memory)
    apart = abs(losses[0] - losses[1]) / abs(losses[0])
    yield Row("the two losses", f"{apart:.1e} apart", apart < 1e-5)


def runs(place: Place) -> Iterator[Row]:
    """A short run on the digits, stopped and resumed; and one in bf16."""
    device = place.device.type
    config = TrainConfig(
        "digits",
        ModelConfig(d_model=16 if place.small else 64, n_layers=1 if place.small else 3),
        max_steps=20 if place.small else 475,
        eval_every=5 if place.small else 100,
        schedule_steps=475,
        warmup_steps=20,
        spectrum_every=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        whole = train(config, Path(folder) / "whole", device=device)
        took = time.perf_counter() - start
        good = place.small or whole.test_metric > 0.95
        yield Row("digits", f"{100 * whole.test_metric:.1f} %, {took:.0f} s", good)
        half = replace(config, max_steps=config.max_steps and config.max_steps // 2 + 1)
        train(half, Path(folder) / "half", device=device)
        again = train(config, Path(folder) / "half", device=device, resume=True)
        apart = abs(again.rows[-1].loss - whole.rows[-1].loss)
        yield Row("digits, resumed", f"test losses {apart:.1e} apart", apart < 1e-2)
        mixed = replace(config, precision=Precision.BF16)
        loss = train(mixed, Path(folder) / "bf16", device=device).test_metric
        yield Row("digits, bf16", f"{100 * loss:.1f} %", place.small or loss > 0.9)


def collective(place: Place) -> Iterator[Row]:
    """The backend that several processes would talk by, with one process."""
    backend = "nccl" if place.device.type == "cuda" else "gloo"
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29531"}
    torch.distributed.init_process_group(backend, rank=0, world_size=1)
    try:
        x = torch.ones(3, device=place.device)
        torch.distributed.all_reduce(x)
        place.wait()
        yield Row(f"{backend}, one process", "reduces", float(x.sum()) == 3.0)
        net = nn.parallel.DistributedDataParallel(model(place, 256))
        loss = float(step(net, torch.ones(2, 256, 1, device=place.device)))
        yield Row(f"{backend}, a data-parallel step", f"loss {loss:.4f}", loss == loss)  # noqa: PLR0124 - no NaN
    finally:
        torch.distributed.destroy_process_group()


CHECKS: tuple[tuple[str, Callable[[Place], Iterator[Row]]], ...] = (
    ("kernels", kernels),
    ("runs", runs),
    ("steps", steps),
    ("long sequences", long),
    ("collectives", collective),
)


def main() -> None:
    """Check, measure and print; exit 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a smoke test of this script")
    parser.add_argument("--minutes", type=float, default=7.5, help="start nothing after (7.5)")
    options = parser.parse_args()
    place, start = Place(torch.device(options.device), options.small), time.monotonic()
    is_gpu = place.device.type == "cuda"
    name = torch.cuda.get_device_name(place.device) if is_gpu else "a CPU"
    print(f"On {name}, torch {torch.__version__}:\n\n| what | measured | holds |\n|---|---|---|")
    failed = 0
    for title, check in CHECKS:
        if time.monotonic() - start > 60 * options.minutes:
            print(f"| {title} | not run: the time was up | |")
            continue
        try:
            for row in check(place):
                failed += not row.holds
                print(f"| {row.what} | {row.value} | {'yes' if row.holds else 'NO'} |", flush=True)
        except Exception as error:
            failed += 1
            told = str(error).partition("\n")[0]
            print(f"| {title} | {type(error).__name__}: {told} | NO |", flush=True)
    print(f"\n{time.monotonic() - start:.0f} s, {failed} that do not hold")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
