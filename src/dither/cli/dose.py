"""`dither dose`: the functional dose of methods, and the λ at which they have NoisyTune's."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from dither.cli import options
from dither.core.extras import require

SUMMARY = "measure what the noise of methods does, and match their λ"
DESCRIPTION = """\
Measure the functional dose d of methods on a task and a model, before any training: how far the last hidden
states move, relative to their own spread, when a method's whole noise is added to the pretrained weights.
Equal λ is no equal dose; the last column has the λ at which a method has the d of NoisyTune, which
noise_lambda=matched stands for in the other commands. The energy is the root mean square of the noise over
all weights. Measured on rows of the train split alone: 128 for the states, 8 batches of others for
sensitivities. Nothing is written."""
EPILOG = """\
examples:
  dither dose builtin/sentiment --model builtin
  dither dose glue/mrpc glue/cola --model ./my-encoder --data-dir ./data \\
      --methods noisytune,pats,pats-blind,pats-blind@noise_lambda=energy,pats@noise_lambda=0.15
"""
INTERRUPTED = "nothing was written"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    options.add_tasks(parser)
    options.add_model(parser)
    parser.add_argument(
        "--methods",
        default="noisytune,pats,pats-blind,pats-magnitude",
        metavar="NAMES",
        help="comma-separated, see `dither methods`; with settings of its own as pats@noise_lambda=0.1 "
        "(default: %(default)s)",
    )
    options.add_data(parser)
    options.add_settings(parser)
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPU threads of a measurement (default: 1)"
    )
    parser.add_argument(
        "--jobs", type=int, default=None, metavar="N", help="tasks at a time (default: cores / threads)"
    )
    options.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Measure and print."""
    require("bench", args.parser.prog)
    from dither.bench.group import Group
    from dither.bench.plans.matching import doses_of
    from dither.bench.plans.names import parse_arms
    from dither.bench.plans.settings import parse_settings
    from dither.cli.progress import say
    from dither.cli.runs import plan_of
    from dither.cli.tables import print_json, standard

    if not Group.here().leads:
        return 0
    methods, train = parse_settings(args.settings, parse_arms(args.methods))
    plan = plan_of(args, options.tasks(args), methods, (0,), model=args.model, train_settings=train)
    rows = doses_of(plan, jobs=options.jobs(args), say=say)
    if args.json:
        print_json(standard(rows))
    else:
        _print(rows)
    return 0


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    from dither.cli.tables import new_table, open_console

    table = new_table(None, ("task", "method", "λ asked", "λ", "d", "its draws", "energy", "λ that matches"))
    for row in rows:
        draws = "–" if row["d_low"] is None else f"{row['d_low']:.4f}–{row['d_high']:.4f}"
        table.add_row(
            *(row["task"], row["method"], _text(row["asked"], ""), _text(row["noise_lambda"], "g")),
            *(_text(row["d"], ".4f"), draws, _text(row["energy"], ".3e"), _text(row["matched"], "g")),
        )
    console = open_console()
    console.print(table)
    for text in dict.fromkeys(row["why"] for row in rows if row["why"]):
        console.print(text, highlight=False, markup=False)


def _text(value: Any, form: str) -> str:
    """A number in a form, a word, or the values of several patterns; a dash where there is none."""
    if isinstance(value, Mapping):
        return ", ".join(f"{pattern} {number:g}" for pattern, number in value.items())
    return "–" if value is None else format(value, form) if isinstance(value, (int, float)) else str(value)
