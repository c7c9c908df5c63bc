"""What an analysis holds: plain frozen rows, from which a table, a page or a JSON file is made."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from dither.stats.rule import Rule
from dither.stats.scores import check_known
from dither.stats.verdict import Verdict

_NAN = math.nan
_NO_INTERVAL = (math.nan, math.nan)
_PENDING = Verdict("none", "no verdict yet")


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One difference between a method and the baseline, and all that bears on it. Scores are in points.

    Args:
        method: the method.
        baseline: the arm it is compared with.
        planned: planned pairs.
        pairs: pairs that the numbers rest on.
        missing: planned pairs of which a run does not exist.
        scoreless: pairs in which a run has no score; then no mean can be formed and the estimates are NaN.
        dropped: pairs left out because a run of them failed (second table only).
        untied: pairs with different scores; only they have a sign.
        difference: mean paired difference, method minus baseline.
        se: its standard error.
        df: degrees of freedom of the standard error.
        interval: t interval at the confidence of the look.
        p: two-sided sign-flip p.
        p_floor: the smallest p that these differences could have given.
        p_exact: whether p was enumerated (else drawn).
        tests: size of the family that Holm's method adjusts for.
        p_holm: Holm-adjusted p; NaN while runs are missing.
        p_holm_floor: the smallest adjusted p that the family could have given.
        detectable: minimum detectable effect at 80 % power at level / tests; infinite when p cannot get
            there.
        p_equivalence: TOST p at the declared margin; NaN without a margin.
        p_equivalence_holm: the same, Holm-adjusted in the family of the equivalence tests.
        equivalence_interval: the 1 − 2·level interval; inside ±margin exactly when p_equivalence < level.
        verdict: the decision in words.
    """

    method: str
    baseline: str
    planned: int
    pairs: int
    missing: int
    scoreless: int
    dropped: int
    untied: int
    difference: float
    se: float
    df: float
    interval: tuple[float, float]
    p: float
    p_floor: float
    p_exact: bool
    tests: int = 0
    p_holm: float = _NAN
    p_holm_floor: float = _NAN
    detectable: float = _NAN
    p_equivalence: float = _NAN
    p_equivalence_holm: float = _NAN
    equivalence_interval: tuple[float, float] = _NO_INTERVAL
    verdict: Verdict = _PENDING

    @property
    def complete(self) -> bool:
        """Whether every planned run exists and has a score, and pairs are left."""
        return self.missing == 0 and self.scoreless == 0 and self.pairs > 0

    @property
    def identical(self) -> bool:
        """Whether all pairs are ties: nothing to test, p is 1 whatever the family."""
        return self.complete and math.isfinite(self.difference) and self.untied == 0

    @property
    def counted(self) -> bool:
        """Whether it takes a place in a family of tests: all do but the baseline itself and all-tied ones.

        Given the sizes of the differences, which the sign-flip test takes as given, an all-tied comparison
        can never be rejected; so leaving it out costs no error and the control arms no power.
        """
        return self.method != self.baseline and not self.identical


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
    """One method over all tasks: the mean of the task means, every task counting the same.

    Args:
        tasks: the tasks that were averaged.
        wins: tasks with a positive mean difference.
        losses: tasks with a negative one.
    """

    tasks: tuple[str, ...]
    wins: int
    losses: int


@dataclass(frozen=True)
class Table:
    """All comparisons over one choice of runs.

    Args:
        title: which runs are in it.
        comparisons: one per method and task, method by method.
        macros: one per method.
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

    def macro(self, method: str) -> MacroAverage:
        """The macro-average of one method.

        Args:
            method: its name.

        Returns:
            The macro-average.

        Raises:
            ValueError: an unknown method.
        """
        check_known(method, [m.method for m in self.macros], what="method")
        return next(m for m in self.macros if m.method == method)


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
