"""What many runs took, and how much of it was training."""

from collections.abc import Sequence
from dataclasses import dataclass

from dither.results import RunResult, count_trainings


@dataclass(frozen=True)
class Effort:
    """What the runs of one start took.

    Attributes:
        runs: how many.
        trainings: that they stand on: fewer where tasks share one.
        seconds: wall time, from the first data that were tokenised to the last result that was recorded.
        processes: that worked at a time.
        step_share: the part of the time of all these processes that went into training steps.

    Example:
        >>> print(Effort(runs=27, trainings=18, seconds=141.2, processes=2, step_share=0.83))
        27 runs (18 trainings) in 141 s of 2 processes, 83 % of it in training steps
    """

    runs: int
    trainings: int
    seconds: float
    processes: int
    step_share: float

    @classmethod
    def of(cls, results: Sequence[RunResult], seconds: float, *, lanes: int, processes: int) -> "Effort":
        """Of some runs.

        Args:
            results: of the runs.
            seconds: wall time of them all.
            lanes: how many runs were made at a time.
            processes: how many processes made them: more than lanes where several make a run together.
        """
        steps = sum(result.step_seconds or 0.0 for result in results)
        return cls(len(results), count_trainings(results), seconds, processes, steps / (lanes * seconds))

    def __str__(self) -> str:
        runs = f"{self.runs} run{'s' * (self.runs != 1)}"
        if self.trainings < self.runs:
            runs += f" ({self.trainings} training{'s' * (self.trainings != 1)})"
        processes = f"{self.processes} process{'es' * (self.processes != 1)}"
        share = f"{100 * self.step_share:.0f} % of it in training steps"
        return f"{runs} in {self.seconds:.0f} s of {processes}, {share}"
