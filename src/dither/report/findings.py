"""The answer in sentences: what is resolved, how sure that is, and what would make it surer."""

import math
import re
from collections.abc import Sequence

from dither.report.content import Column, Finding, Table
from dither.report.values import finite
from dither.stats import Analysis, MacroAverage, pairs_needed
from dither.stats.effect import Effect
from dither.stats.formats import interval_text, signed

_SURER = (
    Column("method", "method"),
    Column("difference", "difference seen, points", "+.2f"),
    Column("detectable", "difference that these seeds detect, points", ".2f"),
    Column("planned", "seeds planned", "d"),
    Column("needed", "seeds that detect the one seen, were it the true one, at the next look", "d"),
)
_NAME = re.compile(r"^(resolved: (better|worse)|not resolved|incomplete|no verdict)(; |: |$)")
ALIKE_AT_MOST = 3
"""More methods with the same verdict share a sentence."""

LABELS = {
    "better": "better",
    "worse": "worse",
    "equivalent": "no relevant difference",
    "identical": "identical",
    "not resolved": "not resolved",
    "out of reach": "not resolved",
    "incomplete": "incomplete",
    "no score": "no verdict",
    "none": "no verdict",
}
"""Kinds of verdicts in the words of the page."""


def findings(analysis: Analysis) -> tuple[Finding, ...]:
    """A sentence for each method and group of tasks: does it help here, and how sure is that?

    Args:
        analysis: of all runs.
    """
    macros = [row for row in analysis.all_runs.macros if row.method != analysis.baseline]
    if not macros:
        return (Finding("none", "nothing to compare", "These are runs of plain fine-tuning alone."),)
    kinds = dict.fromkeys(LABELS[row.verdict.kind] for row in macros)
    alike = {label: [row for row in macros if LABELS[row.verdict.kind] == label] for label in kinds}
    found: list[Finding] = []
    for label, rows in alike.items():
        many = len(rows) > ALIKE_AT_MOST
        found += [_together(label, rows)] if many else [_finding(row, analysis) for row in rows]
    return tuple(found)


def _together(label: str, rows: Sequence[MacroAverage]) -> Finding:
    """One sentence for many methods with the same verdict."""
    known = [row for row in rows if math.isfinite(row.difference)]
    text = f"{len(rows)} averages over tasks: {label}."
    if known:
        low, high = (pick(known, key=lambda row: row.difference) for pick in (min, max))
        text += (
            f" They reach from {signed(low.difference)} ({_subject(low)}) to "
            f"{signed(high.difference)} points ({_subject(high)}, interval {interval_text(high.interval)}); "
            "of many differences the largest and the smallest are far apart by chance alone."
        )
    return Finding(rows[0].verdict.kind, label, text)


def surer(analysis: Analysis) -> Table | None:
    """What it would take to resolve what is not: seeds for the difference that was seen; None for nothing.

    Args:
        analysis: of all runs.
    """
    rows = []
    next_look = analysis.rule.after_more_seeds()  # whoever adds seeds now has looked
    for row in analysis.all_runs.macros:
        if row.verdict.kind not in ("not resolved", "out of reach") or row.pairs < 2 or not row.difference:
            continue
        level = next_look.level_of(max(1, row.tests))
        try:
            needed: int | None = pairs_needed(row.difference_sd, row.difference, level)
        except ValueError:
            needed = None  # more than a million, or no spread to go by
        rows.append(
            {
                "method": _subject(row),
                "difference": finite(row.difference),
                "detectable": finite(row.detectable),
                "planned": len(analysis.planned_seeds),
                "needed": needed,
            }
        )
    title = "What would make us surer: seeds that detect a difference four times out of five"
    return Table("surer", title, _SURER, tuple(rows)) if rows else None


def _subject(row: MacroAverage) -> str:
    return f"{row.method} ({row.group})" if row.group else row.method


def _finding(row: MacroAverage, analysis: Analysis) -> Finding:
    subject = _subject(row)
    same = "scores" if row.unit == "pair" else "average scores"
    answers = {
        "better": f"{subject} helps here",
        "worse": f"{subject} hurts here",
        "equivalent": f"{subject} makes no difference that matters here",
        "identical": f"{subject} gives the very {same} of {baseline_name(analysis)}",
    }
    answer = answers.get(row.verdict.kind, f"Whether {subject} helps here is open")
    known = f": {_size(row, analysis)}" if math.isfinite(row.difference) else ""
    return Finding(row.verdict.kind, LABELS[row.verdict.kind], f"{answer}{known}.{_reason(row.verdict.text)}")


def _size(row: MacroAverage, analysis: Analysis) -> str:
    """The difference, how sure it is, and of how many pairs."""
    single = len(row.tasks) == 1
    where = f"on {row.tasks[0]}" if single else f"on average over {len(row.tasks)} tasks"
    sure = f"{100 * analysis.rule.confidence:.4g} % interval {interval_text(row.interval)}"
    sure = sure if math.isfinite(row.interval[0]) else "no interval from so few seeds"
    pairs = f"{row.pairs} {row.unit}{'s' * (row.pairs != 1)}"
    return f"{signed(row.difference)} points {where} ({sure}, {pairs})"


def _reason(verdict: str) -> str:
    """What a verdict says beyond its name, as a sentence.

    Example:
        >>> _reason("not resolved; this design can detect 1.4 points"), _reason("resolved: better")
        (' This design can detect 1.4 points.', '')
    """
    rest = _NAME.sub("", verdict)
    return f" {rest[0].upper()}{rest[1:]}." if rest else ""


def family_size(rows: Sequence[Effect]) -> int:
    """How many tests the family of some effects holds, which Holm's method adjusts for."""
    return max((row.tests for row in rows), default=0)


def baseline_name(analysis: Analysis) -> str:
    """What the others are compared with, in words."""
    return "plain fine-tuning" if analysis.baseline == "none" else analysis.baseline


def how_to_read(analysis: Analysis, *, summed: bool = False) -> str:
    """What dots and bars are, and the rule by which something is resolved.

    Args:
        analysis: of all runs.
        summed: whether some picture shows where the middle of the seeds lies in place of dots.
    """
    rule = analysis.rule
    family = family_size(analysis.all_runs.macros)
    tests = f"{family} test{'s' * (family != 1)}, Holm-adjusted"
    text = (
        f"Points against {baseline_name(analysis)}, paired by seed: a dot is one seed, a bar the "
        f"{100 * rule.confidence:.4g} % interval of the mean difference. "
    )
    if summed:
        text += (
            "Where dots would be too many, a thick grey bar shows where the middle 50 % of the seeds lie, "
            "and a thin one the middle 80 %. "
        )
    if len(analysis.tasks) > 1:
        adjusted = f" ({tests})" if family else ""
        text += (
            f"The average over tasks is the primary answer{adjusted}: a seed counts with its mean difference "
            "over them. The tasks are a second family of tests. "
        )
    elif family:
        text += f"There {'is' if family == 1 else 'are'} {tests}. "
    text += "“Resolved” needs a Holm-adjusted sign-flip p below the level and an interval without 0."
    if rule.margin is not None:
        text += f" Differences within ±{rule.margin:g} points were declared to be of no interest."
    if rule.cost_of_looks:
        text += f" {rule.cost_of_looks}"
    return text
