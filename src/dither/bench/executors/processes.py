"""Runs in processes of this machine, each with its own torch and, where there are any, on one GPU."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from itertools import islice
from multiprocessing.queues import SimpleQueue

from dither.bench.executors import KEPT, Executor, RunError
from dither.bench.executors.devices import gpus_of, use_gpu
from dither.bench.executors.worker import Made, Outcome, Request, be_quiet, be_ready, run_for_sending
from dither.bench.runs.request import RunRequest
from dither.results import RunResult

_OF_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What may come to a whole group of processes, of which the one that started the others decides."""


def run_in_processes(requests: Iterable[RunRequest], jobs: int) -> Generator[RunResult, None, None]:
    """Make runs in `jobs` processes at a time and yield their results as they come; see `in_processes`."""
    return _results(in_processes(run_for_sending, requests, jobs))


def in_processes(
    work: Callable[[Request], Made], requests: Iterable[Request], jobs: int
) -> Generator[Made, None, None]:
    """Call a function with each request in `jobs` processes at a time and yield what it returns as it comes.

    Args:
        work: of a module; its errors must be such that they can be pickled.
        requests: runs or other work, started in this order, each taken when there is room for it.
        jobs: how many at a time, >= 1.

    Raises:
        RunError: a run raised an error, or its process died; the message names the run.
    """
    with _pool(jobs) as pool:
        yield from _made(pool, work, requests, jobs)


def _results(outcomes: Generator[Outcome, None, None]) -> Generator[RunResult, None, None]:
    """The results of outcomes as they come; a run that could not be evaluated is told after the others."""
    with closing(outcomes):
        for outcome in outcomes:
            yield from outcome.results
            if (broken := outcome.broken) is not None:
                raise RunError.of(f"run ({broken.spec})", broken) from RuntimeError(broken.trace)


@contextmanager
def process_executor(jobs: int) -> Iterator[Executor]:
    """Processes that stay for several batches of runs; the end of the block ends them and what they run.

    Args:
        jobs: how many runs at a time, >= 1. The processes start with the first runs.
    """

    def execute(requests: Iterable[RunRequest], /) -> Generator[RunResult, None, None]:
        return _results(_made(pool, run_for_sending, requests, jobs))

    with _pool(jobs) as pool:
        yield execute


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    if jobs < 1:
        raise ValueError(f"--jobs is {jobs}; it must be at least 1")
    # spawn: a forked process would inherit torch's threads in an unknown state.
    context = multiprocessing.get_context("spawn")
    with _signals_waiting():  # it starts a process of its own, which keeps count of semaphores
        gpus = context.SimpleQueue()
    for gpu in gpus_of(jobs):
        gpus.put(gpu)
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_prepare_worker, initargs=(gpus,))
    try:
        yield pool
    finally:
        for process in list((pool._processes or {}).values()):
            process.kill()  # they are deaf to what may end this one
        pool.shutdown(wait=True, cancel_futures=True)


def _made(
    pool: ProcessPoolExecutor, work: Callable[[Request], Made], requests: Iterable[Request], jobs: int
) -> Generator[Made, None, None]:
    pending = iter(requests)
    running: dict[Future[Made], Request] = {}
    while True:
        # No more than are running: what waits in a queue would be lost from sight.
        for request in islice(pending, jobs - len(running)):
            with _signals_waiting():
                running[pool.submit(work, request)] = request
        if not running:
            return
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        # Results first, so that an error does not take with it what is finished.
        for future in sorted(done, key=_is_broken):
            yield _result(future, running)


@contextmanager
def _signals_waiting() -> Iterator[None]:
    """Ctrl-C and its like wait: a process started meanwhile never hears them, from its first moment on."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_THE_PARENT)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_broken(future: "Future[Made]") -> bool:
    return future.exception() is not None or getattr(future.result(), "broken", None) is not None


def _result(future: "Future[Made]", running: "dict[Future[Made], Request]") -> Made:
    try:
        result = future.result()
    except BrokenProcessPool as error:
        work = " or ".join(map(_name, running.values()))
        raise RunError(
            f"the process of {work} died, perhaps for lack of memory: try a smaller --jobs. {KEPT}"
        ) from error
    except Exception as error:
        raise RunError.of(_name(running[future]), error) from error
    del running[future]
    return result


def _name(request: object) -> str:
    return f"run ({request.name})" if isinstance(request, RunRequest) else str(request)


def _prepare_worker(gpus: "SimpleQueue[str | None]") -> None:
    """With a GPU of its own, quiet, deaf to Ctrl-C and its like, and gone when the parent is."""
    use_gpu(gpus.get())
    for number in _OF_THE_PARENT:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):  # of a launcher that started one process
        os.environ.pop(name, None)
    be_quiet()
    be_ready()  # takes seconds, in which the parent may be gone


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
