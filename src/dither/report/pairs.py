"""The pairs behind the differences: of each method and task the seeds that have both scores."""

from collections.abc import Sequence
from typing import NamedTuple

from dither.stats import Analysis, Score
from dither.stats.pairs import pair_up


class Pair(NamedTuple):
    """Two runs of one seed.

    Attributes:
        seed: of both.
        plain: the baseline's score, points.
        score: the method's.
        difference: method minus baseline; a tie is exactly 0.
    """

    seed: int
    plain: float
    score: float
    difference: float


def pairs_of(analysis: Analysis, scores: Sequence[Score]) -> dict[tuple[str, str], list[Pair]]:
    """(method, task) -> the planned pairs that have both scores, in the order of the plan.

    Args:
        analysis: of the scores.
        scores: of the runs.

    Example:
        >>> from dither.stats import analyse
        >>> scores = [Score(name, "rte", 0, points) for name, points in (("none", 60.0), ("pats", 61.0))]
        >>> pairs_of(analyse(scores, planned_seeds=[0]), scores)
        {('pats', 'rte'): [Pair(seed=0, plain=60.0, score=61.0, difference=1.0)]}
    """
    arms: dict[tuple[str, str], dict[int, Score]] = {}
    for row in scores:
        arms.setdefault((row.method, row.task), {})[row.seed] = row
    found = {}
    for method in (name for name in analysis.methods if name != analysis.baseline):
        for task in analysis.tasks:
            own, plain = (arms.get((name, task), {}) for name in (method, analysis.baseline))
            both = pair_up(own, plain, analysis.planned_seeds, names=(method, analysis.baseline, task))
            columns = (both.baseline_scores, both.method_scores, both.differences)
            rows = zip(both.seeds, *(column.tolist() for column in columns), strict=True)
            found[method, task] = [Pair(*row) for row in rows if row[0] not in both.scoreless]
    return found
