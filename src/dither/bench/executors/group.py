"""Runs that all processes of a group make together, one after the other."""

import itertools
import logging
import os
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta

from dither.bench.executors import KEPT, RunError
from dither.bench.executors.worker import be_quiet
from dither.bench.group import Group
from dither.bench.runs.request import RunRequest
from dither.bench.runs.run import BrokenRun, run_together
from dither.core.faults import is_told
from dither.results import RunResult

_RUN = "run"
_LONG = timedelta(days=1)  # the first process scores and records alone; the launcher ends who waits in vain


def run_in_group(requests: Sequence[RunRequest], group: Group) -> Generator[RunResult, None, None]:
    """Make runs together with the other processes, which are in `follow`; for the first process.

    Args:
        requests: the runs, made in this order; they may be none. When there are no more, or this is closed
            before, the others end, too.
        group: of this process.

    Raises:
        RunError: a run raised an error here, or another process was lost; the message names the run.
    """
    _end_with_launcher()
    number = 0
    try:
        for number, request in enumerate(requests, start=1):
            group.tell(f"{_RUN} {number}", [one.spec.id for one in request.runs])
            yield from _made(request)
    except RunError:
        raise  # the launcher ends all
    except BaseException:
        group.tell(f"{_RUN} {number + 1}", None)
        raise
    group.tell(f"{_RUN} {number + 1}", None)


def follow(requests: Iterable[RunRequest], group: Group) -> None:
    """Make the runs that the first process chooses, in silence; for all processes but the first.

    Args:
        requests: every run of the plan, each alone.
        group: of this process.

    Raises:
        RunError: as `run_in_group`; or this process has another plan.
    """
    _end_with_launcher()
    _be_silent()
    planned = {request.spec.id: request for request in requests}
    for number in itertools.count(1):
        run_ids = group.told(f"{_RUN} {number}", wait=_LONG)
        if run_ids is None:
            return
        for run_id in run_ids:
            if run_id not in planned:
                raise RunError(
                    f"process {group.rank} of {group.size} has another plan than the first one: run {run_id} "
                    "is no part of it. Give every process the same command, model and data"
                )
        first, *others = (planned[run_id] for run_id in run_ids)
        for _ in _made(replace(first, also=tuple(others))):
            pass


def _made(request: RunRequest) -> Iterator[RunResult]:
    try:
        yield from run_together(request)
    except BrokenRun as error:
        raise RunError.of(f"run ({error.spec})", error) from error
    except Exception as error:
        text = f"run ({request.name}) failed with {type(error).__name__}: {error}. {KEPT}"
        raise RunError(text, internal=not is_told(error)) from error


def _be_silent() -> None:
    """The first process says what there is to say."""
    logging.getLogger("dither").setLevel(logging.ERROR)
    be_quiet()


def _end_with_launcher() -> None:
    """A killed launcher takes nobody with it, and a run that goes on would keep the ledger."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(0.5)
    os._exit(1)
