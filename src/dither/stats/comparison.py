"""One method on one task: from pairs to a row, still without Holm and verdict."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dither.stats.boundaries import level_reached
from dither.stats.intervals import Estimate, correlation, equivalence_p, mean_estimate, spread, t_interval
from dither.stats.pairs import Floats, Pairs
from dither.stats.rule import Rule
from dither.stats.sequential import sequential_flip
from dither.stats.signflip import SignFlip
from dither.stats.tables import Comparison

UNKNOWN = SignFlip(p=math.nan, floor=math.nan, exact=True, untied=0)
"""The test of differences of which one is not known."""
_HOPELESS = 0.5  # a p at which nobody tests


def compare(pairs: Pairs, rule: Rule, n_examples: int | None = None) -> Comparison:
    """Describe and test the paired difference of one method on one task.

    Args:
        pairs: the paired runs.
        rule: level, margin and looks.
        n_examples: size of the evaluated split, None when not known.

    Returns:
        The comparison before Holm's adjustment and the verdict. When a run has no score, the means of its arm
        and all estimates are NaN: a mean over the others would flatter the arm that crashed.

    Example:
        >>> from dither.stats.pairs import pair_up
        >>> from dither.stats.scores import Score
        >>> plain = {s: Score("none", "rte", s, 60.0 + s) for s in range(3)}
        >>> pats = {s: Score("pats", "rte", s, 61.0 + 2 * s) for s in range(3)}
        >>> row = compare(pair_up(pats, plain, range(3), names=("pats", "none", "rte")), Rule())
        >>> row.difference, row.difference_sd, row.p
        (2.0, 1.0, 0.25)
    """
    differences = pairs.differences
    scoreless = pairs.scoreless
    estimate = mean_estimate(differences)
    scored = differences[np.isfinite(differences)]
    failed = int(pairs.method_failed.sum() + pairs.baseline_failed.sum())
    return Comparison(
        method=pairs.method,
        baseline=pairs.baseline,
        task=pairs.task,
        planned=pairs.planned,
        pairs=len(pairs.seeds),
        missing=pairs.missing,
        scoreless=len(scoreless),
        dropped=len(pairs.dropped),
        failed=failed,
        method_mean=mean_estimate(pairs.method_scores).value,
        method_sd=spread(pairs.method_scores),
        baseline_mean=mean_estimate(pairs.baseline_scores).value,
        baseline_sd=spread(pairs.baseline_scores),
        difference_sd=spread(differences),
        wins=int((scored > 0).sum()),
        ties=int((scored == 0).sum()),
        losses=int((scored < 0).sum()),
        correlation=correlation(pairs.method_scores, pairs.baseline_scores),
        example_value=100 / n_examples if n_examples else math.nan,
        method_failed=int(pairs.method_failed.sum()),
        baseline_failed=int(pairs.baseline_failed.sum()),
        unpaired_seeds=pairs.unpaired,
        unplanned_seeds=pairs.unplanned,
        scoreless_seeds=scoreless,
        dropped_seeds=pairs.dropped,
        **inference(
            pairs.in_plan(pairs.seeds, differences), estimate, rule, failed=failed + len(pairs.dropped)
        ),
    )


def inference(values: Floats, estimate: Estimate, rule: Rule, *, failed: int) -> dict[str, Any]:
    """The fields of an effect that follow from its differences by seed and the rule.

    Args:
        values: shape (n,), a difference for each seed of the plan in its order, points; NaN for a seed
            without one, which has no sign to flip. Their sum is tested.
        estimate: the mean difference and its standard error.
        rule: level, margin and looks.
        failed: how many runs failed, dropped ones included; equivalence is claimed only where none did.

    Returns:
        Field name -> value.

    Example:
        >>> d = np.array([1.0, 2.0, 0.5])
        >>> inference(d, mean_estimate(d), Rule(margin=3.0), failed=0)["p"]
        0.25
    """
    known = math.isfinite(estimate.value)
    test = sequential_flip(np.nan_to_num(values), rule.spending(values.size)) if known else UNKNOWN
    tested = rule.margin is not None and not failed and known
    return {
        "difference": estimate.value,
        "se": estimate.se,
        "df": estimate.df,
        "interval": t_interval(estimate, rule.confidence),
        "p": test.p,
        "p_floor": test.floor,
        "p_exact": test.exact,
        "untied": test.untied,
        "p_equivalence": _equivalence(values, estimate, rule) if tested else math.nan,
        "equivalence_interval": t_interval(estimate, 1 - 2 * rule.level_of(one_sided=True)),
    }


def _equivalence(values: Floats, estimate: Estimate, rule: Rule) -> float:
    """The largest p of four one-sided tests: of both sides of the margin, by t and by sign flips.

    The t tests alone take the spread of the seeds seen for that of all seeds, and a rare failure may not be
    among those seen yet. Each p is adjusted for the looks: that of the sign flips is the sequential one, and
    that of t the error rate of all looks at which it is the level of this one. Where t alone gives one half
    or more, signs are not flipped: no verdict depends on them.
    """
    spending, margin = rule.spending(values.size), rule.margin or 0.0
    by_t = level_reached(spending, equivalence_p(estimate, margin), one_sided=True)
    if not by_t < _HOPELESS:
        return by_t
    sides = (np.nan_to_num(side) for side in (values + margin, margin - values))
    flips = [sequential_flip(side, spending, one_sided=True).p for side in sides]
    return max(by_t, *flips)
