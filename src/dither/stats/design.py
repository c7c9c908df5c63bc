"""What a design can detect before its first run: pairs, tasks and methods are known, effects are not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dither.stats.intervals import Estimate
from dither.stats.macro import macro_estimate
from dither.stats.power import detectable_in_se, minimum_detectable_effect
from dither.stats.rule import Rule
from dither.stats.signflip import attainable_level, pairs_to_reach


@dataclass(frozen=True)
class Detectable:
    """The smallest effects that a design finds four times out of five, at the levels that Holm leaves.

    Attributes:
        task_level: of one test among all tasks of all methods.
        macro_level: of one test among the methods' averages over the tasks of each group.
        task_pairs: how few pairs could be significant on one task.
        tasks: task -> points, infinite where no p can be small enough.
        macro: points, over the tasks of a group: the greatest of all groups.
    """

    task_level: float
    macro_level: float
    task_pairs: int
    tasks: Mapping[str, float]
    macro: float


def detectable(
    spreads: Mapping[str, float],
    *,
    pairs: int,
    methods: int,
    rule: Rule | None = None,
    groups: Sequence[Sequence[str]] | None = None,
) -> Detectable:
    """What a design detects with 80 % power if all differences had these standard deviations.

    The level is that of the hardest test of a family: alpha over its number of tests, as Holm's method has
    it for the first of them.

    Args:
        spreads: task -> standard deviation of its paired differences, > 0; with 1 the result is in units of
            that deviation.
        pairs: of each task, >= 1.
        methods: that are compared with the baseline, >= 1.
        rule: level and looks.
        groups: the tasks that are averaged together; None for all tasks in one group.

    Example:
        >>> found = detectable({"rte": 1.0, "cola": 1.0}, pairs=9, methods=2)
        >>> round(found.tasks["rte"], 2), round(found.macro, 2)
        (1.41, 0.79)
        >>> detectable({"rte": 1.0}, pairs=5, methods=1).tasks["rte"]
        inf
    """
    level = (rule or Rule()).level
    sets = [list(spreads)] if groups is None else groups
    task_level, macro_level = level / (methods * len(spreads)), level / (methods * len(sets))
    points = {name: minimum_detectable_effect(sd, pairs, task_level) for name, sd in spreads.items()}
    macro = max(_over_tasks([spreads[name] for name in names], pairs, macro_level) for names in sets)
    return Detectable(task_level, macro_level, pairs_to_reach(task_level), points, macro)


def _over_tasks(spreads: list[float], pairs: int, level: float) -> float:
    if len(spreads) == 1:
        return minimum_detectable_effect(spreads[0], pairs, level)
    errors = [sd / math.sqrt(pairs) for sd in spreads]
    attainable = attainable_level(pairs * len(errors), level)
    if pairs < 2 or attainable <= 0:
        return math.inf
    mean = macro_estimate([Estimate(0.0, error, pairs - 1.0) for error in errors])
    return mean.se * detectable_in_se(mean.df, attainable)
