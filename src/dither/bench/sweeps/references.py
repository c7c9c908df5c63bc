"""Which value of a setting is better: the arms of one method beside one of them."""

from dither.bench.compare import BASELINE, Comparison, against
from dither.bench.plans.settings import full_settings
from dither.bench.sweeps.curves import CurvePoint, curves, told_apart
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
            reference = next(filter(_is_default, names), names[0])
            analysis = against(comparison, reference, names)
            found[reference] = curves(analysis, plan, told_apart(plan))
    return found


def _is_default(arm: str) -> bool:
    """Whether an arm has its method's own values of what its name sets."""
    default = full_settings(base_of(arm), {})
    return all(default.get(key) == value for key, value in settings_of(arm).items())
