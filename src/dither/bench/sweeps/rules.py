"""What a search may be: enough trials, seeds of its own, a slice of train that the report never sees."""

from collections.abc import Sequence

from dither.bench.compare import BASELINE
from dither.bench.group import Group
from dither.bench.sweeps.parameters import TRAIN, Parameter
from dither.bench.tasks.subset import Subset
from dither.bench.tasks.task import Task
from dither.bench.tasks.variations import with_settings


def check_search(
    method: str, space: Sequence[Parameter], trials: int, *, seeds: Sequence[int], search_seeds: Sequence[int]
) -> None:
    """Refuse a search that cannot be made, or whose report would not be honest.

    Raises:
        ValueError: no trial, seeds of the report among those of the search, settings of training, processes
            that were started together, a method without noise.
    """
    if trials < 1:
        raise ValueError(f"--search is {trials}; it must be at least 1 trial")
    if both := sorted({*seeds} & {*search_seeds}):
        raise ValueError(
            f"--search-seeds and --seeds share {', '.join(map(str, both))}: what was chosen with a seed is "
            "flattered by it; report on other seeds"
        )
    if method == BASELINE:
        raise ValueError(f"--method {BASELINE} has nothing to search; name one that adds noise")
    for one in space:
        if one.setting.startswith(TRAIN):
            raise ValueError(
                f"--param {one.text} cannot be searched: plain fine-tuning would get the same search and a "
                "recipe of its own, and the difference of two arms under two recipes is that of the recipes "
                "and of the noise together, which no pairing by seed takes apart. Sweep it in a grid, where "
                f"plain runs under each value too, or search under one recipe: --set {one.setting}=..."
            )
    if (size := Group.here().size) > 1:
        raise ValueError(
            f"{size} processes were started together, and a search is made by one; start it alone"
        )


def search_tasks(names: Sequence[str], tasks: Sequence[Task], held_out: float) -> list[str]:
    """The tasks of a search: trained on a part of their train split, evaluated on the rest of it.

    Args:
        names: of the tasks that will be reported, as users type them.
        tasks: the same, loaded.
        held_out: share of the train split, in (0, 1).

    Raises:
        ValueError: a share outside (0, 1), or a task that has its own part of train.

    Example:
        >>> from dither.bench.tasks.files import load_task
        >>> search_tasks(["glue/rte"], [load_task("glue/rte")], 0.2)
        ['glue/rte@held_out=0.2']
    """
    if not 0 < held_out < 1:
        raise ValueError(f"--held-out is {held_out:g}; it must lie in (0, 1)")
    for task in tasks:
        part = task.subset or Subset()
        if part.held_out:
            raise ValueError(
                f"task {task.name!r} is reported on a part of train, which the search would see; leave "
                "held_out out"
            )
        if part.train_fraction < 1:
            raise ValueError(
                f"task {task.name!r} trains on a part of train, and the search would select on rows that it "
                "leaves out; search on the whole task, and compare the choice with --train-fraction"
            )
    return [with_settings(name, held_out=held_out) for name in names]
