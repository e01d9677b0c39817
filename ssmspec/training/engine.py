"""Where a run computes: device, precision and the processes it is shared by, through Accelerate.

The same command runs on one CPU, one GPU, or under `torchrun` on several of either.
"""

from __future__ import annotations

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
        device: `cpu` or `cuda`; None takes a GPU where there is one.

    Raises:
        UsageError: there is no such device here.
    """
    available = torch.cuda.is_available()
    if device is None:
        return "cuda" if available else "cpu"
    if device not in DEVICES:
        raise UsageError(f"no device is called {device!r}; {did_you_mean(device, DEVICES)}")
    if device == "cuda" and not available:
        raise UsageError("there is no CUDA device here; leave --device out, or give --device cpu")
    return device


@contextmanager
def accelerated(device: str | None, precision: Precision) -> Iterator[Accelerator]:
    """Accelerate, set up for one run and put back as it was afterwards.

    Accelerate keeps its state in the process and refuses a second set-up that differs; runs of one
    process, and a caller's own use of it, must not get into each other's way.

    Raises:
        UsageError: the device is not there, or cannot compute at this precision.
    """
    chosen = choose_device(device)
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


def to_tensors(batch: Batch, device: torch.device) -> Tensors:
    """A batch on the way to the model: in memory that a GPU copies from while others compute.

    Called where the batch is made, in the loader's thread.
    """
    pinned = device.type == "cuda"
    lengths = None if batch.lengths is None else _tensor(batch.lengths, pinned=pinned)
    return _tensor(batch.x, pinned=pinned), _tensor(batch.y, pinned=pinned), lengths


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
