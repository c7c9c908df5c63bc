"""What the verdicts of a plan can tell: the smallest effects that it detects, before or between its runs."""

import math
import tomllib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from dither.bench.compare import BASELINE, look
from dither.bench.controls import is_repeat
from dither.bench.experiments.reproduction import comparable
from dither.bench.looks import history
from dither.bench.plans.plan import Plan
from dither.bench.tasks.variations import by_variation
from dither.results import Ledger
from dither.stats import Comparison, LookedAt, MacroAverage
from dither.stats.design import Detectable, detectable, macro_spread
from dither.stats.formats import seed_ranges
from dither.stats.power import minimum_detectable_effect
from dither.stats.rule import Rule
from dither.stats.signflip import p_floor, pairs_to_reach
from dither.stats.spending import looks_until_resolved
from dither.stats.stopping import Ending, ending, smallest_effect

Key = TypeVar("Key", bound=Hashable)
_FEWEST = 3  # pairs that an estimate of their spread needs
CORRELATIONS = (0.0, 0.5)
"""Of a seed's differences over tasks, between which a plan is judged before it has runs."""
USUAL = 9
"""Seeds that are suggested where fewer would do."""


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
class MacroProspect:
    """The smallest average over tasks that a plan resolves, under one assumption on how tasks go together.

    Attributes:
        correlation: of a seed's differences over tasks; None where their averages were recorded.
        in_sd: in standard deviations of the paired differences, were those equal on all tasks; None where
            recorded.
        points: where the spreads are known, else None.
        spread: of the seeds' average differences, where it is known.
    """

    correlation: float | None
    in_sd: float | None
    points: float | None
    spread: Spread | None


@dataclass(frozen=True)
class Prospect:
    """The smallest effects that a plan resolves four times out of five.

    Attributes:
        pairs: of each task.
        methods: beside plain fine-tuning.
        in_sd: the same in standard deviations of the paired differences, were those equal on all tasks and
            independent over them.
        spreads: task -> its spread, where something is known of it.
        points: task -> points, where its spread is known.
        macros: over the tasks that are averaged together: one from recorded seeds, else one for each of
            `CORRELATIONS`.
        groups: how many such averages a method has: one, or one for each variation of its tasks.
        shortage: that so few seeds can resolve nothing, and what would help; "" where they can.
        stopping: where runs end once everything is decided; None for a plan of fixed seeds.
    """

    pairs: int
    methods: int
    in_sd: Detectable
    spreads: Mapping[str, Spread]
    points: Mapping[str, float]
    macros: tuple[MacroProspect, ...]
    groups: int
    shortage: str
    stopping: Stopping | None = None


def prospect(
    tasks: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    out: str | Path | None = None,
    *,
    until_resolved: bool = False,
) -> Prospect | None:
    """The smallest effects of a plan; None where it compares nothing.

    Spreads come from the folder's own runs, of three pairs at least; else from reported seed noise s, as
    √2 · s: arms of one seed as if they were independent, which pairing mostly improves on. How the tasks of a
    seed go together is not known before there are runs, so the average over them stands there twice.

    Args:
        tasks: their names, as in the tables.
        methods: all arms.
        seeds: of the plan.
        out: the plan's folder, which need not be there.
        until_resolved: runs end once everything is decided, at the last of the seeds at the latest.

    Example:
        >>> found = prospect(["glue/rte", "glue/mrpc"], ["none", "noisytune"], range(9))
        >>> [(row.correlation, round(row.points, 1)) for row in found.macros]
        [(0.0, 2.4), (0.5, 2.7)]
        >>> prospect(["glue/rte"], ["none", "noisytune"], range(5)).in_sd.tasks["glue/rte"]
        inf
    """
    others = _tested(methods)
    if not others:
        return None
    groups = tuple(by_variation(tasks).values())
    own, whole, before = _recorded(out) if out is not None else ({}, {}, ())
    rule, pairs = _rule(before, len(seeds), until_resolved=until_resolved), len(seeds)
    spreads = {name: own.get(name) or _reported(name) for name in tasks}
    known = {name: spread for name, spread in spreads.items() if spread is not None}
    design = partial(detectable, pairs=pairs, methods=others, rule=rule, groups=groups)
    in_sd = design(dict.fromkeys(tasks, 1.0))
    if until_resolved:  # tests on single tasks are made at the same looks
        due = looks_until_resolved(pairs, rule.alpha, others * len(groups)) or (pairs,)
        one = smallest_effect(_until(due), rule.alpha / (others * len(tasks)))
        in_sd = replace(in_sd, tasks=dict.fromkeys(tasks, one))
    sds = {name: spread.sd for name, spread in known.items()}
    points = {name: sd * in_sd.tasks[name] for name, sd in sds.items() if sd > 0}
    tests = others * len(groups)
    stopping = _stopping(pairs, rule.alpha, tests) if until_resolved else None

    def detects(sd: float) -> float:
        return stopping.smallest * sd if stopping else minimum_detectable_effect(sd, pairs, in_sd.macro_level)

    if set(map(frozenset, groups)) <= whole.keys():
        widest = max((whole[frozenset(names)] for names in groups), key=lambda spread: spread.sd)
        macros = [MacroProspect(None, None, detects(widest.sd), widest)]
    else:
        full = len(sds) == len(tasks)
        macros = [
            MacroProspect(
                rho,
                detects(_widest(dict.fromkeys(tasks, 1.0), groups, rho)),
                detects(_widest(sds, groups, rho)) if full else None,
                None,
            )
            for rho in CORRELATIONS
        ]
    short = _shortage(seeds, tests, rule)
    return Prospect(pairs, others, in_sd, known, points, tuple(macros), len(groups), short, stopping)


