"""`dither compare`: methods against plain fine-tuning, paired by seed."""

import argparse

from dither.cli import options
from dither.core.extras import require

SUMMARY = "compare methods with plain fine-tuning over seeds"
DESCRIPTION = """\
Fine-tune a model on tasks with several methods and seeds, and say what the differences tell.

Run seed s sets data order, head, dropout and noise in every arm, so that runs are paired by seed. The
score is that of the last evaluation. Finished runs are kept in OUT/ledger.sqlite: the same command
goes on where an interrupted one was, and may add tasks, methods and seeds."""
EPILOG = """\
examples:
  dither compare builtin/entailment --model builtin --seeds 0-8 --out runs/entailment
  dither compare glue/rte glue/cola --model ./my-encoder --data-dir ./data \\
      --methods none,noisytune,pats,pats-magnitude --seeds 0-8 --out runs/glue \\
      --set noisytune.noise_lambda=0.2 --set train.learning_rate=3e-5
  dither compare glue/rte --model ./my-encoder --data-dir ./data --train-fraction 0.1,0.2,0.5,1.0 \\
      --out runs/rte-low-data
  dither compare glue/rte glue/cola --model ./my-encoder --data-dir ./data --out runs/glue --plan
  dither compare glue/rte glue/cola --model ./my-encoder --data-dir ./data --out runs/glue --watch
  dither compare glue/rte glue/cola --model ./my-encoder --data-dir ./data --out runs/glue \
      --seeds-until resolved --max-seeds 24
  dither compare my-task.toml --model ./my-encoder --out runs/mine --json
  dither compare glue/rte --model /shared/encoder --out runs/rte --executor ray --address auto \\
      --gpus-per-run 0.25
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    options.add_runs(parser, seeds="0-8", until=True)
    options.add_plan(parser)
    options.add_watch(parser)
    options.add_margin(parser)
    options.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Make the missing runs, print the table; or say what they would be."""
    require("bench", args.parser.prog)
    from dither.bench.compare import look
    from dither.bench.group import Group
    from dither.cli.estimates import print_downloads, print_plan
    from dither.cli.progress import watches
    from dither.cli.runs import make_missing, plan_asked, tell_of_page, tell_shortage
    from dither.cli.verdicts import print_comparison
    from dither.stats import Rule

    Rule(margin=args.margin)  # bad options are found before the runs
    watches(args)
    executor = None if args.plan else options.executor(args)
    asked = options.tasks(args), args.model, options.methods(args), options.seeds(args)
    if args.plan and print_downloads(args, *asked):
        return 0
    plan = plan_asked(args)
    if args.plan:
        return print_plan(args, plan, kind="compare")
    tell_shortage(args, plan, kind="compare")
    effort = make_missing(args, plan, kind="compare", executor=executor)
    if Group.here().leads:
        primary = {task.name: task.primary for task in plan.tasks}
        print_comparison(look(args.out), primary, effort, as_json=args.json)
        tell_of_page(args)
    return 0
