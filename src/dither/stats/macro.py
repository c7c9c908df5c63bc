"""The macro-average over tasks: the primary endpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dither.stats.comparison import inference
from dither.stats.intervals import Estimate
from dither.stats.pairs import Pairs
from dither.stats.rule import Rule
from dither.stats.signflip import SignFlip, sign_flip
from dither.stats.tables import Comparison, MacroAverage


def macro_estimate(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of k task means with the standard error from the tasks' own.

        value = Σ value_t / k,   se = sqrt(Σ se_t²) / k,   df = (Σ se_t²)² / Σ (se_t⁴ / df_t)

    The tasks are the ones of interest, not a sample of tasks: their differences from each other do not enter.
    Tasks count as independent, which separate runs are.

    Args:
        estimates: one per task, k >= 1.

    Returns:
        The macro-average; its standard error is NaN when a task's is.

    Example:
        >>> both = macro_estimate([Estimate(1.0, 0.3, 8.0), Estimate(2.0, 0.4, 8.0)])
        >>> both.value, both.se, round(both.df, 6)
        (1.5, 0.25, 14.836795)

    Reference:
        Satterthwaite (1946), "An approximate distribution of estimates of variance components",
        doi 10.2307/3002019 (the degrees of freedom).
    """
    k = len(estimates)
    if k == 1:
        return estimates[0]
    variances = np.array([e.se**2 for e in estimates])
    df = np.array([e.df for e in estimates])
    value = float(np.mean([e.value for e in estimates]))
    total = float(variances.sum())
    if not math.isfinite(total):
        return Estimate(value, math.nan, 0.0)
    if total == 0:
        return Estimate(value, 0.0, float(df.sum()))
    # Divided before squaring, so that tiny variances do not underflow.
    shares = variances / total
    return Estimate(value, math.sqrt(total) / k, float(1 / (shares**2 / df).sum()))


def average(
    pairs: Sequence[Pairs], comparisons: Sequence[Comparison], rule: Rule, group: str = ""
) -> MacroAverage:
    """Average one method over its tasks and test the average by flipping every (task, seed) on its own.

    The statistic is the macro-average itself, so a pair of task t weighs 1 / (k · n_t).

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
        >>> row.difference, row.p
        (2.0, 0.03125)
    """
    scoreless = sum(c.scoreless for c in comparisons)
    empty = any(c.pairs == 0 for c in comparisons)
    if scoreless or empty:
        estimate = Estimate(math.nan, math.nan, 0.0)
        test = SignFlip(p=math.nan, floor=math.nan, exact=True, untied=0)
    else:
        estimate = macro_estimate([Estimate(c.difference, c.se, c.df) for c in comparisons])
        weighted = np.concatenate([p.differences / len(p.seeds) for p in pairs])
        test = sign_flip(weighted / len(pairs))
    return MacroAverage(
        method=pairs[0].method,
        baseline=pairs[0].baseline,
        group=group,
        tasks=tuple(p.task for p in pairs),
        planned=sum(c.planned for c in comparisons),
        pairs=sum(c.pairs for c in comparisons),
        missing=sum(c.missing for c in comparisons),
        scoreless=scoreless,
        dropped=sum(c.dropped for c in comparisons),
        wins=sum(c.difference > 0 for c in comparisons),
        losses=sum(c.difference < 0 for c in comparisons),
        **inference(estimate, test, rule),
    )
