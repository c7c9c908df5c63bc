"""The macro-average over tasks: the primary endpoint. The seed is its unit, as it is a task's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dither.stats.comparison import inference
from dither.stats.intervals import Estimate, mean_estimate, spread
from dither.stats.pairs import TIE, Floats, Pairs
from dither.stats.rule import Rule
from dither.stats.tables import Comparison, MacroAverage


@dataclass(frozen=True)
class SeedDifferences:
    """What each seed says about a method over a group of tasks.

    Args:
        seeds: the n seeds that have all their runs and a pair that counts.
        values: shape (n,), points; their mean is the macro-average.
        estimate: the macro-average with its standard error.
        sd: standard deviation of the values; where a task is missing, of what they deviate by.
        dropped: seeds that lack a task because a run of it failed.
    """

    seeds: tuple[int, ...]
    values: Floats
    estimate: Estimate
    sd: float
    dropped: tuple[int, ...]


def seed_differences(pairs: Sequence[Pairs]) -> SeedDifferences:
    """The differences of one method over k tasks, put together seed by seed.

        value_s = n · Σ_t d_st / (k · n_t)            over the tasks that the seed has
        se² = n / (n − 1) · Σ_s ( Σ_t (d_st − mean_t) / (k · n_t) )²,    df = n − 1

    All tasks of a seed share its noise, its data order and often its training, so they are one observation.
    Where every seed has every task, value_s is the seed's mean difference over the tasks and se the standard
    error of their mean. The weights matter only where pairs with a failed run were left out. A seed that has
    not made all its runs yet takes no part.

    Args:
        pairs: the method's pairs, one entry per task, k >= 1.

    Returns:
        The values; NaN where a task has no pair or a run has no score.

    Example:
        >>> from dither.stats.pairs import pair_up
        >>> from dither.stats.scores import Score
        >>> plain = {s: Score("none", "t", s, 60.0) for s in range(3)}
        >>> gains = {"a": (1.0, 2.0, 6.0), "b": (3.0, 0.0, 0.0)}
        >>> arms = {t: {s: Score("pats", "t", s, 60 + g[s]) for s in range(3)} for t, g in gains.items()}
        >>> names = [("pats", "none", t) for t in arms]
        >>> tasks = [pair_up(arms[own[2]], plain, range(3), names=own) for own in names]
        >>> found = seed_differences(tasks)
        >>> found.values.tolist(), found.estimate.value, found.estimate.df
        ([2.0, 1.0, 3.0], 2.0, 2.0)
    """
    made = set.intersection(*({*task.seeds, *task.dropped} for task in pairs))
    kept = [seed for task in pairs for seed in task.seeds if seed in made]
    whole = len(kept) == len(pairs) * len(set(kept))
    seeds = tuple(dict.fromkeys(kept)) if whole else tuple(sorted(set(kept)))
    dropped = tuple(sorted({seed for task in pairs for seed in task.dropped if seed in made}))
    n, k = len(seeds), len(pairs)
    cells = np.zeros((k, n))
    there = np.zeros((k, n), dtype=np.bool_)
    for row, task in enumerate(pairs):
        own = dict(zip(task.seeds, task.differences, strict=True))
        there[row] = [seed in own for seed in seeds]
        cells[row] = [own.get(seed, 0.0) for seed in seeds]
    counts = there.sum(axis=1)
    if n == 0 or not counts.all():
        unknown = Estimate(math.nan, math.nan, 0.0)
        return SeedDifferences(seeds, np.full(n, math.nan), unknown, math.nan, dropped)
    values = (n / counts[:, None] * cells).sum(axis=0) / k
    values = np.where(np.abs(values) <= TIE, 0.0, values)
    if whole:
        return SeedDifferences(seeds, values, mean_estimate(values), spread(values), dropped)
    means = cells.sum(axis=1) / counts
    residuals = (n / counts[:, None] * np.where(there, cells - means[:, None], 0.0)).sum(axis=0) / k
    sd = math.sqrt(float((residuals**2).sum()) / (n - 1)) if n > 1 else math.nan
    estimate = Estimate(float(values.mean()), sd / math.sqrt(n), n - 1.0)
    return SeedDifferences(seeds, values, estimate, sd, dropped)


def average(
    pairs: Sequence[Pairs], comparisons: Sequence[Comparison], rule: Rule, group: str = ""
) -> MacroAverage:
    """Average one method over its tasks and test the average by flipping whole seeds.

    Flipping every (task, seed) on its own would take the tasks of a seed for independent: with nine tasks and
    nine seeds that correlate by 0.5 it claims a difference in 39 % of studies without one, not in 5 %.

    Args:
        pairs: the method's pairs, one entry per task.
        comparisons: the method's comparisons, in the same order.
        rule: level, margin and looks.
        group: what these tasks are called.

    Returns:
        The macro-average before Holm's adjustment and the verdict. It cannot be formed (NaN) while a task has
        no pairs or a run without a score.

    Example:
        >>> from dither.stats.comparison import compare
        >>> from dither.stats.pairs import pair_up
        >>> from dither.stats.scores import Score
        >>> plain = {s: Score("none", "t", s, 60.0) for s in range(3)}
        >>> pats = {s: Score("pats", "t", s, 61.0 + s) for s in range(3)}
        >>> tasks = [pair_up(pats, plain, range(3), names=("pats", "none", name)) for name in ("a", "b")]
        >>> row = average(tasks, [compare(task, Rule()) for task in tasks], Rule())
        >>> row.difference, row.pairs, row.p
        (2.0, 3, 0.25)
    """
    found = seed_differences(pairs)
    counted, lost = set(found.seeds), {seed for task in pairs for seed in task.scoreless}
    missing = pairs[0].planned - len(counted | set(found.dropped))
    failed = sum(c.method_failed + c.baseline_failed for c in comparisons)
    return MacroAverage(
        method=pairs[0].method,
        baseline=pairs[0].baseline,
        group=group,
        tasks=tuple(p.task for p in pairs),
        planned=pairs[0].planned,
        pairs=len(counted),
        missing=missing,
        scoreless=len(lost & counted),
        dropped=len(found.dropped),
        failed=failed,
        difference_sd=found.sd,
        wins=sum(c.difference > 0 for c in comparisons),
        losses=sum(c.difference < 0 for c in comparisons),
        **inference(
            pairs[0].in_plan(found.seeds, found.values),
            found.estimate,
            rule,
            failed=failed + len(found.dropped),
        ),
    )
