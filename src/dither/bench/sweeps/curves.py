"""Curves: how the difference to plain fine-tuning changes with a setting, as rows for tables and charts.

    analysis + experiment  →  curves(...)  →  CurvePoint, CurvePoint, ...

A point is one arm over the tasks of one variation; which values it stands for is read from their names. So
it makes no matter whether a method's setting was swept (`pats@noise_lambda=0.1`), a recipe's
(`glue/rte@learning_rate=3e-05`) or the share of the data (`glue/rte@train_fraction=0.1`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from dither.bench.compare import BASELINE
from dither.bench.plans.settings import STRENGTH
from dither.bench.tasks.subset import Subset
from dither.bench.tasks.variations import base_of, settings_of, spelled
from dither.results import Experiment
from dither.stats import Analysis, Comparison, MacroAverage, Verdict


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """One point of a curve.

    Args:
        arm: the method, with what its name sets; the baseline where noise of strength 0 is meant.
        values: of the settings that were asked for, in their order; None for what the point does not have.
        tasks: that it is over, as they are named in the plan.
        rows: how many rows train in these tasks together; None where that is not known.
        pairs: that it rests on.
        mean: of the arm's scores, points: the mean of the tasks' means.
        baseline_mean: of plain fine-tuning in the same tasks, likewise.
        difference: mean paired difference, points.
        interval: of the difference.
        p: Holm-adjusted over the whole family.
        verdict: in words.
    """

    arm: str
    values: Mapping[str, Any]
    tasks: tuple[str, ...]
    rows: int | None
    pairs: int
    mean: float
    baseline_mean: float
    difference: float
    interval: tuple[float, float]
    p: float
    verdict: Verdict

    @property
    def line(self) -> str:
        """The arm without what `values` holds: the points of one curve over the same tasks share it."""
        rest = {key: value for key, value in settings_of(self.arm).items() if key not in self.values}
        return spelled(base_of(self.arm), rest)

    def to_json(self) -> dict[str, Any]:
        """The point as JSON values; NaN becomes None."""
        found = {**asdict(self), "line": self.line, "values": dict(self.values), "verdict": self.verdict.text}
        found["interval"] = [_finite(end) for end in self.interval]
        return {key: _finite(value) if isinstance(value, float) else value for key, value in found.items()}


def curves(
    analysis: Analysis,
    experiment: Experiment,
    settings: Sequence[str],
    *,
    zero: bool = False,
    by_task: bool = False,
) -> tuple[CurvePoint, ...]:
    """The points of every arm and variation, in the order of the plan's tasks, then of the values.

    Args:
        analysis: of all runs, from `look` or `against`.
        experiment: the plan that it is of.
        settings: whose values are the places of the points: of the method, the recipe or the subset.
        zero: let the baseline stand for noise of strength 0, as a point with difference 0.
        by_task: a point for each task; else one over all tasks of a variation, which are the primary answer.

    Example:
        >>> from dither.stats import Score, analyse
        >>> arm, task = "noisytune@noise_lambda=0.1", "glue/rte"
        >>> means = {"none": 60.0, arm: 61.0}
        >>> scores = [Score(name, task, seed, means[name]) for name in means for seed in (0, 1)]
        >>> plan = Experiment(
        ...     kind="sweep", model="m", model_digest="m1", threads=1, dtype="float32", recipe_version=1,
        ...     tasks={task: {"task_digest": "t", "data_digest": "d", "rows": {"train": 9}}},
        ...     methods={"none": {}, arm: {"noise_lambda": 0.1}}, train_settings={}, seeds=(0, 1),
        ... )
        >>> found = curves(analyse(scores, planned_seeds=(0, 1)), plan, ["noise_lambda"], zero=True)
        >>> [(point.values["noise_lambda"], point.difference) for point in found]
        [(0.0, 0.0), (0.1, 1.0)]
    """
    table = analysis.all_runs
    effects: Iterable[Comparison | MacroAverage] = table.comparisons if by_task else table.macros
    points = [
        _point(effect, analysis, experiment, settings)
        for effect in effects
        if effect.method != analysis.baseline or (zero and STRENGTH in settings)
    ]
    bases = list(dict.fromkeys(base_of(task) for task in experiment.tasks))
    return tuple(sorted(points, key=lambda point: _place(point, bases)))


def varied_settings(names: Iterable[str]) -> tuple[str, ...]:
    """The settings in which variations of the same task or method differ; none where none has several.

    Example:
        >>> varied_settings(["glue/rte@train_fraction=0.1", "glue/rte", "glue/cola@epochs=3"])
        ('train_fraction',)
    """
    known = list(names)
    several = [name for name in known if [base_of(other) for other in known].count(base_of(name)) > 1]
    return tuple(dict.fromkeys(key for name in several for key in settings_of(name)))


def told_apart(experiment: Experiment) -> tuple[str, ...]:
    """The settings in whose values arms of one method, or variations of one task, differ: those of curves.

    Example:
        >>> plan = Experiment(
        ...     kind="sweep", model="m", model_digest="m1", threads=1, dtype="float32", recipe_version=1,
        ...     tasks={"glue/rte": {"task_digest": "t", "data_digest": "d"}}, train_settings={}, seeds=(0,),
        ...     methods={"none": {}, "pats@beta=0.9": {"beta": 0.9}, "pats@beta=0.98": {"beta": 0.98}},
        ... )
        >>> told_apart(plan)
        ('beta',)
    """
    return tuple(dict.fromkeys((*varied_settings(experiment.methods), *varied_settings(experiment.tasks))))


def train_rows(experiment: Experiment, task: str) -> int | None:
    """How many rows train in a task of a plan; None where the plan does not say it.

    It goes by the names of the splits: `train`, else `train.<language>` together.
    """
    rows: Mapping[str, int] = experiment.tasks[task].get("rows", {})
    spoken = [count for split, count in rows.items() if split.startswith("train.")]
    return rows.get("train", sum(spoken) if spoken else None)


def _point(
    effect: Comparison | MacroAverage, analysis: Analysis, experiment: Experiment, settings: Sequence[str]
) -> CurvePoint:
    tasks = effect.tasks if isinstance(effect, MacroAverage) else (effect.task,)
    single = [analysis.all_runs.comparison(effect.method, task) for task in tasks]
    rows = [train_rows(experiment, task) for task in tasks]
    return CurvePoint(
        arm=effect.method,
        values=_values(effect.method, tasks[0], experiment, settings),
        tasks=tasks,
        rows=sum(count or 0 for count in rows) if None not in rows else None,
        pairs=effect.pairs,
        mean=math.fsum(one.method_mean for one in single) / len(single),
        baseline_mean=math.fsum(one.baseline_mean for one in single) / len(single),
        difference=effect.difference,
        interval=effect.interval,
        p=effect.p_holm,
        verdict=effect.verdict,
    )


def _values(arm: str, task: str, experiment: Experiment, settings: Sequence[str]) -> dict[str, Any]:
    """What the names say, else the method, the plan's recipe and the defaults of the subset."""
    plain = {STRENGTH: 0.0} if not experiment.methods.get(arm) else {}
    subset = {each.name: each.default for each in fields(Subset)}
    known = [settings_of(arm), settings_of(task), plain, experiment.methods.get(arm, {})]
    known += [experiment.train_settings, subset]
    return {key: next((one[key] for one in known if key in one), None) for key in settings}


def _place(point: CurvePoint, bases: Sequence[str]) -> tuple[Any, ...]:
    """Tasks as planned, then methods, then the values: what has none first, numbers rise, words come last."""
    values = [
        (value is not None, isinstance(value, str), 0 if value is None else value)
        for value in point.values.values()
    ]
    # Plain fine-tuning is strength 0 in the curve of every method, so it comes first.
    return bases.index(base_of(point.tasks[0])), point.line if point.arm != BASELINE else "", values


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
