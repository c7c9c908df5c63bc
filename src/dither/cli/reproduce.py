"""`dither reproduce`: an experiment of a paper on any model, its figures beside ours."""

import argparse
from typing import TYPE_CHECKING

from dither.cli import options
from dither.core.extras import require

if TYPE_CHECKING:
    from dither.bench.effort import Effort
    from dither.bench.experiments.reproduction import Reproduction
    from dither.bench.plans.plan import Plan

SUMMARY = "run an experiment of a paper, its figures beside ours"
DESCRIPTION = """\
Run an experiment of the NoisyTune or PATS paper on a model of yours: its tasks, arms and number of seeds,
compared as `dither compare` does it. What was published stands beside what came out; neither is a test of
the other. Without a name the experiments are listed; one of your own is a TOML file.

--plan says before anything starts what would run, how long it would take on this machine, and the smallest
effect that could be seen."""
EPILOG = """\
examples:
  dither reproduce --list
  dither reproduce noisytune-glue --plan --out runs/glue
  dither reproduce noisytune-glue --model ./bert-base-uncased --data-dir ./data --out runs/glue
  dither reproduce noisytune-lambda --model builtin --tasks builtin/sentiment --seeds 0-1 --out runs/lambda
  dither reproduce my-experiment.toml --out runs/mine
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument(
        "experiment", nargs="?", metavar="EXPERIMENT", help="its name, or a TOML file; none lists them"
    )
    parser.add_argument("--list", action="store_true", help="list the experiments")
    options.add_model(parser, otherwise="the experiment's")
    parser.add_argument(
        "--tasks",
        metavar="NAMES",
        help="comma-separated, instead of the experiment's: some of them, or others like builtin/sentiment",
    )
    parser.add_argument(
        "--seeds", default=None, metavar="SEEDS", help="such as 0-8 or 0,3,7-9 (default: the experiment's)"
    )
    parser.add_argument("--out", metavar="DIR", help="output folder, new or of this reproduction")
    options.add_plan(parser)
    options.add_watch(parser)
    options.add_data(parser)
    options.add_settings(parser)
    options.add_execution(parser)
    options.add_margin(parser)
    options.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """List the experiments, or plan one, or make its missing runs and print the tables."""
    require("bench", args.parser.prog)
    if args.list or args.experiment is None:
        return _list(args)
    from dither.bench.experiments.files import load_reproduction
    from dither.bench.group import Group
    from dither.bench.plans.settings import checked_recipe, parse_seeds, parse_settings
    from dither.cli.estimates import print_downloads, print_plan
    from dither.cli.progress import watches
    from dither.cli.runs import make_missing, plan_of, tell_of_page, tell_shortage
    from dither.stats import Rule

    Rule(margin=args.margin)  # bad options are found before the runs
    watches(args)
    experiment = load_reproduction(args.experiment)
    if args.out is None and not args.plan:
        raise ValueError("--out is missing: name the output folder; or --plan, which writes nothing")
    names, notes = _tasks(args, experiment)
    if notes and not args.json:
        print(*notes, sep="\n")
    model = args.model or experiment.model
    seeds = parse_seeds(experiment.seeds if args.seeds is None else args.seeds)
    methods, train = parse_settings(args.settings, experiment.methods)
    train = {**checked_recipe(experiment.recipe), **train}
    executor = None if args.plan else options.executor(args)
    if args.plan and print_downloads(args, names, model, experiment.methods, seeds):
        return 0
    plan = plan_of(args, names, methods, seeds, model=model, train_settings=train)
    kind = f"reproduce {experiment.name}"
    if args.plan:
        return print_plan(args, plan, kind=kind, notes=notes)
    tell_shortage(args, plan, kind=kind)
    effort = make_missing(args, plan, kind=kind, executor=executor)
    if Group.here().leads:
        _print(args, experiment, plan, effort)
        tell_of_page(args)
    return 0


def _list(args: argparse.Namespace) -> int:
    from dither.bench.experiments.files import available_reproductions, load_reproduction
    from dither.bench.plans.settings import parse_seeds
    from dither.cli.tables import new_table, open_console, print_json

    found = [load_reproduction(name) for name in available_reproductions()]
    if args.json:
        print_json([{**vars(row), "published": [vars(each) for each in row.published]} for row in found])
        return 0
    table = new_table(None, ("experiment", "source", "runs", "figures", "about"))
    table.columns[0].no_wrap = True  # it is there to be copied
    for row in found:
        runs = len(row.tasks_of()) * len(row.methods) * len(parse_seeds(row.seeds))
        figures = ", ".join(each.label for each in row.published) or "not at hand"
        table.add_row(row.name, row.paper, str(runs), figures, row.summary)
    open_console().print(table)
    return 0


def _tasks(args: argparse.Namespace, experiment: "Reproduction") -> tuple[list[str], list[str]]:
    """The tasks to run, and what a plan says of those that cannot be: without it they are an error."""
    from dither.bench.data.presence import absence, absent_tasks, check_files
    from dither.bench.plans.names import parse_tasks
    from dither.bench.tasks.files import load_task

    bases = () if args.tasks is None else parse_tasks(args.tasks)
    loaded = {name: load_task(name) for name in experiment.tasks_of(bases)}
    tasks = list(loaded.values())
    lost = absent_tasks(tasks, args.data_dir)
    if not args.plan or len(lost) == len(tasks):
        check_files(tasks, args.data_dir)
    there = [name for name, task in loaded.items() if task.name not in lost]
    return there, [absence(lost, tasks), "The plan is for the others.", ""] if lost else []


def _print(
    args: argparse.Namespace, experiment: "Reproduction", plan: "Plan", effort: "Effort | None"
) -> None:
    """Every table; those of one experiment alone belong at the end of this."""
    from dither.bench.compare import look
    from dither.cli.published import print_published, published_json
    from dither.cli.tables import print_json
    from dither.cli.verdicts import comparison_json, print_comparison

    comparison, model = look(args.out), plan.source.name
    if args.json:
        published = published_json(experiment, comparison.analysis, model)
        print_json(comparison_json(comparison, effort) | published)
        return
    print_comparison(comparison, {task.name: task.primary for task in plan.tasks}, effort, as_json=False)
    print_published(experiment, comparison.analysis, model)
