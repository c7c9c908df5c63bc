"""`dither perturb`: noise on a checkpoint, out of core."""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dither.cli import options

if TYPE_CHECKING:
    from dither.checkpoint import Outcome, Verdict
    from dither.methods.noisytune import NoisyTune
    from dither.record import Record

INTERRUPTED = "the target is there whole, or not at all"
SUMMARY = "write a noised copy of a checkpoint, out of core"
DESCRIPTION = """\
Write a copy of a checkpoint with noise on its weights: a folder (one model.safetensors, or several with their
index) or a single .safetensors file. Tensors pass through memory block by block, so a checkpoint may be
larger than the memory; the result has the bytes that dither.noisytune_ gives on the loaded model.

SRC is only read. DST must not exist; it appears when it is whole, with all other files of the folder but
pickled weights, and with dither.json, which says what was done. config.json gets the mark that keeps the
noise from being applied twice."""
EPILOG = """\
examples:
  dither perturb ./my-encoder ./my-encoder-noisy --noise-lambda 0.15 --seed 0
  dither perturb ./my-encoder ./my-encoder-noisy --seed 0 --set noisytune.exclude='"*embeddings*"' --dry-run
  dither perturb ./my-encoder ./my-encoder-noisy --verify
  dither perturb ./my-encoder ./my-encoder-again --recipe dither.json
  dither perturb ./layer.safetensors ./layer-noisy.safetensors --names file

Exit status: 0; 1 if --verify finds a difference or the disk fails; 2 if the input is refused.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("source", metavar="SRC", help="a checkpoint folder or a .safetensors file")
    parser.add_argument("target", metavar="DST", help="the new folder or file; it must not exist")
    parser.add_argument(
        "--method", metavar="NAME", help="one that works before training (default: noisytune)"
    )
    parser.add_argument(
        "--noise-lambda",
        type=float,
        metavar="λ",
        help="strength: the noise of a tensor spans λ times its standard deviation (default: 0.15)",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of the noise, in [0, 2^64) (default: 0)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="WHAT=VALUE",
        dest="settings",
        help="change a setting of the method (noisytune.scope=backbone); may be given often; "
        "`dither methods --verbose` lists them",
    )
    parser.add_argument(
        "--names",
        choices=("model", "file"),
        help="under which names the noise is drawn: of the model that config.json names (default), or as "
        "they stand in the file",
    )
    parser.add_argument("--again", action="store_true", help="noise what was noised before, with fresh draws")
    parser.add_argument("--dry-run", action="store_true", help="print what would be noised; write nothing")
    parser.add_argument(
        "--verify",
        action="store_true",
        help="make the noise of DST once more from SRC, and compare every file",
    )
    parser.add_argument(
        "--recipe", metavar="FILE", help="make DST once more as this dither.json says; SRC must be the same"
    )
    options.add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Noise, show what would be noised, or verify."""
    from dither.checkpoint import (
        perturb_checkpoint,
        plan_checkpoint,
        replay_checkpoint,
        verify_checkpoint,
    )

    if args.verify or args.recipe is not None:
        _refuse_settings(args)
    if args.recipe is not None:
        with _bar(quiet=args.json) as progress:
            outcome = replay_checkpoint(args.source, args.target, args.recipe, progress=progress)
        _print_outcome(outcome, args)
        return 0
    if args.verify:
        with _bar(quiet=args.json) as progress:
            verdict = verify_checkpoint(args.source, args.target, progress=progress)
        _print_verdict(verdict, args)
        return 0 if verdict.ok else 1
    method, seed = _method(args), args.seed if args.seed is not None else 0
    names: Any = args.names or "model"
    if args.dry_run:
        plan = plan_checkpoint(args.source, method, seed=seed, names=names, again=args.again)
        _print_plan(plan.record(), args)
        return 0
    with _bar(quiet=args.json) as progress:
        outcome = perturb_checkpoint(
            args.source, args.target, method, seed=seed, names=names, again=args.again, progress=progress
        )
    _print_outcome(outcome, args)
    return 0


