"""Families of tests: Holm's adjustment, what remains detectable under it, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from dither.stats.effect import Effect
from dither.stats.multiplicity import holm
from dither.stats.power import detectable_in_sd
from dither.stats.rule import Rule
from dither.stats.verdict import decide

AnyEffect = TypeVar("AnyEffect", bound=Effect)


def judge(effects: Sequence[AnyEffect], rule: Rule) -> tuple[AnyEffect, ...]:
    """Adjust one family of tests by Holm's method and decide each.

    The family is everything in the plan, so that a verdict does not change its price while runs come in: a
    comparison whose runs are missing or have no score counts as a test with p = 1. The baseline beside itself
    and comparisons that are all ties are outside; they can never be rejected. The equivalence tests are a
    family of their own over the same comparisons.

    Args:
        effects: the comparisons of one family.
        rule: level, margin and looks.

    Returns:
        The effects in the same order, with adjusted p values, detectable effect and verdict.

    Example:
        >>> judge([], Rule())
        ()
    """
    counted = [i for i, e in enumerate(effects) if e.counted]
    adjusted, floors, within = (_adjusted(effects, counted, p) for p in ("p", "p_floor", "p_equivalence"))
    out = []
    for i, effect in enumerate(effects):
        if effect.complete:
            effect = replace(
                effect,
                tests=len(counted) if effect.counted else 0,
                p_holm=adjusted.get(i, 1.0),
                p_holm_floor=floors.get(i, 1.0),
                p_equivalence_holm=within.get(i, math.nan) if rule.margin is not None else math.nan,
                detectable=_detectable(effect, rule.level_of(len(counted))) if effect.counted else math.nan,
            )
        out.append(replace(effect, verdict=decide(effect, rule)))
    return tuple(out)


def _adjusted(effects: Sequence[Effect], counted: Sequence[int], name: str) -> dict[int, float]:
    """Holm-adjusted values of one field over the counted effects; what cannot be tested yet enters with 1."""
    values = [getattr(effects[i], name) if effects[i].complete else math.nan for i in counted]
    return dict(zip(counted, holm([p if math.isfinite(p) else 1.0 for p in values]), strict=True))


def _detectable(effect: Effect, level: float) -> float:
    """Minimum detectable effect at 80 % power, points; NaN without a standard error."""
    if not math.isfinite(effect.se):
        return math.nan
    shift = detectable_in_sd(effect.pairs, level, untied=effect.untied) * math.sqrt(effect.pairs)
    return effect.se * shift if math.isfinite(shift) else math.inf
