"""Several processes for many checkpoints, where they pay; results come in order all the same."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

WORTH = 3.0
"""Seconds of work that must be left for other processes to be started: each takes most of a second
until it has loaded the program (heuristic)."""


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    work: Callable[[int, Task], Result], tasks: Sequence[Task], jobs: int
) -> Iterator[Result]:
    """The results of all tasks, in their order.

    Tasks are done here, one after the other, until what is left is foreseen to take `WORTH`; the
    rest is shared out. Processes are started afresh, for a copy of one that has threads may lock.

    Args:
        work: called with a task's place and the task; it and they can be pickled.
        tasks: what to do.
        jobs: processes at most; 1 starts none.
    """
    started = time.perf_counter()
    for place, task in enumerate(tasks):
        left = len(tasks) - place
        foreseen = (time.perf_counter() - started) / max(place, 1) * left
        if jobs > 1 and left > 1 and foreseen > WORTH:
            method = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(min(jobs, left), mp_context=method) as pool:
                yield from pool.map(work, range(place, len(tasks)), tasks[place:])
            return
        yield work(place, task)
