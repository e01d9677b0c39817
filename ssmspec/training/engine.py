"""Where a run computes: device, precision and the processes it is shared by, through Accelerate.

The same command runs on one CPU, one GPU, or under `torchrun` on several of either.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from torch import Tensor

from ssmspec.arrays import Array
from ssmspec.errors import UsageError
from ssmspec.naming import did_you_mean
from ssmspec.training.config import Precision
from ssmspec.training.tasks.base import Batch

DEVICES = ("cpu", "cuda")

_MIXED: Mapping[Precision, str] = {
    Precision.FP32: "no",
    Precision.BF16: "bf16",
    Precision.FP16: "fp16",
}


def choose_device(device: str | None) -> str:
    """The kind of device to compute on.

    Args:
        device: `cpu`, `cuda` or `cuda:N`; None takes a GPU where there is one.

    Raises:
        UsageError: there is no such device here.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device is None:
        return "cuda" if count else "cpu"
    kind, separator, number = device.partition(":")
    if kind not in DEVICES or (separator and (kind == "cpu" or not number.isdecimal())):
        raise UsageError(f"no device is called {device!r}; {did_you_mean(device, DEVICES)}")
    if kind == "cuda" and not count:
        raise UsageError("there is no CUDA device here; leave --device out, or give --device cpu")
    if number and int(number) >= count:
        raise UsageError(f"there is no {device} here; the last one is cuda:{count - 1}")
    return device


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Let torch refuse what gives other bits from run to run; afterwards all is as it was."""
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    variable = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = variable or ":4096:8"  # as torch asks for
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        if variable is None:
            del os.environ["CUBLAS_WORKSPACE_CONFIG"]


@contextmanager
def accelerated(device: str | None, precision: Precision) -> Iterator[Accelerator]:
    """Accelerate, set up for one run and put back as it was afterwards.

    Accelerate keeps its state in the process and refuses a second set-up that differs; runs of one
    process, and a caller's own use of it, must not get into each other's way.

    Raises:
        UsageError: the device is not there, or cannot compute at this precision.
    """
    chosen = choose_device(device)
    if ":" in chosen:
        torch.cuda.set_device(chosen)  # Accelerate takes the current one
    if chosen == "cpu" and precision is Precision.FP16:
        raise UsageError("fp16 needs a GPU; on the CPU choose --precision bf16 or fp32")
    states = [kind._shared_state for kind in (AcceleratorState, GradientState, PartialState)]  # noqa: SLF001 - there is no public way
    before = [dict(state) for state in states]
    for state in states:
        state.clear()
    distributed = _is_distributed()
    try:
        try:
            accelerator = Accelerator(cpu=chosen == "cpu", mixed_precision=_MIXED[precision])
        except ValueError as error:
            raise UsageError(f"{precision.value} cannot be used here: {error}") from None
        yield accelerator
    finally:
        if not distributed and _is_distributed():
            torch.distributed.destroy_process_group()
        for state, old in zip(states, before, strict=True):
            state.clear()
            state.update(old)


@contextmanager
def own_random_numbers(device: torch.device) -> Iterator[None]:
    """Leave torch's random state, which every step seeds anew, as the caller had it."""
    devices = [torch.cuda.current_device()] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield


def _is_distributed() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def seed_step(seed: int, step: int, process: int) -> None:
    """Make what torch draws in one step, dropout above all, a function of these three alone.

    So a run that resumes needs no state of any random number generator.
    """
    words = np.random.SeedSequence((seed, step, process)).generate_state(2)
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))


Tensors: TypeAlias = tuple[Tensor, Tensor, Tensor | None]
"""Inputs, targets and lengths of a batch."""


SAMPLES = 64
"""Padded batches are cut to a multiple of this, so that there are not too many lengths."""


def to_tensors(batch: Batch, device: torch.device) -> Tensors:
    """A batch on the way to the model: in memory that a GPU copies from while others compute.

    Called where the batch is made, in the loader's thread. Where sequences are padded and one
    answer is asked of each, what is longer than the longest of them is cut off.
    """
    pinned, x, lengths = device.type == "cuda", batch.x, None
    if batch.lengths is not None:
        lengths = _tensor(batch.lengths, pinned=pinned)
        if batch.y.ndim == 1:
            x = x[:, : -(-int(batch.lengths.max()) // SAMPLES) * SAMPLES]
    return _tensor(x, pinned=pinned), _tensor(batch.y, pinned=pinned), lengths


def _tensor(array: Array, *, pinned: bool) -> Tensor:
    # Torch warns of arrays that cannot be written to; those are copied.
    tensor = torch.from_numpy(np.require(array, requirements=["C", "W"]))
    return tensor.pin_memory() if pinned else tensor


def to_device(tensors: Tensors, device: torch.device) -> Tensors:
    """The same where the model is; a GPU copies while the program goes on."""
    x, y, lengths = tensors
    moved = None if lengths is None else lengths.to(device, non_blocking=True)
    return x.to(device, non_blocking=True), y.to(device, non_blocking=True), moved


class Numbers:
    """Numbers on their way from the device: asked for now, read when they are needed.

    Args:
        values: float64, 1-D.
    """

    def __init__(self, values: Tensor) -> None:
        self._values, self._there = values, None
        if values.is_cuda:
            self._values = torch.empty_like(values, device="cpu", pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._there = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._there.record()

    def read(self) -> list[float]:
        """The numbers, once they are here."""
        if self._there is not None:
            self._there.synchronize()
        numbers: list[float] = self._values.tolist()
        return numbers
