"""Groups of processes that stay for many tests: each call runs one function in all of them."""

from __future__ import annotations

import contextlib
import multiprocessing
import queue
import tempfile
import time
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

SECONDS = 300.0
"""After which a call has failed; a collective that waits for another process gives up earlier."""


class GlooGroup:
    """Processes of one torch process group on the CPU.

    Args:
        size: how many.
    """

    def __init__(self, size: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._folder = tempfile.TemporaryDirectory()
        self._answers = context.Queue()
        self._calls = [context.Queue() for _ in range(size)]
        self._processes = [
            context.Process(
                target=_serve,
                args=(rank, size, Path(self._folder.name) / "store", calls, self._answers),
                daemon=True,
            )
            for rank, calls in enumerate(self._calls)
        ]
        for process in self._processes:
            process.start()

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What a function of some module returns in each process, by rank.

        Raises:
            AssertionError: it failed in one; the group is of no use any more.
        """
        for calls in self._calls:
            calls.put((function, arguments))
        found: dict[int, Any] = {}
        end = time.monotonic() + SECONDS
        while len(found) < len(self._calls):
            try:
                rank, answer, problem = self._answers.get(timeout=1.0)
            except queue.Empty:
                dead = [process.exitcode for process in self._processes if not process.is_alive()]
                assert not dead, f"a process ended with {dead}"
                assert time.monotonic() < end, f"no answer but from {sorted(found)}"
                continue
            assert problem is None, f"rank {rank}: {problem}"
            found[rank] = answer
        return [found[rank] for rank in range(len(self._calls))]

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.kill()
            process.join()
        self._folder.cleanup()


class GlooGroups:
    """A group of each size, started when it is first asked for and anew after a failure."""

    def __init__(self) -> None:
        self._groups: dict[int, GlooGroup] = {}

    def run(self, size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What a function returns in each of `size` processes, by rank."""
        group = self._groups.pop(size, None) or GlooGroup(size)
        try:
            found = group.run(function, *arguments)
        except BaseException:
            group.close()
            raise
        self._groups[size] = group
        return found

    def close(self) -> None:
        """End all processes."""
        while self._groups:
            self._groups.popitem()[1].close()


def _serve(rank: int, size: int, store: Path, calls: Any, answers: Any) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=size, timeout=timedelta(seconds=180)
    )
    assert dist.get_world_size() == size
    while True:
        function, arguments = calls.get()
        try:
            with contextlib.redirect_stdout(None):
                answers.put((rank, function(*arguments), None))
        except BaseException:
            answers.put((rank, None, traceback.format_exc()))
