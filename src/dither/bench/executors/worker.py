"""What every process that makes runs for another one does, whoever started it."""

import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from dither.bench.executors import WorkError
from dither.bench.runs.request import RunRequest
from dither.bench.runs.run import BrokenRun, run_together
from dither.core.faults import is_told
from dither.results import RunResult

Made = TypeVar("Made")
Request = TypeVar("Request")


def be_quiet() -> None:
    """Print nothing of transformers, and keep the tokenizers from using more threads than a run has."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def be_ready() -> None:
    """Load what every run needs, and spare the garbage collector what stays for good.

    The Trainer collects at each start, which takes a fifth of a second over all that was imported.
    """
    import gc

    from transformers import Trainer  # noqa: F401

    import dither.integrations.hf_trainer  # noqa: F401

    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Outcome:
    """What came of a request.

    Attributes:
        results: of its runs, all of them or those that could be evaluated.
        broken: the run that could not; None where all could.
    """

    results: tuple[RunResult, ...]
    broken: BrokenRun | None = None


def run_for_sending(request: RunRequest) -> Outcome:
    """The runs of a request; errors can travel between processes."""
    return sendable(_outcome, request)


def _outcome(request: RunRequest) -> Outcome:
    results: list[RunResult] = []
    try:
        results.extend(run_together(request))  # those before an error stay
    except BrokenRun as broken:
        return Outcome(tuple(results), broken)
    return Outcome(tuple(results))


def sendable(work: Callable[[Request], Made], request: Request) -> Made:
    """What a function makes of a request; an exception that cannot be unpickled would end all processes."""
    try:
        return work(request)
    except Exception as error:
        trace = "".join(traceback.format_exception(error))
        text, internal = f"{type(error).__name__}: {error}", not is_told(error)
        raise WorkError(text, internal=internal) from RuntimeError(trace)
