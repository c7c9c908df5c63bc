"""Options that several commands share, each with its help text written once."""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dither.bench.executors import Executor


def add_runs(parser: argparse.ArgumentParser, *, seeds: str, until: bool = False) -> None:
    """TASK..., --methods, --seeds, --out, and all that runs need beside.

    Args:
        parser: of the command.
        seeds: the default.
        until: whether runs may end once everything is resolved.
    """
    add_tasks(parser)
    add_model(parser)
    parser.add_argument(
        "--methods",
        default="none,noisytune,pats",
        metavar="NAMES",
        help="comma-separated, see `dither methods`; with settings of its own as "
        "pats@noise_lambda=0.1,beta=0.98; 'none' is always among them (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds", default=None, metavar="SEEDS", help=f"such as 0-8 or 0,3,7-9 (default: {seeds})"
    )
    parser.set_defaults(usual_seeds=seeds)
    if until:
        add_until(parser)
    parser.add_argument(
        "--out", required=True, metavar="DIR", help="output folder, new or of this very experiment"
    )
    add_data(parser)
    add_settings(parser)
    add_execution(parser)


def add_tasks(parser: argparse.ArgumentParser) -> None:
    """TASK..., --train-fraction."""
    parser.add_argument(
        "tasks",
        nargs="+",
        metavar="TASK",
        help="a task (see `dither tasks`) or a TOML file; trained otherwise as "
        "glue/rte@learning_rate=3e-5,epochs=5",
    )
    parser.add_argument(
        "--train-fraction",
        metavar="SHARES",
        help="also with less data: shares of the train split such as 0.1,0.2,0.5,1.0, each a row of the "
        "table; smaller shares lie within greater ones, and labels keep their proportions",
    )


def add_model(parser: argparse.ArgumentParser, *, otherwise: str = "") -> None:
    """--model, --dtype.

    Args:
        parser: that gets them.
        otherwise: which model counts without the option; "" where there is none.
    """
    parser.add_argument(
        "--model",
        required=not otherwise,
        metavar="MODEL",
        help="a folder with config.json, *.safetensors and a tokenizer; a name on the Hugging Face Hub; or "
        "'builtin' for the tiny encoder that comes with dither"
        + (f" (default: {otherwise})" if otherwise else ""),
    )
    parser.add_argument(
        "--dtype", default="float32", help="of the weights: float32 (default), bfloat16 or float16"
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """--data-dir, --languages."""
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        help="local data: DIR/<task>/<split>.jsonl[.gz], where a task has languages DIR/<task>/"
        "<split>.<language>.jsonl[.gz]; without it, tasks of the Hub are downloaded",
    )
    parser.add_argument(
        "--languages",
        metavar="NAMES",
        help="evaluate tasks of several languages in these alone, such as en,de,zh (default: all that the "
        "task has)",
    )


class _Fast(argparse.Action):
    """Add to the settings those that make runs fast; it stands there as if they had been typed."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: Any = None) -> None:
        from dither.bench.plans.settings import FAST

        namespace.settings = [*namespace.settings, *FAST]


def add_settings(parser: argparse.ArgumentParser) -> None:
    """--set, --fast."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="WHAT=VALUE",
        dest="settings",
        help="change a setting of a method (noisytune.noise_lambda=0.2) or of training (train.epochs=3); "
        "may be given often; `dither methods --verbose` lists them",
    )
    parser.add_argument(
        "--fast",
        nargs=0,
        action=_Fast,
        help="train in bf16 with batches of like lengths, in all arms: --set train.precision=bf16 --set "
        "train.group_by_length=true; two to four times as fast on processors and GPUs with bfloat16",
    )


def add_execution(parser: argparse.ArgumentParser) -> None:
    """--jobs, --executor, --address, --gpus-per-run, --threads, --tensorboard."""
    parser.add_argument(
        "--jobs",
        type=int,
        default=None,
        metavar="N",
        help="runs at a time, each on one GPU (default: as many as there are GPUs; without GPUs cores / "
        "threads; with --executor ray what the cluster has room for)",
    )
    parser.add_argument(
        "--executor",
        choices=("processes", "ray"),
        default="processes",
        metavar="NAME",
        help="what makes the runs: 'processes' of this machine (default), or 'ray', on many machines; the "
        "table is the same on equal hardware",
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="the Ray cluster, 'auto' for the one that this machine is in (default: start a Ray of this "
        "machine alone); it can run code here, so join only clusters that you trust",
    )
    parser.add_argument(
        "--gpus-per-run",
        type=float,
        metavar="PART",
        help="part of a GPU for each run on Ray, 0 to 1 (default: 1 where the cluster has GPUs, else 0)",
    )
    add_threads(parser)


def add_plan(parser: argparse.ArgumentParser) -> None:
    """--plan."""
    parser.add_argument(
        "--plan",
        action="store_true",
        help="start nothing: show the runs, how long they would take on this machine (a few steps of each "
        "task are timed), and the smallest effect that they could resolve",
    )


def add_watch(parser: argparse.ArgumentParser, *, effects: bool = True) -> None:
    """--watch, --peek.

    Args:
        parser: of the command.
        effects: whether it has any to peek at.
    """
    parser.add_argument(
        "--watch",
        action="store_true",
        help="show the runs live on the terminal: the grid, what runs now, the time left; no effects",
    )
    parser.set_defaults(peek=False)
    if effects:
        parser.add_argument(
            "--peek",
            action="store_true",
            help="with --watch, show the differences so far when 2, 4, 8, ... seeds are complete; each time "
            "counts as a look, which spends a part of the error rate",
        )


