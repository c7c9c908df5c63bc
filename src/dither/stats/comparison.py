"""One method on one task: from pairs to a row, still without Holm and verdict."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dither.stats.intervals import Estimate, correlation, equivalence_p, mean_estimate, spread, t_interval
from dither.stats.pairs import Pairs
from dither.stats.rule import Rule
from dither.stats.signflip import SignFlip, sign_flip
from dither.stats.tables import Comparison

_UNKNOWN = SignFlip(p=math.nan, floor=math.nan, exact=True, untied=0)


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
    test = _UNKNOWN if scoreless else sign_flip(differences)
    scored = differences[np.isfinite(differences)]
    return Comparison(
        method=pairs.method,
        baseline=pairs.baseline,
        task=pairs.task,
        planned=pairs.planned,
        pairs=len(pairs.seeds),
        missing=pairs.missing,
        scoreless=len(scoreless),
        dropped=len(pairs.dropped),
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
        **inference(estimate, test, rule),
    )


def inference(estimate: Estimate, test: SignFlip, rule: Rule) -> dict[str, Any]:
    """The fields of an effect that follow from its estimate, its sign-flip test and the rule.

    Args:
        estimate: the difference and its standard error.
        test: the sign-flip test of the same difference.
        rule: level and margin.

    Returns:
        Field name -> value.

    Example:
        >>> inference(Estimate(1.0, 0.5, 8.0), sign_flip([1.0, 2.0, 0.5]), Rule(margin=3.0))["p"]
        0.25
    """
    return {
        "difference": estimate.value,
        "se": estimate.se,
        "df": estimate.df,
        "interval": t_interval(estimate, rule.confidence),
        "p": test.p,
        "p_floor": test.floor,
        "p_exact": test.exact,
        "untied": test.untied,
        "p_equivalence": math.nan if rule.margin is None else equivalence_p(estimate, rule.margin),
        "equivalence_interval": t_interval(estimate, 1 - 2 * rule.level),
    }