def _method(args: argparse.Namespace) -> "NoisyTune":
    from dither.bench.plans.settings import parse_settings
    from dither.methods.noisytune import NoisyTune
    from dither.methods.registry import available_methods, create_method, method_info

    name = args.method or "noisytune"
    create_method(name)  # an unknown name is told first
    if method_info(name).kind is not NoisyTune:
        good = [row.name for row in available_methods().values() if row.kind is NoisyTune]
        raise ValueError(f"--method {name} adds no noise before training; choose {', '.join(good)}")
    settings, train = parse_settings(args.settings, (name,))
    if train:
        raise ValueError(f"--set train.{next(iter(train))}: nothing is trained here; leave it out")
    if args.noise_lambda is not None:
        if any(text.replace(" ", "").startswith(f"{name}.noise_lambda=") for text in args.settings):
            raise ValueError(f"--noise-lambda and --set {name}.noise_lambda say the same; give one of them")
        settings[name]["noise_lambda"] = args.noise_lambda
    method = create_method(name, **settings[name])
    assert isinstance(method, NoisyTune)
    return method


def _refuse_settings(args: argparse.Namespace) -> None:
    given = {
        "--method": args.method is not None,
        "--noise-lambda": args.noise_lambda is not None,
        "--seed": args.seed is not None,
        "--set": bool(args.settings),
        "--names": args.names is not None,
        "--again": args.again,
        "--dry-run": args.dry_run,
    }
    if args.recipe is not None and args.verify:
        raise ValueError("--recipe writes DST and --verify compares it; give one of them")
    if found := [option for option, is_given in given.items() if is_given]:
        asked, where = ("--verify", "DST/dither.json") if args.verify else ("--recipe", args.recipe)
        raise ValueError(f"{asked} takes the recipe from {where}; leave out {', '.join(found)}")


@contextmanager
def _bar(*, quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """Bytes, bytes per second and time left on standard error; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("{task.description:8}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    disabled = quiet or not console.is_terminal
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=disabled) as bar:
        tasks: dict[str, Any] = {}

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield update


def _print_plan(record: "Record", args: argparse.Namespace) -> None:
    from dither.cli.tables import new_table, open_console, print_json

    if args.json:
        print_json({"source": args.source, "target": args.target, "record": record.to_json()})
        return
    table = new_table(None, ("tensor", "dtype", "shape", "λ", "what"))
    for row in record.tensors:
        shape = "×".join(map(str, row.shape)) or "scalar"
        strength = "" if row.strength is None else f"{row.strength:g}"
        table.add_row(row.name, row.dtype, shape, strength, row.reason or "noise")
    console, counts = open_console(), record.counts()
    console.print(table, markup=False)
    console.print(
        f"Up to {counts['noised']} tensors to be noised, {counts['skipped']} left alone; constant ones show "
        f"when the values are read. Nothing was written. Recipe {record.recipe_hash}",
        highlight=False,
    )
    _print_message(record, console)


def _print_outcome(outcome: "Outcome", args: argparse.Namespace) -> None:
    from dither.cli.tables import open_console, print_json

    left = [{"name": row.name, "reason": row.reason} for row in outcome.left_out]
    if args.json:
        numbers = {"bytes": outcome.size, "seconds": round(outcome.seconds, 3)}
        record = outcome.record.to_json()
        print_json({"target": args.target, **numbers, "left_out": left, "record": record})
        return
    console = open_console()
    console.print(outcome.record.summary(), highlight=False, markup=False)
    for row in left:
        console.print(f"left out: {row['name']} ({row['reason']})", highlight=False, markup=False)
    console.print(
        f"{args.target}: {outcome.size / 1e6:.1f} MB of weights in {outcome.seconds:.1f} s",
        highlight=False,
        markup=False,
    )


def _print_message(record: "Record", console: Any) -> None:
    if record.message:
        console.print(record.message, highlight=False, markup=False)


def _print_verdict(verdict: "Verdict", args: argparse.Namespace) -> None:
    from dither.cli.tables import open_console, print_json

    found = {"differing": list(verdict.differing), "problems": list(verdict.problems)}
    if args.json:
        print_json({"ok": verdict.ok, "tensors": verdict.tensors, **found})
        return
    console = open_console()
    for name in verdict.differing:
        console.print(f"differs: {name}", highlight=False, markup=False)
    for problem in verdict.problems:
        console.print(problem, highlight=False, markup=False)
    said = "every byte is as the recipe makes it" if verdict.ok else "NOT what the recipe makes of the source"
    console.print(f"{args.target}: {verdict.tensors} tensors, {said}", highlight=False, markup=False)
