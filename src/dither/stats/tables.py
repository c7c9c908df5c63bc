"""What an analysis holds: plain frozen rows, from which a table, a page or a JSON file is made."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from dither.stats.effect import Effect
from dither.stats.rule import Rule
from dither.stats.scores import check_known


@dataclass(frozen=True, kw_only=True)
class Comparison(Effect):
    """One method on one task.

    Args:
        task: the task.
        method_mean: mean of the method's paired runs.
        method_sd: their standard deviation.
        baseline_mean: mean of the baseline's paired runs.
        baseline_sd: their standard deviation.
        difference_sd: standard deviation of the paired differences.
        wins: pairs in which the method scores higher.
        ties: pairs with equal scores.
        losses: pairs in which it scores lower.
        correlation: Pearson correlation of the arms over seeds; NaN when an arm is constant.
        example_value: what one evaluated example is worth in accuracy, 100 / n_examples; NaN when not known.
        method_failed: failed runs among the method's pairs.
        baseline_failed: failed runs among the baseline's pairs.
        unpaired_seeds: planned seeds that one arm alone has, left out of the pairs.
        unplanned_seeds: seeds outside the plan, left out altogether.
        scoreless_seeds: seeds of pairs in which a run has no score.
        dropped_seeds: seeds of pairs left out because a run failed.
    """

    task: str
    method_mean: float
    method_sd: float
    baseline_mean: float
    baseline_sd: float
    difference_sd: float
    wins: int
    ties: int
    losses: int
    correlation: float
    example_value: float
    method_failed: int
    baseline_failed: int
    unpaired_seeds: tuple[int, ...]
    unplanned_seeds: tuple[int, ...]
    scoreless_seeds: tuple[int, ...]
    dropped_seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class MacroAverage(Effect):
    """One method over a group of tasks: the mean of the task means, every task counting the same.

    A pair is a seed here: what its runs differ by from plain fine-tuning's, on average over the tasks. In the
    decisive table a seed counts when all its runs exist. In the table without failed runs it counts with the
    tasks that it has left; ``dropped`` seeds are those that lack one.

    Args:
        group: the group's name; empty where all tasks are one.
        tasks: the tasks that were averaged.
        difference_sd: standard deviation of the seeds' differences.
        wins: tasks with a positive mean difference.
        losses: tasks with a negative one.
    """

    group: str = ""
    tasks: tuple[str, ...]
    difference_sd: float
    wins: int
    losses: int

    @property
    def unit(self) -> str:
        """A seed, where there are several tasks."""
        return "seed" if len(self.tasks) > 1 else "pair"

    @property
    def runs(self) -> int:
        """How many runs of the method the numbers rest on, where none was dropped."""
        return self.pairs * len(self.tasks)


@dataclass(frozen=True)
class Table:
    """All comparisons over one choice of runs.

    Args:
        title: which runs are in it.
        comparisons: one per method and task, method by method.
        macros: one per method and group of tasks, method by method.
    """

    title: str
    comparisons: tuple[Comparison, ...]
    macros: tuple[MacroAverage, ...]

    def comparison(self, method: str, task: str) -> Comparison:
        """The row of one method on one task.

        Args:
            method: its name.
            task: its name.

        Returns:
            The comparison.

        Raises:
            ValueError: an unknown method or task.
        """
        check_known(method, dict.fromkeys(c.method for c in self.comparisons), what="method")
        check_known(task, dict.fromkeys(c.task for c in self.comparisons), what="task")
        return next(c for c in self.comparisons if (c.method, c.task) == (method, task))

    def macro(self, method: str, group: str = "") -> MacroAverage:
        """The macro-average of one method over a group of tasks.

        Args:
            method: its name.
            group: the group's name; empty where all tasks are one.

        Returns:
            The macro-average.

        Raises:
            ValueError: an unknown method or group.
        """
        check_known(method, dict.fromkeys(m.method for m in self.macros), what="method")
        check_known(group, dict.fromkeys(m.group for m in self.macros), what="group of tasks")
        return next(m for m in self.macros if (m.method, m.group) == (method, group))


@dataclass(frozen=True)
class Analysis:
    """The paired comparison of every method with the baseline.

    Args:
        baseline: the arm that all are compared with.
        methods: the methods, the baseline included.
        tasks: the tasks.
        planned_seeds: the seeds of the plan.
        rule: error rate, margin and looks.
        all_runs: the decisive table; failed runs with a score count with it.
        without_failed: the same without the pairs in which a run failed.
        notes: what a reader must know about the runs: failed, without a score, unpaired, unplanned.
    """

    baseline: str
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    planned_seeds: tuple[int, ...]
    rule: Rule
    all_runs: Table
    without_failed: Table
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The analysis as plain JSON values: NaN and infinities become None.

        Returns:
            A dict of dicts, lists, strings, finite numbers, booleans and None.
        """
        plain: dict[str, Any] = _plain(dataclasses.asdict(self))
        plain["rule"] |= {
            "level": self.rule.level,
            "confidence": self.rule.confidence,
            "overall": self.rule.overall,
        }
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
