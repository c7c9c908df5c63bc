"""Stages that work at the same time: each in a thread of its own, a few items ahead of the next one."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")

AHEAD = 1
"""Items that a stage makes while the next one is busy with one."""

_OTHERS = 3  # threads that are busy beside the noise: two that hash, one that writes


def ahead(items: Generator[Item, None, None]) -> Generator[Item, None, None]:
    """What a generator yields, in its order, made in another thread, `AHEAD` items ahead.

    What it raises comes out where its item would have. Closing this one closes it, and ends the thread.

    Example:
        >>> list(ahead(number * number for number in range(4)))
        [0, 1, 4, 9]
    """
    end: Any = object()
    with closing(items), ThreadPoolExecutor(1) as worker:
        pending: deque[Future[Item]] = deque(worker.submit(next, items, end) for _ in range(AHEAD + 1))
        while (item := pending.popleft().result()) is not end:
            yield item
            pending.append(worker.submit(next, items, end))


@contextmanager
def shared_cores() -> Iterator[None]:
    """Leave cores to the other stages: threads of torch that wait for each other keep them from working."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before - _OTHERS))
    try:
        yield
    finally:
        torch.set_num_threads(before)
