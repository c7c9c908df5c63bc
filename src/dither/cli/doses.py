"""The doses of a comparison in a few lines: which λ the arms have, and what it does."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dither.results import dose_rows
from dither.stats.formats import duration

if TYPE_CHECKING:
    from dither.bench.plans.estimate import Estimate
    from dither.bench.plans.plan import Plan

WORDS = {"matched": "equal functional dose", "energy": "equal energy"}
_SET = "λ as it was set"

Row = Mapping[str, Any]


def dose_lines(rows: Sequence[Row]) -> list[str]:
    """A line for the arms of equal functional dose, one for those of equal energy, one for the others.

    An arm that others are matched to stands with them.

    Args:
        rows: from `dither.results.dose_rows`.

    Example:
        >>> set_by_hand = {"task": "glue/rte", "d": 0.13, "reference": None}
        >>> found = {"task": "glue/rte", "d": 0.13, "reference": "noisytune, λ 0.15"}
        >>> dose_lines([
        ...     {**set_by_hand, "method": "noisytune", "asked": 0.15, "noise_lambda": 0.15},
        ...     {**found, "method": "pats", "asked": "matched", "noise_lambda": 0.356},
        ... ])
        ['equal functional dose: noisytune λ 0.15 (d 0.130), pats λ 0.356 (d 0.130)']
    """
    lines: dict[str, dict[str, list[Row]]] = {title: {} for title in (*WORDS.values(), _SET)}
    matched_to = {row["reference"] for row in rows if row["asked"] == "matched"}
    for row in rows:
        if row["d"] is not None:
            set_by_hand = not isinstance(row["asked"], str)
            is_reference = set_by_hand and f"{row['method']}, λ {row['noise_lambda']}" in matched_to
            title = WORDS.get("matched" if is_reference else str(row["asked"]), _SET)
            lines[title].setdefault(row["method"], []).append(row)
    return [
        f"{title}: {', '.join(_arm(name, own) for name, own in arms.items())}"
        for title, arms in lines.items()
        if arms
    ]


def dose_plan(plan: "Plan", found: "Estimate") -> dict[str, Any]:
    """What is known of the doses of a plan before its runs, as JSON values.

    Returns:
        `known`: rows of those in the ledger; `matched_first`: arms whose λ is found before the first run;
        `seconds`: that this, and measuring the others, takes about.
    """
    from dither.bench.plans.matching import estimated_seconds, unresolved

    steps = {row.task: min(row.step_seconds.values()) for row in found.tasks}
    return {
        "known": dose_rows(plan.experiment("plan")),
        "matched_first": unresolved(plan),
        "seconds": estimated_seconds(plan, steps),
    }


def dose_plan_lines(plan: "Plan", found: "Estimate") -> list[str]:
    """The same in sentences; none where nothing has a dose."""
    told = dose_plan(plan, found)
    lines = dose_lines(told["known"])
    if not told["seconds"]:
        return lines
    doses = "Functional doses are measured"
    if told["matched_first"]:
        doses = f"λ of {', '.join(told['matched_first'])} is matched by functional dose"
    return [*lines, f"{doses} before the first run: about {duration(told['seconds'])} more."]


def _arm(name: str, rows: Sequence[Row]) -> str:
    strength, d = (
        _span([row[key] for row in rows], form) for key, form in (("noise_lambda", "g"), ("d", ".3f"))
    )
    return f"{name} λ {strength} (d {d})"


def _span(values: Sequence[Any], form: str) -> str:
    """One number, or the least and the greatest; a λ of several patterns as it is."""
    if not all(isinstance(value, (int, float)) for value in values):
        return "by patterns"
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low}–{high}"
