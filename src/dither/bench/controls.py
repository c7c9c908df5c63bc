"""Controls of the measuring itself: does plain fine-tuning repeat itself, and what do other seeds alone do?

Neither says anything about a method. A determinism check (`none-again`) repeats plain fine-tuning with the
same seeds and must give the same scores and losses; it is no test, so it enters no family of tests. An A/A
test (`none-other-seeds`) is plain against plain under other seeds; what it resolves is a false alarm.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence

from dither.bench.tasks.variations import base_of
from dither.methods.registry import FORMER, MethodInfo, available_methods
from dither.results import RunResult
from dither.results.environments import differences
from dither.stats import Analysis

ALARMS = ("NOT DETERMINISTIC", "FALSE ALARM")
"""How sentences begin that nobody may overlook."""

SHOWN = 3  # runs that are named where some do not repeat


def is_repeat(arm: str) -> bool:
    """Whether an arm repeats plain fine-tuning with the same seeds.

    Example:
        >>> [is_repeat(arm) for arm in ("none-again", "aa", "none-other-seeds", "not of ours")]
        [True, True, False, False]
    """
    row = _row(arm)
    return row is not None and row.repeats


def has_no_effect(arm: str) -> bool:
    """Whether an arm is plain fine-tuning itself, under the same seeds or others: there is nothing to find.

    Example:
        >>> [has_no_effect(arm) for arm in ("none-other-seeds", "none-again", "pats", "not of ours")]
        [True, True, False, False]
    """
    row = _row(arm)
    return row is not None and (row.repeats or row.other_seeds)


def _row(arm: str) -> MethodInfo | None:
    """The row of an arm; None for one of a folder that another version of dither made."""
    name = base_of(arm)
    return available_methods().get(FORMER.get(name, name))


def determinism(results: Sequence[RunResult], baseline: str) -> tuple[list[str], list[str]]:
    """What the runs that repeat plain fine-tuning tell.

    Args:
        results: of all runs.
        baseline: the arm of plain fine-tuning.

    Returns:
        A sentence for each such arm whose runs are those of plain fine-tuning, and a warning for each other.
    """
    plain = {(row.spec.task, row.spec.seed): row for row in results if row.spec.method == baseline}
    good, bad = [], []
    for arm in dict.fromkeys(row.spec.method for row in results if is_repeat(row.spec.method)):
        again = [row for row in results if row.spec.method == arm]
        cells = [((row.spec.task, row.spec.seed), row) for row in again]
        pairs = [(plain[cell], row) for cell, row in cells if cell in plain]
        differing = [(one, other, text) for one, other in pairs if (text := difference(one, other))]
        if differing:
            bad.append(_warning(arm, baseline, len(pairs), differing))
        elif pairs:
            runs = f"all {len(pairs)} runs have" if len(pairs) > 1 else "its run has"
            good.append(
                f"{arm} (a determinism check, no test): {runs} the same scores and losses as {baseline}."
            )
    return good, bad


def _warning(
    arm: str, baseline: str, pairs: int, differing: Sequence[tuple[RunResult, RunResult, str]]
) -> str:
    shown = "; ".join(f"{one.spec.task}, seed {one.spec.seed} ({text})" for one, _, text in differing[:SHOWN])
    more = f"; {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    first = differing[0]
    causes = differences([first[0], first[1]])
    cause = " ".join(causes) or (
        "Machine and versions are recorded as the same, so look at what else differs (non-deterministic GPU "
        "kernels, other programs' libraries)."
    )
    return (
        f"NOT DETERMINISTIC: {arm} must repeat {baseline} to the last bit, and {len(differing)} of {pairs} "
        f"runs do not: {shown}{more}. A part of every difference in these tables comes from no method. "
        f"{cause}"
    )


def retrained(results: Sequence[RunResult]) -> list[str]:
    """A warning for each training that was made more than once, for some tasks later, with other losses."""
    first: dict[str, RunResult] = {}
    found = []
    for row in results:
        if row.training is None:
            continue
        known = first.setdefault(row.training["id"], row)
        step = None if known.started == row.started else first_difference(known, row)
        if step is not None:
            cause = " ".join(differences([known, row]))
            found.append(
                f"NOT DETERMINISTIC: {row.spec} stands on the same training as {known.spec.task}, which was "
                f"made once more for it, and the losses differ from step {step} on. {cause}".rstrip()
            )
    return found


def difference(one: RunResult, other: RunResult) -> str:
    """What differs in two runs that must be identical: losses, score and metrics; empty for nothing."""
    told = []
    step = first_difference(one, other)
    if step is not None:
        told.append(f"losses differ from step {step} on")
    if repr(one.score) != repr(other.score):
        told.append(f"score {_points(other.score)} instead of {_points(one.score)}")
    elif json.dumps(one.metrics, sort_keys=True) != json.dumps(other.metrics, sort_keys=True):
        told.append("other metrics")
    return ", ".join(told)


def first_difference(one: RunResult, other: RunResult) -> int | None:
    """The step at which the logged losses of two runs begin to differ; None where they are the same."""
    ours, theirs = (_losses(run) for run in (one, other))
    steps = sorted(ours.keys() | theirs.keys())
    return next((step for step in steps if ours.get(step) != theirs.get(step)), None)


def _losses(run: RunResult) -> Mapping[int, str]:
    """By step; as text, since a NaN equals itself there."""
    found: dict[int, str] = {}
    for row in run.history:
        numbers = [repr(row[key]) for key in ("loss", "grad_norm", "train_loss") if key in row]
        found[row.get("step", 0)] = " ".join([found.get(row.get("step", 0), ""), *numbers])
    return found


def _points(score: float | None) -> str:
    return "none" if score is None else f"{score:.4f}"


def other_seeds(analysis: Analysis) -> list[str]:
    """What plain fine-tuning under other seeds tells: the noise of seeds on each task, and false alarms."""
    arms = [arm for arm in analysis.methods if (row := _row(arm)) is not None and row.other_seeds]
    return [text for arm in arms for text in (*_noise(analysis, arm), *_false_alarms(analysis, arm))]


def _noise(analysis: Analysis, arm: str) -> Iterator[str]:
    rows = [row for row in analysis.all_runs.comparisons if row.method == arm]
    pooled = {row.task: math.hypot(row.method_sd, row.baseline_sd) / math.sqrt(2) for row in rows}
    known = [f"{sd:.2f} on {task}" for task, sd in pooled.items() if math.isfinite(sd)]
    if known:
        yield (
            f"{arm} is plain fine-tuning under other seeds of order, head and dropout: there is no effect to "
            "find. Seed noise, standard deviation over the seeds of both arms, in points: "
            f"{', '.join(known)}."
        )


def _false_alarms(analysis: Analysis, arm: str) -> Iterator[str]:
    table = analysis.all_runs
    found = [f"on {row.task}" for row in table.comparisons if row.method == arm and row.verdict.resolved]
    found += [
        "over all tasks"
        for row in table.macros
        if row.method == arm and row.verdict.resolved and len(row.tasks) > 1
    ]
    if found:
        yield (
            f"FALSE ALARM: {arm} is resolved {', '.join(found)}, and both arms are plain fine-tuning. At a "
            f"level of {analysis.rule.alpha:g} a family of tests does so in up to "
            f"{100 * analysis.rule.overall:.3g} % of comparisons; this is one of them."
        )
