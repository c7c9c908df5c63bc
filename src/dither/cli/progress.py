"""The progress of many runs on the terminal: how many, which, how long. Never how well: no peeking."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dither.results import RunResult


def watches(args: argparse.Namespace) -> bool:
    """Whether the runs of a command are shown live: asked for, and there is a terminal.

    Raises:
        ValueError: effects shall be shown where nobody sees them.
    """
    from rich.console import Console

    from dither.bench.group import Group

    if args.peek and not args.watch:
        raise ValueError("--peek is for --watch: add that, or leave --peek out")
    if not Group.here().leads:
        return False
    terminal = Console(stderr=True).is_interactive
    if args.peek and not terminal:
        raise ValueError(
            "--peek shows effects on the terminal, and standard error is not one: nobody would see them, and "
            "they would still count as looks; leave --peek out"
        )
    return bool(args.watch and terminal)


def say(text: str) -> None:
    """Print a line to standard error; of processes that were started together the first one does."""
    from dither.bench.group import Group

    if Group.here().leads:
        print(text, file=sys.stderr, flush=True)


@contextmanager
def run_progress() -> Iterator[dict[str, Any]]:
    """`progress` and `say` of `make_runs`: a bar on standard error; plain lines where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    from dither.bench.group import Group

    console, leads = Console(stderr=True), Group.here().leads
    whole = Column(no_wrap=True, min_width=5)
    rest = Column(no_wrap=True, overflow="ellipsis", ratio=1)
    columns = (
        BarColumn(bar_width=20),
        MofNCompleteColumn(table_column=whole),
        TextColumn("runs", table_column=Column(no_wrap=True, min_width=4)),
        TimeRemainingColumn(table_column=Column(no_wrap=True, min_width=7)),
        TextColumn("{task.description}", table_column=rest),
    )
    disable = not (console.is_terminal and leads)
    with Progress(*columns, console=console, disable=disable, expand=True) as bar:
        task = bar.add_task("", total=None)

        def update(result: "RunResult | None", done: int, total: int) -> None:
            text = "" if result is None else f"{result.spec} ({result.seconds:.1f} s)"
            bar.update(task, completed=done, total=total, description=text)
            if not console.is_terminal:
                print(f"[{done}/{total}] {text or 'runs recorded before'}", file=sys.stderr, flush=True)

        def above(text: str) -> None:
            if console.is_terminal:
                bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
            else:
                say(text)

        yield {"progress": update, "say": above if leads else say}
