"""The verdict in words: one function decides, for a task and for the macro-average alike."""

from __future__ import annotations

import math

from dither.stats.effect import Effect, Kind, Verdict
from dither.stats.formats import p_text
from dither.stats.rule import Rule
from dither.stats.signflip import DRAWS, pairs_to_reach


def decide(effect: Effect, rule: Rule) -> Verdict:
    """Decide one comparison, Holm-adjusted and at the level of the look.

    In this order: no verdict while runs or scores are missing; identical scores; *resolved* when the adjusted
    sign-flip p is below alpha and the printed interval excludes 0; *no difference above the margin* when no
    run failed and the adjusted p of equivalence is below alpha; *not resolved yet* when the plan has more
    seeds; *cannot reach* when no outcome of so few pairs could have been resolved; else *not resolved*, with
    what the design can detect, and with the half of the evidence that was short when p and interval disagree.

    Args:
        effect: the comparison, Holm-adjusted.
        rule: what was declared.

    Returns:
        The verdict.

    Example:
        >>> from dither.stats import Score, analyse
        >>> scores = [Score("none", "rte", s, 60.0 + s) for s in range(5)]
        >>> scores += [Score("pats", "rte", s, 60.0 + 2 * s) for s in range(5)]
        >>> print(analyse(scores, planned_seeds=range(5)).all_runs.macro("pats").verdict.text)
        not resolved: 5 pairs, 1 of them tied, cannot reach p < 0.05 (at least 6 untied are needed)
    """
    undecided = _undecided(effect)
    if undecided:
        return undecided
    within = effect.p_equivalence_holm < rule.alpha
    bound = f"no difference above {rule.margin:g} point{'s' * (rule.margin != 1)}" if within else ""
    if effect.p_holm < rule.alpha and _excludes_zero(effect.interval):
        side: Kind = "better" if effect.difference > 0 else "worse"
        verdict = Verdict(side, f"resolved: {side}" + (f", but {bound}" if within else ""))
    elif within:
        verdict = Verdict("equivalent", bound)
    elif rule.present is not None and rule.interim:
        at_most = "at most " if rule.present.until_resolved else ""
        more = f"{rule.present.seeds} of {at_most}{rule.present.planned} planned seeds"
        verdict = Verdict("incomplete", f"not resolved yet: {more}")
    elif effect.p_holm_floor >= rule.alpha:
        verdict = Verdict("out of reach", f"not resolved: {_shortage(effect, rule)}")
    else:
        verdict = Verdict("not resolved", _unresolved(effect, rule))
    limits = _limits(effect, within=within) if rule.margin is not None else ""
    return Verdict(verdict.kind, verdict.text + limits + _circumstances(effect, rule))


def _undecided(effect: Effect) -> Verdict | None:
    """What stands in the way of a test."""
    if effect.missing:
        present = effect.planned - effect.missing
        return Verdict("incomplete", f"incomplete: {present} of {effect.planned} planned {effect.unit}s")
    if effect.scoreless:
        return Verdict(
            "no score",
            f"no verdict: a run without a score in {effect.scoreless} of {effect.pairs} {effect.unit}s, "
            "so the mean cannot be formed; give such runs the constant predictor's score, "
            "or see the table without failed runs",
        )
    if not math.isfinite(effect.difference):
        where = " for one of the tasks" if effect.pairs else ""
        return Verdict("none", f"no verdict: no pairs are left{where}{_circumstances(effect, Rule())}")
    if effect.identical:
        what = "scores" if effect.unit == "pair" else "average scores"
        count = f"the only {effect.unit}" if effect.pairs == 1 else f"all {effect.pairs} {effect.unit}s"
        return Verdict("identical", f"identical {what} in {count}")
    return None


def _excludes_zero(interval: tuple[float, float]) -> bool:
    """Whether 0 lies outside; never so without an interval."""
    return interval[0] > 0 or interval[1] < 0


def _shortage(effect: Effect, rule: Rule) -> str:
    """Why no outcome could have passed."""
    tied = effect.pairs - effect.untied
    having = f"{effect.pairs} {effect.unit}{'s' * (effect.pairs != 1)}" + (
        f", {tied} of them tied," if tied else ""
    )
    family = f" after Holm over {effect.tests} tests" if effect.tests > 1 else ""
    needed = pairs_to_reach(rule.alpha * rule.share / effect.tests)
    if needed <= effect.untied:  # then it is the number of draws that limits p
        return f"{DRAWS + 1} drawn signs cannot reach p < {rule.alpha:g}{family}"
    untied = " untied" if tied else ""
    return f"{having} cannot reach p < {rule.alpha:g}{family} (at least {needed}{untied} are needed)"


def _unresolved(effect: Effect, rule: Rule) -> str:
    """The default verdict, and what was short when p and interval disagree."""
    if math.isfinite(effect.detectable):
        design = f"; this design can detect {format_points(effect.detectable)} points"
    else:
        design = f"; these {effect.unit}s can only resolve it after other tests of the family"
    if effect.p_holm < rule.alpha:
        short = "includes 0" if math.isfinite(effect.interval[0]) else "cannot be formed from so few seeds"
        return f"not resolved: p = {p_text(effect.p_holm)} is low enough, but the interval {short}{design}"
    if _excludes_zero(effect.interval):
        adjusted = "Holm-adjusted p" if effect.tests > 1 else "sign-flip p"
        return (
            f"not resolved: the interval excludes 0, but the {adjusted} = {p_text(effect.p_holm)} "
            f"is not below {rule.alpha:g}{design}"
        )
    return f"not resolved{design}"


def _limits(effect: Effect, *, within: bool) -> str:
    """What a claim of equivalence leaves open, or why none is made after a failed run.

    With no failure in n runs, a rate of failures below 3 / n is not refuted (at 95 %).
    """
    if within:
        return f"; failures in fewer than {300 / effect.runs:.3g} % of runs cannot be excluded"
    if effect.failed or effect.dropped:
        return "; equivalence is not tested after a failed run"
    return ""


def _circumstances(effect: Effect, rule: Rule) -> str:
    """Dropped pairs and repeated looks, which every reader of the verdict must know."""
    if effect.unit == "pair":
        left_out = f"{effect.dropped} of {effect.planned} pairs dropped with a failed run"
    else:
        left_out = f"{effect.dropped} of {effect.planned} seeds lack a task, where a run failed"
    text = f"; {left_out}" if effect.dropped else ""
    return text + (f"; {rule.seen}, error rate over all looks below {rule.overall:g}" if rule.seen else "")


def format_points(value: float) -> str:
    """Points with one decimal, or with two digits when that would round them away.

    Args:
        value: points, >= 0.

    Returns:
        The text.

    Example:
        >>> format_points(1.64), format_points(0.034)
        ('1.6', '0.034')
    """
    return f"{value:.1f}" if value >= 0.1 or value == 0 else f"{value:.2g}"
