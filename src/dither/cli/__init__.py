"""The command `dither`: parse, call one library function, print.

A command's imports load when it is chosen: `dither --help` answers without torch.
"""

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from functools import partial

from dither.cli import (
    compare,
    demo,
    dose,
    finetune,
    methods,
    perturb,
    report,
    reproduce,
    sensitivity,
    sweep,
    tasks,
)
from dither.cli.interrupts import Ended, interrupts_heard
from dither.cli.streams import OutputLost, usable_streams
from dither.core.faults import is_told

_COMMANDS = (demo, compare, sweep, reproduce, finetune, dose, sensitivity, report, perturb, tasks, methods)

_INTERRUPTED = "finished runs are kept, the same command goes on from there"
_EPILOG = """\
examples:
  dither demo                                        see it all on the built-in tasks, no network
  dither tasks                                       what can be compared on
  dither compare glue/rte glue/cola --model ./my-encoder --data-dir ./data --seeds 0-8 --out runs/rte-cola
  dither sweep builtin/tagging --model builtin --method pats --param beta=0.85,0.98 --out runs/beta
  dither dose glue/rte --model ./my-encoder --data-dir ./data --methods noisytune,pats
  dither finetune glue/rte --model ./my-encoder --method pats --seed 0 --out runs/rte-pats
  dither report runs/rte-cola                        one page of what those runs tell

A command's own --help has its options and examples.
"""


class _Overview(argparse.RawDescriptionHelpFormatter):
    """Leaves room for the longest command, whose indentation argparse forgets."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = 4 + max(len(module.__name__.rpartition(".")[2]) for module in _COMMANDS)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line.

    Example:
        >>> build_parser().parse_args(["demo", "--jobs", "1"]).jobs
        1
    """
    from dither import __version__

    parser = argparse.ArgumentParser(
        prog="dither",
        description="Noise-based fine-tuning of pretrained language models: NoisyTune and PATS,\n"
        "and an honest answer to whether it helps on your task.",
        epilog=_EPILOG,
        formatter_class=_Overview,
    )
    parser.add_argument("--version", action="version", version=f"dither {__version__}")
    parser.add_argument("--traceback", action="store_true", help="show where an error came from")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in _COMMANDS:
        name = module.__name__.rpartition(".")[2]
        command = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.DESCRIPTION,
            epilog=module.EPILOG,
            # Wide enough for the longest option beside its explanation.
            formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=28),
        )
        module.add_arguments(command)
        command.set_defaults(
            run=module.run, parser=command, interrupted=getattr(module, "INTERRUPTED", _INTERRUPTED)
        )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status.

    0; 1: an error in a run, or of the machine; 2: bad input; 130, 143, 129: Ctrl-C, SIGTERM, SIGHUP. What is
    neither input nor machine, but a fault of the program, is raised.
    """
    with usable_streams():
        return _run(sys.argv[1:] if arguments is None else arguments)


def _run(arguments: Sequence[str]) -> int:
    args, unknown = build_parser().parse_known_args(arguments)
    if unknown:
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    _refuse_blanks(args)
    args.command = typed(arguments)
    try:
        with interrupts_heard():
            status = int(args.run(args))
        sys.stdout.flush()  # here, where it can be told that it cannot be written
        return status
    except KeyboardInterrupt as interrupt:
        said, status = (interrupt, interrupt.status) if isinstance(interrupt, Ended) else ("interrupted", 130)
        _complain(f"\ndither: {said}; {args.interrupted}")
        return status
    except Exception as error:
        if isinstance(error, OutputLost) and error.unread:
            return 0
        if args.traceback or not is_told(error):
            raise
        _complain(f"dither: {error}")
        return _status(error)


def _status(error: Exception) -> int:
    """2 for input that is refused, 1 for a run that failed and for what the machine is to blame for."""
    from dither.results import LedgerDiskError

    is_refusal = isinstance(error, ValueError | TypeError | FileNotFoundError)
    return 2 if is_refusal and not isinstance(error, LedgerDiskError) else 1


def _refuse_blanks(args: argparse.Namespace) -> None:
    """Refuse arguments without a character, which come of a variable that is not set; `""` is this folder."""
    for action in args.parser._actions:
        given = getattr(args, action.dest, None)
        for value in given if isinstance(given, list) else [given]:
            if isinstance(value, str) and not value.strip():
                args.parser.error(
                    str(argparse.ArgumentError(action, f"{value!r} is blank; is a variable not set?"))
                )


def typed(arguments: Sequence[str]) -> str:
    """The command as text for a shell, without the user, password and query of a URL.

    Example:
        >>> typed(["sweep", "my task.toml", "--storage=postgresql://me:secret@host/name?password=secret"])
        "dither sweep 'my task.toml' '--storage=postgresql://***@host/name?***'"
    """
    without_user = (re.sub(r"(?s)://.*@", "://***@", one) for one in arguments)
    return shlex.join(["dither", *(re.sub(r"(?s)(://[^?]*)\?.*", r"\1?***", one) for one in without_user)])


def _complain(text: str) -> None:
    """Say on standard error what went wrong; of processes that were started together one says it."""
    from dither.bench.group import Group

    Group.here().complain(text)
