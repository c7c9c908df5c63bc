"""The whole analysis: scores of runs in, tables with verdicts out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from dither.stats.comparison import compare
from dither.stats.families import judge
from dither.stats.formats import seed_ranges
from dither.stats.macro import average
from dither.stats.pairs import Pairs, pair_up
from dither.stats.rule import Rule
from dither.stats.scores import Score, check_known, check_unique, planned, split_sizes
from dither.stats.spending import LookedAt
from dither.stats.tables import Analysis, Table

_Grid = list[list[Pairs]]


def analyse(
    scores: Iterable[Score],
    *,
    baseline: str = "none",
    planned_seeds: Sequence[int],
    planned_methods: Sequence[str] | None = None,
    planned_tasks: Sequence[str] | None = None,
    alpha: float = 0.05,
    margin: float | None = None,
    looks: int | Sequence[LookedAt] = 1,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Analysis:
    """Compare every method with the baseline, paired by seed.

    Two families of tests, each held at the level of the look by Holm's method:

    * primary: the macro-averages of all methods, over each group of tasks. "Does a method help on these
      tasks?" is answered here.
    * secondary: all tasks of all methods together. "Where?" is answered here, and since anyone may point at
      the best cell of the whole table, the whole table is the family.

    So each family claims something false in at most ``alpha`` of null experiments, both together in at most
    ``2 alpha``; with one task they are the same tests. The equivalence tests form the same two families once
    more. The sign-flip test rests on arms that are exchangeable within a pair, the interval on roughly normal
    differences; "resolved" needs both.

    A failed run that has a score counts with it in ``all_runs``, the decisive table; ``without_failed``
    leaves out the pairs in which either run failed. A run without a score (NaN) forbids the mean it would
    belong to: the comparison gets NaN and no verdict in ``all_runs``.

    Args:
        scores: one row per run, in any order.
        baseline: the method that the others are compared with.
        planned_seeds: the seeds of the plan; verdicts are for all of them, other seeds are listed and left
            out.
        planned_methods: the methods of the plan, which fix the size of the families; None for those found.
        planned_tasks: the tasks of the plan, likewise.
        alpha: error rate of the first look, in (0, 0.5).
        margin: margin of the equivalence test, points, > 0; None for no such test.
        looks: every look at these results, the present one, at all of `planned_seeds`, last; or how often
            verdicts have been read, this time included. See `Rule`.
        groups: the tasks that are averaged together, by a name for them; None for all tasks in one group. The
            primary family is methods × groups.

    Returns:
        The tables, the baseline beside itself included (all ties).

    Raises:
        ValueError: duplicated runs, an unknown baseline, an unplanned method or task, no seeds, no scores, a
            group of none, a last look that is not at the planned seeds.

    Example:
        >>> scores = [Score("none", "rte", s, 60.0 + s) for s in range(9)]
        >>> scores += [Score("pats", "rte", s, 61.0 + s + s % 3) for s in range(9) if s != 4]
        >>> analysis = analyse(scores, planned_seeds=range(9))
        >>> analysis.all_runs.macro("pats").verdict.text, analysis.notes
        ('incomplete: 8 of 9 planned pairs', ('pats on rte: seed 4 is in one arm alone',))
    """
    rule = Rule(alpha=alpha, margin=margin, looks=looks if isinstance(looks, int) else tuple(looks))
    rows = list(scores)
    check_unique(rows)
    seeds = _seeds(planned_seeds)
    if rule.present is not None and rule.present.seeds != len(seeds):
        raise ValueError(
            f"the present look is at {rule.present.seeds} seeds, but planned_seeds has {len(seeds)}; give "
            "the seeds that are looked at, in the order of the plan"
        )
    methods = planned(planned_methods, (s.method for s in rows), what="methods")
    tasks = planned(planned_tasks, (s.task for s in rows), what="tasks")
    if not methods or not tasks:
        raise ValueError("there are no scores; without runs, name planned_methods and planned_tasks")
    check_known(baseline, methods, what="baseline")
    methods = (baseline, *(m for m in methods if m != baseline))
    arms: defaultdict[tuple[str, str], dict[int, Score]] = defaultdict(dict)
    for row in rows:
        arms[row.method, row.task][row.seed] = row
    grid = [
        [pair_up(arms[m, t], arms[baseline, t], seeds, names=(m, baseline, t)) for t in tasks]
        for m in methods
    ]
    sizes = split_sizes(rows)
    sets = _groups(groups, tasks)
    all_runs = _table("all runs", grid, sizes, rule, sets)
    without_failed = replace(all_runs, title="without failed runs")
    if any(row.failed for row in rows):
        clean = [[pairs.without_failed() for pairs in line] for line in grid]
        without_failed = _table(without_failed.title, clean, sizes, rule, sets)
    return Analysis(
        baseline=baseline,
        methods=methods,
        tasks=tasks,
        planned_seeds=seeds,
        rule=rule,
        all_runs=all_runs,
        without_failed=without_failed,
        notes=(
            *(note for line in grid for pairs in line for note in _notes(pairs)),
            *(
                note
                for line in grid
                for members in sets.values()
                for note in _uneven([line[t] for t in members])
            ),
        ),
    )


def _seeds(planned_seeds: Sequence[int]) -> tuple[int, ...]:
    seeds = tuple(int(seed) for seed in planned_seeds)
    if not seeds:
        raise ValueError("planned_seeds is empty; name the seeds that the comparison was planned with")
    if len(set(seeds)) != len(seeds):
        repeated = sorted({seed for seed in seeds if seeds.count(seed) > 1})
        raise ValueError(f"planned_seeds repeats {repeated}; each seed is one pair")
    return seeds


def _groups(groups: Mapping[str, Sequence[str]] | None, tasks: Sequence[str]) -> dict[str, list[int]]:
    """Where the tasks of each group stand in the plan."""
    named = {"": tasks} if groups is None else groups
    for name, members in named.items():
        for task in members:
            check_known(task, tasks, what=f"task in the group {name!r}")
        if not members:
            raise ValueError(f"the group {name!r} holds no task; leave it out")
    return {name: [tasks.index(task) for task in members] for name, members in named.items()}


def _table(title: str, grid: _Grid, sizes: dict[str, int], rule: Rule, groups: dict[str, list[int]]) -> Table:
    lines = [[compare(pairs, rule, sizes.get(pairs.task)) for pairs in line] for line in grid]
    macros = [
        average([line[at] for at in members], [compared[at] for at in members], rule, group)
        for line, compared in zip(grid, lines, strict=True)
        for group, members in groups.items()
    ]
    return Table(
        title=title,
        comparisons=judge([row for line in lines for row in line], rule),
        macros=judge(macros, rule),
    )


def _uneven(pairs: Sequence[Pairs]) -> list[str]:
    """Which seeds have some tasks of a group, but not all, and so no average; the baseline has its arms'."""
    if pairs[0].method == pairs[0].baseline:
        return []
    having = [{*task.seeds, *task.dropped} for task in pairs]
    some, notes = set.union(*having), []
    for task, own in zip(pairs, having, strict=True):
        if lost := some - own:
            seeds = seed_ranges(sorted(lost))
            who = f"seeds {seeds} have" if len(lost) > 1 else f"seed {seeds} has"
            notes.append(
                f"{task.method}: {who} no pair on {task.task}, and only a seed with all tasks has an average "
                "over them"
            )
    return notes


def _notes(pairs: Pairs) -> list[str]:
    """What would otherwise go unseen in one comparison; the baseline's own runs are noted once."""
    failed = pairs.baseline_failed if pairs.method == pairs.baseline else pairs.method_failed
    lost = [s for s, score in zip(pairs.seeds, pairs.method_scores, strict=True) if score != score]
    bad = [s for s, gone in zip(pairs.seeds, failed, strict=True) if gone and s not in lost]
    facts = (
        (bad, "failed; it counts with its score", "failed; they count with their scores"),
        (lost, "has no score, so no mean can be formed", "have no score, so no mean can be formed"),
        (pairs.unpaired, "is in one arm alone", "are in one arm alone"),
        (pairs.unplanned, "is not in the plan and was left out", "are not in the plan and were left out"),
    )
    where = f"{pairs.method} on {pairs.task}: "
    return [
        f"{where}seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))} {many if len(seeds) > 1 else one}"
        for seeds, one, many in facts
        if seeds
    ]
