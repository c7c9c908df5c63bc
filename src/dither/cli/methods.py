"""`dither methods`: what can be compared."""

import argparse

from dither.cli import options

SUMMARY = "list the methods, and their settings"
DESCRIPTION = "List the methods and the controls. Change a setting with --set METHOD.SETTING=VALUE."
EPILOG = """\
examples:
  dither methods
  dither methods --verbose
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("--verbose", action="store_true", help="with every setting and its default")
    options.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    from dither.cli.tables import print_methods
    from dither.methods.registry import available_methods

    print_methods(list(available_methods().values()), verbose=args.verbose, as_json=args.json)
    return 0
