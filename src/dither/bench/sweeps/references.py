"""Which value of a setting is better: the arms of one method beside one of them."""

from collections.abc import Sequence

from dither.bench.compare import BASELINE, Comparison, against
from dither.bench.sweeps.curves import CurvePoint, curves, told_apart
from dither.bench.sweeps.grid import defaults_of, usual
from dither.bench.tasks.variations import base_of, settings_of


def beside_references(comparison: Comparison) -> dict[str, tuple[CurvePoint, ...]]:
    """Every other arm of a method beside its reference, for each method with several arms.

    The reference is the arm with the method's default values, else the first. Each method is a family of
    tests of its own.

    Args:
        comparison: what a folder tells, from `look`.

    Returns:
        Reference -> the points of the others, over the tasks of each variation.
    """
    plan = comparison.experiment
    assert plan is not None, "a comparison from `look` has its experiment"
    arms: dict[str, list[str]] = {}
    for name in plan.methods:
        if name != BASELINE:
            arms.setdefault(base_of(name), []).append(name)
    found = {}
    for names in arms.values():
        if len(names) > 1:
            reference = _reference(names)
            analysis = against(comparison, reference, names)
            found[reference] = curves(analysis, plan, told_apart(plan))
    return found


def _reference(arms: Sequence[str]) -> str:
    """Of arms of one method; what all of them set alike tells none from the others."""
    settings = {arm: settings_of(arm) for arm in arms}
    alike = set.intersection(*(set(own.items()) for own in settings.values()))
    points = {arm: dict(own.items() - alike) for arm, own in settings.items()}
    return usual(points, *defaults_of(base_of(arms[0]))) or arms[0]
