"""What commands with a plan of many runs share: the plan of their options, and making its runs."""

import argparse
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dither.cli import options

if TYPE_CHECKING:
    from dither.bench.effort import Effort
    from dither.bench.executors import Executor
    from dither.bench.plans.plan import Plan


def plan_asked(args: argparse.Namespace) -> "Plan":
    """The plan of a command with the options of `dither.cli.options.add_runs`."""
    from dither.bench.plans.settings import parse_settings

    seeds = options.seeds(args)
    methods, train = parse_settings(args.settings, options.methods(args))
    plan = plan_of(args, options.tasks(args), methods, seeds, model=args.model, train_settings=train)
    return replace(plan, max_seeds=getattr(args, "max_seeds", None))


def plan_of(
    args: argparse.Namespace,
    tasks: Sequence[str],
    methods: Mapping[str, dict[str, Any]],
    seeds: Sequence[int],
    *,
    model: str,
    train_settings: Mapping[str, Any],
) -> "Plan":
    """The plan that the options ask for, loaded and checked."""
    from dither.bench.plans.plan import Plan

    return Plan.create(
        tasks,
        model,
        methods,
        seeds,
        train_settings=train_settings,
        threads=args.threads,
        dtype=args.dtype,
        data_dir=args.data_dir,
        languages=options.languages(args),
    )


def make_missing(
    args: argparse.Namespace, plan: "Plan", *, kind: str, executor: "Executor | None"
) -> "Effort | None":
    """Make the runs that the output folder does not hold yet, with progress on standard error."""
    from dither.bench.recording import make_runs

    with shown(args, plan, kind=kind, executor=executor) as execution:
        return make_runs(plan, args.out, margin=args.margin, kind=kind, **execution)


def tell_shortage(args: argparse.Namespace, plan: "Plan", *, kind: str) -> None:
    """Say before the first run when so few seeds can resolve nothing, and how many could; nothing after it.

    Raises:
        LedgerError: the folder belongs to another experiment, or is damaged.
    """
    from dither.bench.group import Group
    from dither.bench.plans.matching import with_stored
    from dither.bench.plans.prospect import finished_runs, shortage

    if Group.here().leads:
        made = set(finished_runs(plan, args.out, kind, args.margin))
        names, until = [task.name for task in plan.tasks], plan.max_seeds is not None
        short = shortage(names, list(plan.methods), plan.seeds, args.out, until_resolved=until)
        known = with_stored(plan, args.out).provisional()
        if short and not made >= {request.spec.id for request in known.requests()}:
            print(short, file=sys.stderr, flush=True)


def tell_of_page(args: argparse.Namespace) -> None:
    """Say how to have the page of what was printed; nothing in JSON."""
    if not args.json:
        print(f"The page of it: {shlex.join(['dither', 'report', args.out])}")


@contextmanager
def shown(
    args: argparse.Namespace, plan: "Plan", *, kind: str, executor: "Executor | None"
) -> Iterator[dict[str, Any]]:
    """Options of `make_runs` that say how runs are made, and that show them on the terminal."""
    from dither.cli.progress import run_progress, watches

    jobs = options.jobs(args)
    execution = {"jobs": jobs, "executor": executor}
    execution |= {"tensorboard": args.tensorboard, "command": args.command}
    if not watches(args):
        with run_progress() as progress:
            yield {**execution, **progress}
        return
    from dither.cli.watch import Place, watch

    place = Place.of(jobs, elsewhere=executor is not None)
    with watch(plan, kind=kind, place=place, peek=args.peek) as view:
        seen = {"progress": view.progress, "visit": view.visit, "pulses": view.folder, "say": view.say}
        yield execution | seen
