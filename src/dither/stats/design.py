"""What a design can detect before its first run: pairs, tasks and methods are known, effects are not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dither.stats.power import minimum_detectable_effect
from dither.stats.rule import Rule
from dither.stats.signflip import pairs_to_reach


@dataclass(frozen=True)
class Detectable:
    """The smallest effects that a design finds four times out of five, at the levels that Holm leaves.

    Attributes:
        task_level: of one test among all tasks of all methods.
        macro_level: of one test among the methods' averages over the tasks of each group.
        task_pairs: how few seeds could be significant on one task.
        macro_pairs: how few seeds could be significant on average over the tasks.
        tasks: task -> points, infinite where no p can be small enough.
        macro: points, over the tasks of a group: the greatest of all groups.
    """

    task_level: float
    macro_level: float
    task_pairs: int
    macro_pairs: int
    tasks: Mapping[str, float]
    macro: float


def detectable(
    spreads: Mapping[str, float],
    *,
    pairs: int,
    methods: int,
    rule: Rule | None = None,
    groups: Sequence[Sequence[str]] | None = None,
    correlation: float = 0.0,
) -> Detectable:
    """What a design detects with 80 % power if all differences had these standard deviations.

    The level is that of the hardest test of a family: alpha over its number of tests, as Holm's method has
    it for the first of them.

    Args:
        spreads: task -> standard deviation of its paired differences, > 0; with 1 the result is in units of
            that deviation.
        pairs: seeds, >= 1.
        methods: that are compared with the baseline, >= 1.
        rule: level and looks.
        groups: the tasks that are averaged together; None for all tasks in one group.
        correlation: of a seed's differences between any two tasks of a group, in [0, 1]; see `macro_spread`.

    Example:
        >>> found = detectable({"rte": 1.0, "cola": 1.0}, pairs=9, methods=2)
        >>> round(found.tasks["rte"], 2), round(found.macro, 2)
        (1.41, 0.88)
        >>> detectable({"rte": 1.0}, pairs=5, methods=1).tasks["rte"]
        inf
    """
    rule = rule or Rule()
    sets = [list(spreads)] if groups is None else groups
    task_level, macro_level = rule.level_of(methods * len(spreads)), rule.level_of(methods * len(sets))
    points = {name: minimum_detectable_effect(sd, pairs, task_level) for name, sd in spreads.items()}
    widest = max(macro_spread([spreads[name] for name in names], correlation) for names in sets)
    spendable = rule.alpha * rule.share / methods  # all looks together, the last one included
    return Detectable(
        task_level,
        macro_level,
        pairs_to_reach(spendable / len(spreads)),
        pairs_to_reach(spendable / len(sets)),
        points,
        minimum_detectable_effect(widest, pairs, macro_level),
    )


def macro_spread(spreads: Sequence[float], correlation: float = 0.0) -> float:
    """Standard deviation over seeds of the mean difference of k tasks.

        SD² = ( Σ_t σ_t² + 2 ρ Σ_{t<u} σ_t σ_u ) / k²

    The tasks of a seed share noise, data order and often the training itself, so ρ is not 0 as a rule; it is
    not known before runs exist. With ρ = 1 the average is as uncertain as one task.

    Args:
        spreads: the k tasks' standard deviations σ_t, points, >= 0.
        correlation: ρ, in [0, 1].

    Returns:
        Points.

    Raises:
        ValueError: no task, or a correlation outside [0, 1].

    Example:
        >>> macro_spread([1.0, 1.0, 1.0, 1.0]), round(macro_spread([1.0, 1.0, 1.0, 1.0], 0.5), 3)
        (0.5, 0.791)
    """
    if not spreads:
        raise ValueError("the mean over no task has no spread; name at least one task")
    if not 0 <= correlation <= 1:
        raise ValueError(f"correlation must lie in [0, 1], got {correlation!r}")
    squares, total = math.fsum(sd**2 for sd in spreads), math.fsum(spreads)
    return math.sqrt((1 - correlation) * squares + correlation * total**2) / len(spreads)
