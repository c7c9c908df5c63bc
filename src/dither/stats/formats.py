"""How numbers stand in sentences and tables: a dash where there is none."""

import math
from collections.abc import Sequence


def number(value: float, form: str) -> str:
    """A number in a form such as ".1f".

    Example:
        >>> number(1.25, "+.1f"), number(float("nan"), ".1f")
        ('+1.2', '–')
    """
    return format(value, form) if math.isfinite(value) else "–"


def signed(value: float) -> str:
    """A difference with its sign, in points."""
    return number(value, "+.2f")


def interval_text(interval: Sequence[float]) -> str:
    """Both ends with their signs.

    Example:
        >>> interval_text((-0.5, 1.25))
        '-0.50 … +1.25'
    """
    low, high = interval
    return f"{signed(low)} … {signed(high)}" if math.isfinite(low) else "–"


def spread(mean: float, deviation: float) -> str:
    """A mean and the standard deviation over seeds.

    Example:
        >>> spread(64.04, 1.26), spread(64.04, float("nan"))
        ('64.0 ±1.3', '64.0')
    """
    if math.isnan(mean):
        return "–"
    return f"{mean:.1f}" if math.isnan(deviation) else f"{mean:.1f} ±{deviation:.1f}"


def p_text(value: float) -> str:
    """Three decimals."""
    return number(value, ".3f")
