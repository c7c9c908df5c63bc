"""Where runs are made: an executor takes requests and yields results as they come."""

from collections.abc import Generator, Sequence
from typing import Protocol

from dither.bench.runs.request import RunRequest
from dither.core.faults import is_told
from dither.results import RunResult

KEPT = "What was recorded is kept; the same command goes on from there"
"""How the message of every RunError ends."""


class WorkError(RuntimeError):
    """An error of work that was done for somebody, perhaps in another process.

    Args:
        message: what happened.
        internal: whether it is a fault of the program (`dither.core.faults`), to be shown with its traceback.
    """

    def __init__(self, message: str, *, internal: bool = False) -> None:
        super().__init__(message)
        self.internal = internal


class RunError(WorkError):
    """A run ended by an error, not by a result; the runs recorded before it are kept."""

    @classmethod
    def of(cls, name: str, error: BaseException) -> "RunError":
        """The error of a run or other work, by its name."""
        return cls(f"{name} failed with {error}. {KEPT}", internal=not is_told(error))


class Executor(Protocol):
    """Makes runs. Closing the generator ends what still runs."""

    def __call__(self, requests: Sequence[RunRequest], /) -> Generator[RunResult, None, None]:
        """Make the runs, started in this order; yield each result when it is there.

        A request is one training: the runs in its `also` are evaluated after it, and have results, too.

        Raises:
            RunError: a run raised an error or was lost for good; the message names the run.
        """
