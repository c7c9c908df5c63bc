"""Where runs are made: in processes of this machine, each with its own torch."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from dither.bench.run import RunRequest, run
from dither.results import RunResult


class RunError(RuntimeError):
    """A run ended by an error, not by a result; the runs recorded before it are kept."""


def run_in_processes(requests: Iterable[RunRequest], jobs: int) -> Iterator[RunResult]:
    """Make runs in `jobs` processes at a time and yield their results as they come.

    Args:
        requests: the runs, started in this order.
        jobs: how many at a time, >= 1.

    Raises:
        RunError: a run raised an error, or its process died; the message names the run.
    """
    if jobs < 1:
        raise ValueError(f"--jobs is {jobs}; it must be at least 1")
    pending = iter(requests)
    # spawn: a forked process would inherit torch's threads in an unknown state.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare_worker)
    running: dict[Future[RunResult], RunRequest] = {}
    try:
        while True:
            # No more than are running: what waits in a queue would be lost from sight.
            for request in islice(pending, jobs - len(running)):
                running[pool.submit(run, request)] = request
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield _result(future, running.pop(future))
    finally:
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


def _result(future: "Future[RunResult]", request: RunRequest) -> RunResult:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise RunError(
            f"the process of run ({request.spec}) died, perhaps for lack of memory: try a smaller --jobs. "
            "What was recorded is kept; the same command goes on from there"
        ) from error
    except Exception as error:
        raise RunError(
            f"run ({request.spec}) failed with {type(error).__name__}: {error}. What was recorded is kept; "
            "the same command goes on from there"
        ) from error


def _prepare_worker() -> None:
    """Quiet, deaf to Ctrl-C (the parent decides), and gone when the parent is."""
    import transformers

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
