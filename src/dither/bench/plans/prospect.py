"""What the verdicts of a plan can tell: the smallest effects that it detects, before or between its runs."""

import math
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from dither.bench.compare import BASELINE, look
from dither.bench.controls import is_repeat
from dither.bench.experiments.reproduction import comparable
from dither.bench.looks import history
from dither.bench.plans.plan import Plan
from dither.bench.tasks.variations import by_variation
from dither.results import Ledger
from dither.stats import LookedAt
from dither.stats.design import Detectable, detectable
from dither.stats.rule import Rule
from dither.stats.spending import looks_until_resolved
from dither.stats.stopping import Ending, ending, smallest_effect

_FEWEST = 3  # pairs that an estimate of their spread needs


@dataclass(frozen=True)
class Spread:
    """The standard deviation of the paired differences on a task, points, and where it is from."""

    sd: float
    source: str


SHOWN_EFFECTS = (0.5, 1.0, 1.5)
"""Effects over all tasks of which it is said how a plan ends, in standard deviations."""


@dataclass(frozen=True)
class Stopping:
    """How a plan ends whose runs end once every primary test is decided; for one test at its share of alpha.

    Attributes:
        looks: numbers of complete seeds; empty where so few seeds resolve nothing.
        smallest: the effect that is resolved four times out of five, in standard deviations.
        endings: effect in standard deviations -> how often it is resolved, and after how many seeds.
    """

    looks: tuple[int, ...]
    smallest: float
    endings: Mapping[float, Ending]


@dataclass(frozen=True)
class Prospect:
    """The smallest effects that a plan resolves four times out of five.

    Attributes:
        pairs: of each task.
        methods: beside plain fine-tuning.
        in_sd: the same in standard deviations of the paired differences, were those equal on all tasks.
        spreads: task -> its spread, where something is known of it.
        points: task -> points, where its spread is known.
        macro: points over the tasks that are averaged together, where all spreads are known, else None.
        groups: how many such averages a method has: one, or one for each variation of its tasks.
        stopping: where runs end once everything is decided; None for a plan of fixed seeds.
    """

    pairs: int
    methods: int
    in_sd: Detectable
    spreads: Mapping[str, Spread]
    points: Mapping[str, float]
    macro: float | None
    groups: int
    stopping: Stopping | None = None


def prospect(
    tasks: Sequence[str],
    methods: Sequence[str],
    pairs: int,
    out: str | Path | None = None,
    *,
    until_resolved: bool = False,
) -> Prospect | None:
    """The smallest effects of a plan; None where it compares nothing.

    Spreads come from the folder's own runs, of three pairs at least; else from reported seed noise s, as
    √2 · s: arms of one seed as if they were independent, which pairing mostly improves on.

    Args:
        tasks: their names, as in the tables.
        methods: all arms.
        pairs: seeds.
        out: the plan's folder, which need not be there.
        until_resolved: runs end once everything is decided, and `pairs` is their maximum.

    Example:
        >>> found = prospect(["glue/rte", "glue/mrpc"], ["none", "noisytune"], 5)
        >>> found.in_sd.tasks["glue/rte"], round(found.macro, 1)
        (inf, 3.6)
    """
    others = len([name for name in methods if name != BASELINE and not is_repeat(name)])
    if not others:
        return None
    own, before = _recorded(out) if out is not None else ({}, ())
    rule = Rule(looks=(*before, LookedAt(pairs, pairs, until_resolved=until_resolved)))
    spreads = {name: own.get(name) or _reported(name) for name in tasks}
    known = {name: spread for name, spread in spreads.items() if spread is not None}
    groups = tuple(by_variation(tasks).values())
    design = partial(detectable, pairs=pairs, methods=others, rule=rule, groups=groups)
    in_sd = design(dict.fromkeys(tasks, 1.0))
    sds = {name: spread.sd for name, spread in known.items()}
    whole = design(sds).macro if len(sds) == len(tasks) else None
    points = {name: sd * in_sd.tasks[name] for name, sd in sds.items() if sd > 0}
    stopping = _stopping(pairs, rule.alpha, others * len(groups)) if until_resolved else None
    return Prospect(pairs, others, in_sd, known, points, whole, len(groups), stopping)


def _stopping(most: int, alpha: float, tests: int) -> Stopping:
    at = looks_until_resolved(most, alpha, tests)
    looks = [LookedAt(seeds, most, until_resolved=True) for seeds in at or (most,)]
    endings = {effect: ending(effect, looks, alpha / tests) for effect in SHOWN_EFFECTS}
    return Stopping(at, smallest_effect(looks, alpha / tests), endings)


def finished_runs(plan: Plan, out: str | Path | None, kind: str, margin: float | None) -> list[str]:
    """Identities of the runs that a folder holds; none where there is no ledger.

    Raises:
        LedgerError: the folder belongs to another experiment, or is damaged.
    """
    if out is None or not Ledger.exists(out):
        return []
    with Ledger.read(out) as ledger:
        ledger.require(plan.experiment(kind, margin=margin))
        return ledger.finished_ids()


def _recorded(out: str | Path) -> tuple[dict[str, Spread], tuple[LookedAt, ...]]:
    """Spreads from the runs of a folder, and the looks at them so far."""
    if not Ledger.exists(out):
        return {}, ()
    with Ledger.read(out) as ledger:
        looks = history(ledger)
        if not len(ledger) or BASELINE not in ledger.experiment.methods:
            return {}, looks
    squares: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)
    for row in look(out, record=False).analysis.all_runs.comparisons:
        if row.method != BASELINE and row.pairs >= _FEWEST and math.isfinite(row.difference_sd):
            squares[row.task].append((row.difference_sd**2, row.pairs - 1))
    return {task: _pooled(rows) for task, rows in squares.items()}, looks


def _pooled(rows: list[tuple[float, int]]) -> Spread:
    freedom = sum(df for _, df in rows)
    sd = math.sqrt(sum(square * df for square, df in rows) / freedom)
    return Spread(sd, f"{freedom + len(rows)} recorded pairs")


def _reported(task: str) -> Spread | None:
    low, high = _noise().get(comparable(task), (0.0, 0.0))
    return Spread(math.sqrt(2) * high, f"√2 × seed noise of {low:g}–{high:g}") if high else None


@lru_cache(maxsize=1)
def _noise() -> dict[str, tuple[float, float]]:
    table = tomllib.loads((Path(__file__).parent / "seed_noise.toml").read_text(encoding="utf-8"))
    return {task: (float(low), float(high)) for task, (low, high) in table.items()}
