"""Preparing the next batch in a thread while the model learns from this one."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


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
