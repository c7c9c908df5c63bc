"""`dither sweep`: noise strength and other settings over seeds, as a grid or as a search."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dither.cli import options
from dither.core.extras import require

if TYPE_CHECKING:
    from dither.bench.plans.plan import Plan
    from dither.bench.sweeps.parameters import Parameter

SUMMARY = "sweep noise strength and other settings over seeds"
DESCRIPTION = """\
Fine-tune a model under several values of a method's settings, paired by seed with plain fine-tuning.

A grid trains under every combination of the values and reports each of them, on the split that is
reported; so its best value is seen there, and its own interval is optimistic. With --search N, N trials
choose the values on a held-out slice of train, with seeds of their own, and the choice alone is then
reported on fresh seeds. Finished runs are kept: the same command goes on where an interrupted one was."""
EPILOG = """\
examples:
  dither sweep builtin/sentiment --model builtin --method noisytune \\
      --param noise_lambda=0,0.05,0.1,0.15,0.2,0.3 --seeds 0-8 --out runs/lambda
  dither sweep glue/rte --model ./my-encoder --data-dir ./data --method pats \\
      --param noise_lambda=0.1,0.2 --param beta=0.85,0.98 \\
      --reference noise_lambda=0.1,beta=0.85 --out runs/pats
  dither sweep glue/rte --model ./my-encoder --data-dir ./data --method noisytune \\
      --param noise_lambda=0.1,0.2 --param train.learning_rate=2e-5,5e-5 --out runs/rates
  dither sweep glue/rte glue/cola --model ./my-encoder --data-dir ./data --method pats \\
      --param noise_lambda=0.05..0.4,log --param beta=0.5..0.995 --search 20 --seeds 0-8 --out runs/search
