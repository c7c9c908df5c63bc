"""`--plan`: what a comparison would run, how long it would take, and what it could tell."""

import argparse
import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dither.cli import options
from dither.cli.doses import dose_plan, dose_plan_lines
from dither.cli.tables import new_table, open_console, print_json, standard
from dither.stats.formats import duration, run_counts

if TYPE_CHECKING:
    from dither.bench.plans.estimate import Estimate
    from dither.bench.plans.plan import Plan
    from dither.bench.plans.prospect import MacroProspect, Prospect, Spread, Stopping
    from dither.bench.plans.timing import Timing

_HOW = (
    "How: the beginnings of {timed} runs were made and thrown away, {jobs} at a time as the runs will be: a "
    "few steps with plain training, noise before it and noise during it, and some evaluation, on samples of "
    "the data. {others}Decoding and scoring of predictions are not in it, nor what else the machine has to "
    "do then."
)
_SHOWN = 3  # untimed runs that are named
_BUSY = 1.5
"""So many times as long by the clock as on an idle machine is worth a sentence."""


def print_downloads(
    args: argparse.Namespace, tasks: Sequence[str], model: str, methods: Sequence[str], seeds: Sequence[int]
) -> bool:
    """Say what is not on this machine yet, if something is not: the plan then is one without times."""
    from dither.bench.data.downloads import downloads
    from dither.bench.plans.prospect import prospect
    from dither.bench.tasks.files import load_task

    loaded = [load_task(name) for name in tasks]
    missing = downloads(model, loaded, args.data_dir)
    if not missing:
        return False
    names, until = [task.name for task in loaded], _until_resolved(args)
    sight = prospect(names, methods, seeds, until_resolved=until)
    if args.json:
        needs = [{"what": row.what, "bytes": row.size} for row in missing]
        print_json(standard({"downloads": needs, "detectable": None if sight is None else _sight(sight)}))
        return True
    console = open_console()
    lines = [
        f"{run_counts(loaded, methods, seeds)} of {model}",
        "To be downloaded first, so nothing is timed:",
    ]
    for row in missing:
        size = "size not known: the Hub does not answer" if row.size is None else _size(row.size)
        lines.append(f"  {row.what} ({size})")
    lines += ["Fetch the model (`hf download NAME`), or give folders: --model DIR, --data-dir DIR.", ""]
    for text in (*lines, *prospect_lines(sight)):
        console.print(text, highlight=False, markup=False)
    return True


def print_plan(args: argparse.Namespace, plan: "Plan", *, kind: str, notes: Sequence[str] = ()) -> int:
    """Time the plan's runs and print what is to be expected; nothing is written.

    Args:
        args: of the command.
        plan: its plan.
        kind: of the experiment that the output folder is for.
        notes: what JSON says beside it.
    """
    from dither.bench.plans.estimate import estimate
    from dither.bench.plans.matching import with_stored
    from dither.bench.plans.prospect import finished_runs, prospect

    plan = with_stored(plan, args.out)
    recorded = finished_runs(plan, args.out, kind, args.margin)
    names, until = [task.name for task in plan.tasks], plan.max_seeds == len(plan.seeds)
    sight = prospect(names, list(plan.methods), plan.seeds, args.out, until_resolved=until)
    found = estimate(plan, jobs=options.jobs(args), recorded=recorded, progress=_say)
    if args.json:
        print_json(standard(_json(plan, found, sight, notes)))
        return 0
    console = open_console()
    there = f", of which {found.recorded} are recorded in {args.out}" if found.recorded else ""
    at_most = "at most " if plan.max_seeds is not None else ""
    runs = at_most + run_counts(plan.tasks, list(plan.methods), plan.seeds)
    console.print(f"{runs} of {plan.source.name}{there}", highlight=False, markup=False)
    for text in sharing_lines(plan, found):
        console.print(text, highlight=False, markup=False)
    console.print(_runs_table(found))
    console.print(
        f"Time: about {duration(found.seconds)} with {found.jobs} run{'s' * (found.jobs > 1)} at a time "
        f"({duration(found.run_seconds)} of runs).",
        highlight=False,
    )
    for text in dose_plan_lines(plan, found):
        console.print(text, highlight=False, markup=False)
    if args.executor == "ray":
        console.print("That is for this machine: no machine of the cluster was asked.", highlight=False)
    console.print(_processor(found), highlight=False)
    how = _HOW.format(timed=found.timed, jobs=found.jobs, others=_untimed(found.untimed))
    console.print(how, style="dim", highlight=False)
    console.print()
    for text in prospect_lines(sight):
        console.print(text, highlight=False, markup=False)
    return 0


def sharing_lines(plan: "Plan", found: "Estimate") -> list[str]:
    """How many trainings the runs stand on, and of which tasks; nothing where each run has its own."""
    if found.trainings == found.planned:
        return []
    groups = dict.fromkeys(tuple(one.spec.task for one in request.runs) for request in plan.trainings())
    shared = "; ".join(" + ".join(tasks) for tasks in groups if len(tasks) > 1)
    return [
        f"{found.trainings} trainings for {found.planned} runs: trained once, evaluated for each of {shared}"
    ]