def add_margin(parser: argparse.ArgumentParser) -> None:
    """--margin."""
    parser.add_argument(
        "--margin",
        type=float,
        default=None,
        metavar="POINTS",
        help="also test whether a difference is smaller than this: makes a null a result. It is declared "
        "before the first run: a folder keeps the one that it was made with",
    )


def add_until(parser: argparse.ArgumentParser) -> None:
    """--seeds-until, --max-seeds, in the place of --seeds."""
    parser.add_argument(
        "--seeds-until",
        choices=("resolved",),
        metavar="resolved",
        help="in the place of --seeds: seeds 0, 1, 2, ... until every average over tasks is resolved, or "
        "--max-seeds are there; tests are made at every second seed, and all of them together keep p < 0.05",
    )
    parser.add_argument(
        "--max-seeds",
        type=int,
        metavar="N",
        help="for --seeds-until: how many seeds there may be at most. It is declared before the first run: a "
        "folder keeps the one that it was made with",
    )


def seeds(args: argparse.Namespace) -> tuple[int, ...]:
    """The seeds asked for; all up to the maximum where runs end once everything is resolved.

    Raises:
        ValueError: malformed seeds; one of the two options without the other, or both ways of asking; a
            maximum that resolves nothing.
    """
    from dither.bench.plans.settings import parse_seeds

    until, most = getattr(args, "seeds_until", None), getattr(args, "max_seeds", None)
    if until is None:
        if most is not None:
            raise ValueError(f"--max-seeds {most} is for --seeds-until resolved: add that, or use --seeds")
        return parse_seeds(args.usual_seeds if args.seeds is None else args.seeds)
    if args.seeds is not None:
        raise ValueError(
            f"--seeds {args.seeds} and --seeds-until {until} exclude each other: leave one out; with the "
            "second, seeds are 0, 1, 2, ... up to --max-seeds"
        )
    if most is None:
        raise ValueError(
            "--seeds-until resolved needs --max-seeds N, which is declared before the first run; with 24, "
            "one method's effect of a standard deviation is found nearly always, after 12 seeds on average"
        )
    _check_maximum(most, _tests(args))
    return tuple(range(most))


def _tests(args: argparse.Namespace) -> int:
    """How many averages over tasks the arms and tasks asked for are tests of."""
    from dither.bench.looks import tests_of

    return tests_of(tasks(args), methods(args))


def _check_maximum(most: int, tests: int) -> None:
    """Refuse a maximum of seeds at which nothing can be resolved, whatever the runs give."""
    from dither.stats.rule import Rule
    from dither.stats.signflip import pairs_to_reach

    least = pairs_to_reach(Rule.alpha / tests)
    if most < least:
        family = f"{tests} averages over tasks are tested" if tests > 1 else "one average is tested"
        raise ValueError(
            f"--max-seeds is {most}, and fewer than {least} seeds resolve nothing ({family}, with p < "
            f"{Rule.alpha:g} for all); give {least} at least, better twice as many"
        )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """--threads, --tensorboard."""
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        metavar="N",
        help="CPU threads of a run; part of what determines it to the last bit (default: 1)",
    )
    parser.add_argument("--tensorboard", action="store_true", help="write TensorBoard curves below --out")


def add_output(parser: argparse.ArgumentParser) -> None:
    """--json."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def tasks(args: argparse.Namespace) -> list[str]:
    """The tasks asked for, each with every fraction of its train split."""
    from dither.bench.plans.names import parse_fractions
    from dither.bench.tasks.variations import with_settings

    if args.train_fraction is None:
        return list(args.tasks)
    shares = parse_fractions(args.train_fraction)
    return [with_settings(task, train_fraction=share) for task in args.tasks for share in shares]


def methods(args: argparse.Namespace) -> tuple[str, ...]:
    """The arms asked for; plain fine-tuning is always one."""
    from dither.bench.compare import BASELINE
    from dither.bench.plans.names import parse_arms

    names = parse_arms(args.methods)
    return names if BASELINE in names else (BASELINE, *names)


def languages(args: argparse.Namespace) -> tuple[str, ...]:
    """The languages asked for; none for all."""
    from dither.bench.plans.names import parse_names

    return parse_names(args.languages, "--languages", like="en,de") if args.languages is not None else ()


def jobs(args: argparse.Namespace) -> int:
    """How many runs at a time: as asked; one where processes make it together; or as the machine allows."""
    from dither.bench.executors.devices import default_jobs
    from dither.bench.group import Group

    if args.jobs is None and Group.here().size > 1:
        return 1
    return args.jobs if args.jobs is not None else default_jobs(args.threads)


def executor(args: argparse.Namespace) -> "Executor | None":
    """What makes the runs, checked before the first one; None for processes of this machine."""
    if args.executor == "ray":
        from dither.bench.executors.ray_cluster import ray_executor

        return ray_executor(jobs=args.jobs, address=args.address, gpus_per_run=args.gpus_per_run)
    for option, value in (("--address", args.address), ("--gpus-per-run", args.gpus_per_run)):
        if value is not None:
            raise ValueError(f"{option} {value} is for --executor ray: add that, or leave {option} out")
    return None