"""
_SEARCH_SEEDS, _HELD_OUT = "100-102", 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    options.add_tasks(parser)
    options.add_model(parser)
    parser.add_argument(
        "--method",
        required=True,
        metavar="NAME",
        help="whose settings are swept, see `dither methods`; settings in its name, as in pats@gamma=2, stay",
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        required=True,
        metavar="WHAT=VALUES",
        dest="params",
        help="a setting of the method, or train.SETTING of training, and its values: noise_lambda=0.1,0.2; "
        "with --search also a range: noise_lambda=0.05..0.4 or noise_lambda=0.01..1,log. May be given often; "
        "noise_lambda 0 is plain fine-tuning and takes no runs of its own",
    )
    parser.add_argument(
        "--seeds",
        default="0-8",
        metavar="SEEDS",
        help="of the report, such as 0-8 or 0,3,7-9 (default: %(default)s)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder, new or of this sweep")
    parser.add_argument(
        "--reference",
        metavar="VALUE",
        help="of a grid: the value that the others are compared with beside plain fine-tuning, as 0.15 or "
        "noise_lambda=0.1,beta=0.98 (default: the method's default where the grid has it, else the first)",
    )
    _add_search(parser)
    options.add_plan(parser)
    options.add_watch(parser)
    options.add_data(parser)
    options.add_settings(parser)
    options.add_execution(parser)
    options.add_output(parser)
    parser.set_defaults(margin=None)


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--search",
        type=int,
        metavar="N",
        help="choose the values by N trials on a held-out slice of train, then report the choice "
        "(needs dither[sweep])",
    )
    parser.add_argument(
        "--search-seeds",
        metavar="SEEDS",
        help=f"of the trials, none of them in --seeds (default: {_SEARCH_SEEDS})",
    )
    parser.add_argument(
        "--held-out",
        type=float,
        metavar="SHARE",
        help=f"of train, which the trials are evaluated on (default: {_HELD_OUT:g})",
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="a database for the trials, as sqlite:////folder/study.db or postgresql://host/name (default: a "
        "file in OUT/search); a password in it is neither printed nor kept",
    )


def run(args: argparse.Namespace) -> int:
    """Make the missing runs of a grid or a search, print what they tell."""
    require("bench", args.parser.prog)
    from dither.bench.plans.names import spelled_arm
    from dither.bench.sweeps.parameters import parse_parameters
    from dither.cli.progress import watches

    method = spelled_arm(args.method)
    watches(args)
    parameters = parse_parameters(args.params, method)
    if args.search is None:
        for option in ("search_seeds", "held_out", "storage"):
            if getattr(args, option) is not None:
                name = option.replace("_", "-")
                raise ValueError(f"--{name} is for --search; add that, or leave --{name} out")
        return _grid(args, method, parameters)
    if args.plan:
        raise ValueError("--plan is for a grid: what a search runs depends on what it finds")
    if args.reference is not None:
        raise ValueError(
            "--reference is for a grid: a search reports its choice beside plain fine-tuning alone"
        )
    return _search(args, method, parameters)


def _grid(args: argparse.Namespace, method: str, parameters: "tuple[Parameter, ...]") -> int:
    from dither.bench.compare import BASELINE, look
    from dither.bench.group import Group
    from dither.bench.plans.settings import parse_seeds
    from dither.bench.sweeps.grid import KIND, Grid
    from dither.cli.estimates import print_downloads, print_plan
    from dither.cli.runs import make_missing, tell_of_page, tell_shortage
    from dither.cli.sweeps import print_grid

    grid = Grid(method, parameters)
    reference = grid.reference(args.reference)
    tasks, arms = grid.tasks(options.tasks(args)), (BASELINE, *grid.arms)
    executor = None if args.plan else options.executor(args)
    if args.plan and print_downloads(args, tasks, args.model, arms, parse_seeds(args.seeds)):
        return 0
    plan = _plan(args, tasks, arms)
    if args.plan:
        return print_plan(args, plan, kind=KIND)
    tell_shortage(args, plan, kind=KIND)
    effort = make_missing(args, plan, kind=KIND, executor=executor)
    if Group.here().leads:
        print_grid(look(args.out), grid, reference, effort=effort, as_json=args.json)
        tell_of_page(args)
    return 0


def _search(args: argparse.Namespace, method: str, space: "tuple[Parameter, ...]") -> int:
    from dither.bench.compare import BASELINE, look
    from dither.bench.plans.settings import parse_seeds, parse_settings
    from dither.bench.sweeps.rules import check_search, search_tasks
    from dither.bench.sweeps.search import KIND, Search, check_out, run_search
    from dither.bench.sweeps.storage import require_optuna
    from dither.cli.progress import run_progress
    from dither.cli.runs import make_missing, tell_of_page, tell_shortage
    from dither.cli.sweeps import print_search
    from dither.results import Ledger

    seeds = parse_seeds(args.search_seeds or _SEARCH_SEEDS)
    check_search(method, space, args.search, seeds=parse_seeds(args.seeds), search_seeds=seeds)
    require_optuna()
    names = options.tasks(args)
    plan = _plan(args, names, (BASELINE, method))
    share = _HELD_OUT if args.held_out is None else args.held_out
    held = _plan(args, search_tasks(names, plan.tasks, share), (method,), seeds=seeds)
    search = Search(held, space, args.search, share)
    check_out(args.out, plan)
    if not Ledger.exists(args.out):
        tell_shortage(args, plan, kind=KIND)  # of the report, before the trials
    executor = options.executor(args)
    with run_progress() as progress:
        selection = run_search(
            search,
            args.out,
            storage=args.storage,
            jobs=options.jobs(args),
            executor=executor,
            **progress,
        )
    methods, _ = parse_settings(args.settings, (BASELINE, selection.chosen.arm))
    report = replace(plan, methods=methods)
    effort = make_missing(args, report, kind=KIND, executor=executor)
    primary = {task.name: task.primary for task in plan.tasks}
    print_search(look(args.out), selection, primary, effort, as_json=args.json)
    tell_of_page(args)
    return 0


def _plan(
    args: argparse.Namespace,
    tasks: Sequence[str],
    arms: Sequence[str],
    *,
    seeds: Sequence[int] | None = None,
) -> "Plan":
    """The plan of some arms on some tasks; the seeds are the report's unless given."""
    from dither.bench.plans.settings import parse_seeds, parse_settings
    from dither.cli.runs import plan_of

    methods, train = parse_settings(args.settings, arms)
    seeds = parse_seeds(args.seeds) if seeds is None else seeds
    return plan_of(args, tasks, methods, seeds, model=args.model, train_settings=train)
