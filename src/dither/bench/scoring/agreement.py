"""Where two runs agree on an example, and which of them is right: as the metrics of the task compare."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dither.bench.scoring.metrics import METRICS, Normal
from dither.bench.scoring.scores import Row, gold_of
from dither.bench.tasks.task import Task


@dataclass(frozen=True)
class Judge:
    """What makes two predictions on one evaluation the same, and one of them right.

    Predictions are what `dither.bench.scoring.scores.score` takes. Label ids and rows of retrieval are the
    same where they are equal, answers where they are equal by the rule of the task's metric, tags where
    they are equal word by word; numbers are never the same or not, they have a distance.

    Args:
        normal: the form in which answers are compared.
        gold: for each example what would be right, from `gold_of`; None where that is not known.

    Example:
        >>> from dither.bench.tasks.files import load_task
        >>> judge = Judge.of(load_task("squad"), "validation")
        >>> judge.distances(["The cat", "a dog"], ["cat.", "a frog"]).tolist()
        [0.0, 1.0]
        >>> Judge().distances([["O", "B"], ["O"]], [["B", "O"], ["O"]]).tolist()
        [2.0, 0.0]
        >>> Judge().distances([1.5], [1.25]).tolist()
        [0.25]
    """

    normal: Normal = str
    gold: Sequence[Any] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, task: Task | None, evaluation: str, rows: Sequence[Row] = ()) -> Judge:
        """The judge of one evaluation.

        Args:
            task: what was evaluated; None where that is not known, so that answers are compared as they are.
            evaluation: its name.
            rows: of its split; none where they are not known.
        """
        if task is None or evaluation not in task.evaluation:
            return cls()
        language = task.splits[task.evaluation[evaluation]]
        rules = [METRICS[name].normal_in for name in task.primary]
        normal = next((rule(language) for rule in rules if rule), str)
        return cls(normal, gold_of(task, rows) if rows else None)

    def distances(self, plain: Sequence[Any], other: Sequence[Any]) -> np.ndarray:
        """How far two runs are from each other on each example; (examples,), float64.

        Of numbers the absolute difference (not finite where one of them is not), of tags how many words
        differ, of all else 1 where they differ.
        """
        if are_numbers(plain):
            with np.errstate(invalid="ignore"):  # inf - inf
                return np.abs(np.subtract(plain, other, dtype=np.float64))
        found = np.zeros(len(plain))
        for at, (one, two) in enumerate(zip(plain, other, strict=True)):
            if one != two:  # what is equal needs no closer look
                found[at] = self._distance(one, two)
        return found

    def _distance(self, one: Any, two: Any) -> int:
        if isinstance(one, list):
            pairs = zip(one, two, strict=False)  # words lost to truncation are missing at the end
            return sum(tag != other for tag, other in pairs) + abs(len(one) - len(two))
        return int(self.key(one) != self.key(two))

    def key(self, value: Any) -> Hashable:
        """What is equal for predictions that are the same."""
        if isinstance(value, str):
            return self.normal(value)
        return tuple(value) if isinstance(value, list) else value

    def right(self, example: int, value: Any) -> bool:
        """Whether a prediction is right: an answer is if it is one of the gold ones, tags if all are."""
        assert self.gold is not None, "ask only where the gold labels are known"
        gold = self.gold[example]
        if isinstance(value, str):
            return self.normal(value) in map(self.normal, gold)
        return bool(value == gold)

    def usual(self, values: Sequence[Any]) -> Any:
        """The most frequent of some predictions, of equally frequent ones the first; of numbers the mean.

        Example:
            >>> Judge().usual([0, 1, 1, 0]), Judge().usual([1.0, 2.0])
            (0, 1.5)
        """
        if are_numbers(values):
            finite = [value for value in values if math.isfinite(value)]
            return math.fsum(finite) / len(finite) if finite else None
        counts = Counter(map(self.key, values))
        return max(values, key=lambda value: counts[self.key(value)])


def are_numbers(values: Sequence[Any]) -> bool:
    """Whether predictions are those of a regression; those of one task are all alike.

    Example:
        >>> are_numbers([0.5]), are_numbers([1]), are_numbers([])
        (True, False, False)
    """
    return bool(values) and isinstance(values[0], float)