def prospect_lines(sight: "Prospect | None") -> list[str]:
    """The smallest effects that a plan can detect, in sentences."""
    if sight is None:
        return ["Plain fine-tuning alone: there is nothing to detect."]
    each = next(iter(sight.in_sd.tasks.values()))
    if sight.shortage:
        return [sight.shortage, *(f"  {task}: {_spread(row)}" for task, row in sight.spreads.items())]
    lines = ["The smallest effects that this design resolves four times out of five, after Holm:"]
    if len(sight.in_sd.tasks) > sight.groups:
        where = "all tasks" if sight.groups == 1 else "the tasks of one variation"
        lines += [
            f"  over {where}: {_whole(row)} (level {sight.in_sd.macro_level:.2g})" for row in sight.macros
        ]
    if math.isinf(each):
        lines.append(
            f"  on one task: none, whatever its size: {sight.pairs} seeds cannot reach p < "
            f"{sight.in_sd.task_level:.2g}; that takes {sight.in_sd.task_pairs} seeds"
        )
    else:
        lines.append(f"  on one task: {_in_sd(each)} (level {sight.in_sd.task_level:.2g})")
    lines += _stopping_lines(sight.stopping) if sight.stopping else []
    for task, spread in sight.spreads.items():
        points = sight.points.get(task, math.inf)
        size = f"{points:.1f} points" if math.isfinite(points) else "out of reach"
        lines.append(f"  {task}: {size}; {_spread(spread)}")
    return lines


def _processor(found: "Estimate") -> str:
    """The processor's time, which other work on the machine hardly changes."""
    text = f"Processor: {duration(found.processor_seconds)} of runs"
    if found.idle_seconds is None:
        return f"{text}; what the GPUs take is in the time above."
    alone = f"on an idle machine about {duration(found.idle_seconds)} by the clock"
    if found.seconds > _BUSY * found.idle_seconds:
        return f"{text}, {alone}. This machine is busy now, which the time above includes."
    return f"{text}, {alone}."


def _untimed(runs: Sequence[str]) -> str:
    if not runs:
        return ""
    named = "; ".join(runs[:_SHOWN]) + (f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else "")
    return f"For others there was no time, and they are reckoned from these by their tokens: {named}. "


def _stopping_lines(stopping: "Stopping") -> list[str]:
    """How a plan ends whose runs end once everything is decided."""
    if not stopping.looks:
        return ["  until resolved: never, so few seeds resolve nothing"]
    at = ", ".join(map(str, stopping.looks))
    found = "; ".join(
        f"{effect:g} SD in {100 * one.power:.0f} % of cases, {one.seeds:.1f} seeds on average"
        for effect, one in stopping.endings.items()
    )
    return [
        f"  until resolved: tests at {at} complete seeds, which end it: {found}; SD is that of the seeds' "
        "average differences over tasks",
    ]


def _spread(row: "Spread") -> str:
    return f"sd of the differences {row.sd:.2f} ({row.source})"


def _whole(row: "MacroProspect") -> str:
    """The smallest average over tasks, and what it stands on."""
    size = _in_sd(row.in_sd) if row.points is None else f"{row.points:.2f} points"
    if row.spread is not None:
        return f"{size}; sd of the seeds' averages {row.spread.sd:.2f} ({row.spread.source})"
    return f"{size} if a seed's differences correlate by {row.correlation:g} over tasks"


def _in_sd(value: float | None) -> str:
    return "not known" if value is None else f"{value:.2f} standard deviations of the paired differences"


def _until_resolved(args: argparse.Namespace) -> bool:
    return getattr(args, "seeds_until", None) is not None


def _say(timing: "Timing | None", done: int, total: int) -> None:
    text = f"{timing.task}, {timing.method}" if timing else "timing a few steps"
    print(f"[{done}/{total}] {text}", file=sys.stderr, flush=True)


def _runs_table(found: "Estimate") -> Any:
    table = new_table(None, ("task", "train rows", "steps", "evaluated", "step", "a run takes"))
    for row in found.tasks:
        steps = sorted(row.step_seconds.values())
        table.add_row(
            row.task,
            f"{row.rows:,}",
            f"{row.steps:,}",
            f"{row.evaluated:,}",
            _range(steps, lambda value: f"{1000 * value:.0f} ms"),
            _range(sorted(row.seconds.values()), duration),
        )
    return table


def _range(values: Sequence[float], write: Any) -> str:
    low, high = write(values[0]), write(values[-1])
    return low if low == high else f"{low} – {high}"


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e7 else f"{count / 1e6:.2f} MB"


def _json(plan: "Plan", found: "Estimate", sight: "Prospect | None", notes: Sequence[str]) -> dict[str, Any]:
    return {
        "model": plan.source.name,
        "methods": list(plan.methods),
        "seeds": list(plan.seeds),
        "notes": list(notes),
        **vars(found),
        "tasks": [vars(row) for row in found.tasks],
        "doses": dose_plan(plan, found),
        "detectable": None if sight is None else _sight(sight),
    }


def _stopping(stopping: "Stopping") -> dict[str, Any]:
    endings = [{"effect_in_sd": effect, **vars(one)} for effect, one in stopping.endings.items()]
    return {"looks": list(stopping.looks), "in_sd": stopping.smallest, "endings": endings}


def _sight(sight: "Prospect") -> dict[str, Any]:
    return {
        "pairs": sight.pairs,
        "task_level": sight.in_sd.task_level,
        "macro_level": sight.in_sd.macro_level,
        "task_in_sd": next(iter(sight.in_sd.tasks.values())),
        "shortage": sight.shortage,
        "macros": [vars(row) | {"spread": row.spread and vars(row.spread)} for row in sight.macros],
        "until_resolved": None if sight.stopping is None else _stopping(sight.stopping),
        "tasks": {
            name: {"sd": row.sd, "source": row.source, "points": sight.points.get(name)}
            for name, row in sight.spreads.items()
        },
    }
