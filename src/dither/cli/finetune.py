"""`dither finetune`: one run that keeps its model."""

import argparse

from dither.cli import options
from dither.core.extras import require

SUMMARY = "fine-tune a model on one task with one method and keep it"
DESCRIPTION = """\
Fine-tune a model and save it to OUT with its tokenizer; the score, the predictions and what was noised
go into OUT/ledger.sqlite. A checkpoint is written after each epoch; the same command resumes an
interrupted run exactly. OUT is a model like any other: it can be --model of another run, which starts from
its weights as they are."""
EPILOG = """\
examples:
  dither finetune builtin/sentiment --model builtin --method noisytune --out runs/sentiment
  dither finetune glue/rte --model ./my-encoder --data-dir ./data --method pats --seed 3 \\
      --set pats.noise_lambda=0.1 --out runs/rte-pats-3
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("task", metavar="TASK", help="a task (see `dither tasks`) or a TOML file")
    options.add_model(parser)
    parser.add_argument(
        "--method", default="none", metavar="NAME", help="see `dither methods` (default: none)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the run (default: 0)")
    parser.add_argument("--out", required=True, metavar="DIR", help="output folder, new or of this run")
    options.add_data(parser)
    options.add_settings(parser)
    options.add_threads(parser)
    options.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Make the run, or read it where it is finished, and print it."""
    require("bench", args.parser.prog)
    from dither.bench.plans.names import spelled_arm
    from dither.bench.plans.settings import check_seed, parse_settings
    from dither.bench.runs.finetune import finetune
    from dither.cli.progress import say
    from dither.cli.runs import plan_of
    from dither.cli.tables import print_run

    methods, train = parse_settings(args.settings, (spelled_arm(args.method),))
    seeds = (check_seed(args.seed),)
    plan = plan_of(args, [args.task], methods, seeds, model=args.model, train_settings=train)
    result = finetune(plan, args.out, tensorboard=args.tensorboard, progress=not args.json, say=say)
    if result is None:
        return 0  # the first process says what came out
    print_run(result, args.out, as_json=args.json)
    return 0 if result.status == "finished" else 1
