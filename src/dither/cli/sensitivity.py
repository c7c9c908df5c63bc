"""`dither sensitivity`: what fine-tuning moves, and how concentrated sensitivity is at its end."""

import argparse

from dither.cli import options
from dither.core.extras import require

SUMMARY = "measure what weights do: how far they move, how sensitive they are"
DESCRIPTION = """\
Fine-tune as `dither compare` does and measure the weights of every run at its end. The tables:

  change of weights   for each type of parameter ‖W_end − W_0‖ / ‖W_0‖, with W_0 the pretrained weights before
                      any noise, and the norm of the noise itself (NoisyTune's analysis)
  change of norms     | ‖W_end‖ − ‖W_0‖ | / ‖W_0‖
  sensitivity         mean over train batches of |w·g|, without dropout: its mean, how concentrated it is
                      (Gini, share below a hundredth of the mean, entropy), its exact zeros (PATS's analysis)
  correlation         Spearman's, over the seeds of a method: do better runs have more concentrated |w·g|?

Measuring changes no run: scores are those of `dither compare`. Finished runs are kept in OUT/ledger.sqlite;
the same command goes on where an interrupted one was."""
EPILOG = """\
examples:
  dither sensitivity builtin/entailment --model builtin --out runs/sensitivity
  dither sensitivity glue/cola --model ./my-encoder --data-dir ./data --methods none,noisytune,pats \\
      --seeds 0-4 --batches 32 --out runs/cola-sensitivity --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    options.add_runs(parser, seeds="0-4")
    parser.add_argument(
        "--batches",
        type=int,
        default=16,
        metavar="N",
        help="batches, of the recipe's size and from the beginning of the train split, over which |w·g| is "
        "averaged (default: %(default)s)",
    )
    options.add_watch(parser, effects=False)
    options.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Make the missing runs, print the tables."""
    require("bench", args.parser.prog)
    from dither.bench.group import Group
    from dither.bench.sensitivity import KIND, analyse_runs, check_batches, make_measured_runs
    from dither.cli.analyses import print_analyses
    from dither.cli.runs import plan_asked, shown, tell_of_page

    check_batches(args.batches)  # before anything is loaded
    executor = options.executor(args)
    plan = plan_asked(args)
    with shown(args, plan, kind=KIND, executor=executor) as execution:
        make_measured_runs(plan, args.out, batches=args.batches, **execution)
    if Group.here().leads:
        print_analyses(analyse_runs(args.out), as_json=args.json)
        tell_of_page(args)
    return 0
