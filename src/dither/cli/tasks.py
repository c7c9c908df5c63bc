"""`dither tasks`: what can be fine-tuned on."""

import argparse

from dither.cli import options

SUMMARY = "list the tasks"
DESCRIPTION = "List the tasks that come with dither. A TOML file of your own works wherever a name does."
EPILOG = """\
examples:
  dither tasks
  dither tasks --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    options.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    from dither.bench.tasks.files import available_tasks, load_task
    from dither.cli.tables import print_tasks

    print_tasks([load_task(name) for name in available_tasks()], as_json=args.json)
    return 0
