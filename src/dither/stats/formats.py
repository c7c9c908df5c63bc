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
    """A difference with its sign, in points; what rounds to nothing is positive.

    Example:
        >>> signed(-0.5), signed(-1e-15)
        ('-0.50', '+0.00')
    """
    return number(value, "+z.2f")


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
    """A p value: three decimals, or two digits where it is smaller than 0.01, since levels get small.

    Example:
        >>> p_text(0.0625), p_text(0.00391), p_text(0.00003)
        ('0.062', '0.0039', '3e-05')
    """
    return number(value, ".3f" if value >= 0.01 else ".2g")


def duration(seconds: float) -> str:
    """Two units at most.

    Example:
        >>> duration(4.2), duration(75), duration(8000), duration(400000)
        ('4 s', '1 min 15 s', '2 h 13 min', '4 d 15 h')
    """
    whole = round(seconds)
    for name, length, below, part in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            return f"{whole // length} {name} {whole % length // part} {below}"
    return f"{whole} s"


def run_counts(tasks: Sequence[object], methods: Sequence[str], seeds: Sequence[int]) -> str:
    """How many runs there are, and of what.

    Example:
        >>> run_counts(["glue/rte"], ["none", "pats"], [0, 1, 2])
        '1 task × 2 arms × 3 seeds = 6 runs'
    """
    sizes = {"task": len(tasks), "arm": len(methods), "seed": len(seeds)}
    counts = " × ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in sizes.items())
    return f"{counts} = {len(tasks) * len(methods) * len(seeds)} runs"


def seed_ranges(seeds: Sequence[int]) -> str:
    """Seeds as users type them.

    Example:
        >>> seed_ranges((0, 1, 2, 7))
        '0-2, 7'
    """
    spans: list[list[int]] = []
    for seed in sorted(seeds):
        if spans and seed == spans[-1][-1] + 1:
            spans[-1].append(seed)
        else:
            spans.append([seed])
    return ", ".join(str(s[0]) if len(s) == 1 else f"{s[0]}-{s[-1]}" for s in spans)