def _widest(sds: Mapping[str, float], groups: Sequence[Sequence[str]], correlation: float) -> float:
    """Standard deviation of the average over tasks that has the greatest."""
    return max(macro_spread([sds[name] for name in names], correlation) for names in groups)


def _stopping(most: int, alpha: float, tests: int) -> Stopping:
    at = looks_until_resolved(most, alpha, tests)
    looks = _until(at or (most,))
    endings = {effect: ending(effect, looks, alpha / tests) for effect in SHOWN_EFFECTS}
    return Stopping(at, smallest_effect(looks, alpha / tests), endings)


def _until(looks: Sequence[int]) -> list[LookedAt]:
    return [LookedAt(seeds, looks[-1], until_resolved=True) for seeds in looks]


def shortage(
    tasks: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    out: str | Path | None = None,
    *,
    until_resolved: bool = False,
) -> str:
    """That a plan has too few seeds to resolve anything, and what would help; "" where it has enough.

    Args:
        tasks: as for `prospect`, like the others.
        methods: likewise.
        seeds: likewise.
        out: likewise; looks at its runs lower the level.
        until_resolved: likewise.

    Example:
        >>> shortage(["glue/rte"], ["none", "pats"], range(5))  # doctest: +NORMALIZE_WHITESPACE
        '5 seeds can resolve nothing: no p can be below 0.0625, and it must be below 0.05. At least 6 seeds
        can: add some before anything is looked at, with --seeds 0-8.'
    """
    tests = _tested(methods) * len(by_variation(tasks))
    before = _looks(out) if out is not None else ()
    return _shortage(seeds, tests, _rule(before, len(seeds), until_resolved=until_resolved)) if tests else ""


def _rule(before: Sequence[LookedAt], planned: int, *, until_resolved: bool) -> Rule:
    """The rule of the verdict to come, after the looks so far."""
    last = LookedAt(planned, planned, until_resolved=until_resolved)
    return Rule(looks=(*(one for one in before if one != last), last))


def _shortage(seeds: Sequence[int], tests: int, rule: Rule) -> str:
    """Whether no average over tasks could be resolved by so many seeds, whatever came out."""
    spendable, n = rule.alpha * rule.share, len(seeds)
    level = spendable / tests
    needed = pairs_to_reach(level)
    if n >= needed:
        return ""
    over = f" ({spendable:.3g} over {tests} tests)" if tests > 1 else ""
    enough = max(USUAL, needed)
    more = [seed for seed in range(enough + n) if seed not in seeds]
    some = "--seeds " + seed_ranges([*seeds, *more[: enough - n]]).replace(" ", "")
    if rule.present is not None and rule.present.until_resolved:
        some = f"--max-seeds {enough}"
    return (
        f"{n} seed{'s' * (n != 1)} can resolve nothing: no p can be below {p_floor(n):.3g}, and it must be "
        f"below {level:.3g}{over}. At least {needed} seeds can: add some before anything is looked at, "
        f"with {some}."
    )


def _tested(methods: Sequence[str]) -> int:
    """How many arms are tested: all but plain fine-tuning and what only repeats it."""
    return sum(name != BASELINE and not is_repeat(name) for name in methods)


def _looks(out: str | Path) -> tuple[LookedAt, ...]:
    """The looks at a folder so far."""
    if not Ledger.exists(out):
        return ()
    with Ledger.read(out) as ledger:
        return history(ledger)


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


def _recorded(
    out: str | Path,
) -> tuple[dict[str, Spread], dict[frozenset[str], Spread], tuple[LookedAt, ...]]:
    """Spreads of tasks and of averages over tasks from the runs of a folder, and the looks at them so far."""
    looks = _looks(out)
    if not Ledger.exists(out):
        return {}, {}, looks
    with Ledger.read(out) as ledger:
        if not len(ledger) or BASELINE not in ledger.experiment.methods:
            return {}, {}, looks
    table = look(out, record=False).analysis.all_runs
    single = _gathered((row.task, row) for row in table.comparisons)
    whole = _gathered((frozenset(row.tasks), row) for row in table.macros)
    return (
        {task: _pooled(rows, "pairs") for task, rows in single.items()},
        {names: _pooled(rows, "averages of seeds") for names, rows in whole.items()},
        looks,
    )


def _gathered(rows: Iterable[tuple[Key, Comparison | MacroAverage]]) -> dict[Key, list[tuple[float, int]]]:
    """Squared deviations with their degrees of freedom, of all methods."""
    squares: defaultdict[Key, list[tuple[float, int]]] = defaultdict(list)
    for key, row in rows:
        if row.method != BASELINE and row.pairs >= _FEWEST and math.isfinite(row.difference_sd):
            squares[key].append((row.difference_sd**2, row.pairs - 1))
    return squares


def _pooled(rows: list[tuple[float, int]], what: str) -> Spread:
    freedom = sum(df for _, df in rows)
    sd = math.sqrt(sum(square * df for square, df in rows) / freedom)
    return Spread(sd, f"{freedom + len(rows)} recorded {what}")


def _reported(task: str) -> Spread | None:
    low, high = _noise().get(comparable(task), (0.0, 0.0))
    return Spread(math.sqrt(2) * high, f"√2 × seed noise of {low:g}–{high:g}") if high else None


@lru_cache(maxsize=1)
def _noise() -> dict[str, tuple[float, float]]:
    table = tomllib.loads((Path(__file__).parent / "seed_noise.toml").read_text(encoding="utf-8"))
    return {task: (float(low), float(high)) for task, (low, high) in table.items()}
