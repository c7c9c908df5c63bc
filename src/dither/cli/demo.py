"""`dither demo`: the whole thing on the built-in tasks and model."""

import argparse

from dither.cli import options
from dither.core.extras import require

SUMMARY = "compare the methods on the built-in tasks and model, no network"
DESCRIPTION = """\
Compare plain fine-tuning, NoisyTune and PATS on three of the built-in tasks with the built-in tiny encoder,
paired over seeds. It shows how everything works; it is no evidence about real models."""
EPILOG = """\
examples:
  dither demo
  dither demo --seeds 0-3 --out /tmp/demo
"""
SEEDS = "0-7"
TASKS = ("builtin/sentiment", "builtin/entailment", "builtin/similarity")
"""As many as eight seeds can resolve after Holm, and as are done in three minutes on two cores."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--out", default="demo", metavar="DIR", help="output folder (default: ./%(default)s)")
    parser.add_argument("--seeds", default=SEEDS, metavar="SEEDS", help="default: %(default)s")
    parser.add_argument(
        "--jobs", type=int, default=None, metavar="N", help="runs at a time (default: GPUs or cores)"
    )
    options.add_output(parser)
    parser.set_defaults(threads=1, margin=None, tensorboard=False, watch=False, peek=False)


def run(args: argparse.Namespace) -> int:
    """Make the missing runs, print the table."""
    require("bench", args.parser.prog)
    from dither.bench.compare import look
    from dither.bench.group import Group
    from dither.bench.plans.plan import Plan
    from dither.bench.plans.settings import parse_seeds, parse_settings
    from dither.cli.runs import make_missing, tell_of_page, tell_shortage
    from dither.cli.verdicts import print_comparison

    methods, train = parse_settings([], ("none", "noisytune", "pats"))
    plan = Plan.create(TASKS, "builtin", methods, parse_seeds(args.seeds), train_settings=train)
    tell_shortage(args, plan, kind="compare")
    effort = make_missing(args, plan, kind="compare", executor=None)
    if Group.here().leads:
        primary = {task.name: task.primary for task in plan.tasks}
        print_comparison(look(args.out), primary, effort, as_json=args.json)
        tell_of_page(args)
    return 0
