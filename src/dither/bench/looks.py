"""Which looks at a folder's results there were, which are due, and what a look sees.

A look sees the *complete seeds*: those at the beginning of the plan of which every task has every arm. Later
seeds that are complete too wait for the others, since which runs end early may depend on what they do.
"""

from collections.abc import Collection, Iterable, Sequence

from dither.bench.controls import has_no_effect, is_repeat
from dither.bench.tasks.variations import by_variation
from dither.results import Experiment, Extension, Ledger, Look, RunResult
from dither.stats import Analysis, LookedAt
from dither.stats.rule import Rule
from dither.stats.spending import looks_until_resolved

BASELINE = "none"
DECIDED = ("better", "worse", "equivalent", "identical")


def whole_seeds(experiment: Experiment, cells: Collection[tuple[str, str, int]]) -> int:
    """How many of the planned seeds, from the first on, have all their runs.

    Args:
        experiment: the plan.
        cells: (task, method, seed) of each run that is there.

    Example:
        >>> plan = Experiment(
        ...     kind="compare", model="m", model_digest="m1", threads=1, dtype="float32", recipe_version=1,
        ...     tasks={"a": {"task_digest": "t", "data_digest": "d"}}, methods={"none": {}},
        ...     train_settings={}, seeds=(0, 1, 2),
        ... )
        >>> whole_seeds(plan, [("a", "none", 0), ("a", "none", 2)])
        1
    """
    for number, seed in enumerate(experiment.seeds):
        if not all((task, arm, seed) in cells for task in experiment.tasks for arm in experiment.methods):
            return number
    return len(experiment.seeds)


def cells_of(results: Iterable[RunResult]) -> set[tuple[str, str, int]]:
    """(task, method, seed) of runs."""
    return {(row.spec.task, row.spec.method, row.spec.seed) for row in results}


def history(ledger: Ledger) -> tuple[LookedAt, ...]:
    """The looks that a ledger remembers, oldest first.

    A peek of a dither that did not store what it saw counts as one at as many complete seeds as its runs
    could have made.
    """
    plan, extensions = ledger.experiment, ledger.extensions
    seen = [_looked_at(look, at, plan, extensions) for at, look in enumerate(ledger.looks)]
    return tuple(look for look in seen if look is not None)


def _looked_at(look: Look, at: int, plan: Experiment, extensions: Sequence[Extension]) -> LookedAt | None:
    if look.complete is not None:
        return LookedAt(look.complete, look.most or look.planned, until_resolved=look.most is not None)
    if not look.peek:
        return LookedAt(look.planned, look.planned)
    later = [grown for grown in extensions if grown.looks > at]
    tasks = len(plan.tasks) - sum(len(grown.tasks) for grown in later)
    arms = len(plan.methods) - sum(len(grown.methods) for grown in later)
    whole = min(look.planned - 1, max(1, look.runs // max(1, tasks * arms)))
    return LookedAt(whole, look.planned) if whole else None


def due_looks(experiment: Experiment, *, alpha: float = Rule.alpha) -> tuple[int, ...]:
    """At how many complete seeds results are looked at: all planned ones, or every second until resolved.

    Args:
        experiment: the plan.
        alpha: the error rate.

    Returns:
        Numbers of seeds, rising; the last is the whole plan.
    """
    if not experiment.until_resolved:
        return (len(experiment.seeds),)
    looks = looks_until_resolved(len(experiment.seeds), alpha, primary_tests(experiment))
    return looks or (len(experiment.seeds),)


def primary_tests(experiment: Experiment) -> int:
    """How many averages over tasks a plan tests."""
    return tests_of(experiment.tasks, experiment.methods)


def tests_of(tasks: Iterable[str], methods: Iterable[str]) -> int:
    """How many averages over tasks are tested: those of each method over each variation of the tasks.

    Example:
        >>> tests_of(["glue/rte", "glue/cola"], ["none", "noisytune", "pats", "none-again"])
        2
    """
    arms = [name for name in methods if name != BASELINE and not is_repeat(name)]
    return max(1, len(arms) * len(by_variation(list(tasks))))


def present_look(experiment: Experiment, whole: int, *, peek: bool) -> LookedAt | None:
    """What may be looked at now; None where effects stay hidden.

    Args:
        experiment: the plan.
        whole: how many complete seeds there are.
        peek: look before it is due.
    """
    due = max((number for number in due_looks(experiment) if number <= whole), default=0)
    seeds = max(due, whole) if peek else due
    planned = len(experiment.seeds)
    return LookedAt(seeds, planned, until_resolved=experiment.until_resolved) if seeds else None


def is_new(now: LookedAt, before: Collection[LookedAt]) -> bool:
    """Whether a look sees what none before it saw, or is the verdict of its plan."""
    verdict = now.seeds == now.planned
    return now not in before and (verdict or now.seeds not in {look.seeds for look in before})


def verdict_to_come(experiment: Experiment) -> LookedAt:
    """The look at the whole plan."""
    planned = len(experiment.seeds)
    return LookedAt(planned, planned, until_resolved=experiment.until_resolved)


def is_decided(analysis: Analysis) -> bool:
    """Whether every primary test has its answer: resolved, equivalent, or nothing to test.

    Plain fine-tuning under other seeds has no effect to find, so nobody waits for it.
    """
    rows = [row for row in analysis.all_runs.macros if row.method != analysis.baseline]
    waited_for = [row for row in rows if not has_no_effect(row.method)] or rows
    return all(row.verdict.kind in DECIDED for row in waited_for)
