"""The order of the data, as a function of (seed, step) alone, and batches made ahead of time.

Nothing is carried along from one step to the next, so a run that resumes in the middle of an epoch
continues with the very example it would have seen, and every process of several can tell its own
share without asking the others.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import numpy as np

from ssmspec.arrays import Array
from ssmspec.errors import UsageError

Item = TypeVar("Item")
Result = TypeVar("Result")


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Whole batches in one pass over the data; what is left over waits for the next shuffle.

    Raises:
        UsageError: there is not a single whole batch.
    """
    if examples < batch_size:
        raise UsageError(
            f"the training data has {examples:,} examples and a batch takes {batch_size:,}; "
            f"lower batch_size"
        )
    return examples // batch_size


def step_indices(examples: int, batch_size: int, seed: int, step: int) -> Array:
    """Examples of one optimizer step.

    Args:
        examples: in the training data.
        batch_size: of one step, over all processes.
        seed: of the run.
        step: number of the step, from 0; epochs follow one another.

    Returns:
        (batch_size,) int64. The batches of one epoch hold no example twice.
    """
    epoch, batch = divmod(step, steps_per_epoch(examples, batch_size))
    return _shuffled(examples, seed, epoch)[batch * batch_size : (batch + 1) * batch_size]


def share(indices: Array, process: int, processes: int) -> Array:
    """One process's part of some examples: equal parts, the last ones shorter where uneven.

    Args:
        indices: (n,).
        process: number of the process, from 0.
        processes: how many there are.

    Returns:
        (m,) with m at most n / processes, rounded up.
    """
    size = -(-indices.size // processes)
    return indices[process * size : (process + 1) * size]


@lru_cache(maxsize=2)
def _shuffled(examples: int, seed: int, epoch: int) -> Array:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, epoch))))
    order = rng.permutation(examples)
    order.flags.writeable = False  # it is kept for the other steps of the epoch
    return order


def ahead(make: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """`map(make, items)`, with one result always under way.

    Args:
        make: called in another thread, in order, never twice at a time.
        items: taken one sooner than its result is asked for.

    Yields:
        The results. An exception of `make` is raised where its result would have come.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ssmspec-batch") as pool:
        waiting = None
        for item in items:
            coming = pool.submit(make, item)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()
