"""Which tasks have their local files, before anything of them is read."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from dither.bench.tasks.checks import FORMATS
from dither.bench.tasks.files import load_task
from dither.bench.tasks.task import Task


def absent_files(task: Task, data_dir: str | Path | None) -> list[str]:
    """The files that a task needs and that do not lie in a folder of local data, without their endings.

    A task of several languages that has some of them lacks nothing here: `dither.bench.data.loading.load`
    tells which languages it can be evaluated in.

    Args:
        task: one of the Hub; others have nothing in the folder.
        data_dir: folder of local data, or None for the Hub.

    Example:
        >>> from dither.bench.tasks.files import load_task
        >>> absent_files(load_task("glue/rte"), "/nowhere")
        ['/nowhere/glue/rte/train', '/nowhere/glue/rte/validation']
    """
    if task.source != "hub" or data_dir is None:
        return []
    places = {split: _place(task, split, Path(data_dir)) for split in task.read}
    lost = {split for split, place in places.items() if not _lies(place)}
    evaluated = set(task.evaluation.values())
    if task.languages and lost < evaluated:
        return []
    return [str(place) for split, place in places.items() if split in lost]


def check_files(tasks: Sequence[Task], data_dir: str | Path | None) -> None:
    """Refuse tasks without local files, all of them at once.

    Raises:
        FileNotFoundError: naming each with its files, and the tasks that are there.
    """
    if lost := absent_tasks(tasks, data_dir):
        raise FileNotFoundError(absence(lost, tasks))


def absent_tasks(tasks: Sequence[Task], data_dir: str | Path | None) -> dict[str, list[str]]:
    """The tasks without all their local files: name -> files that are not there."""
    found = {task.name: absent_files(task, data_dir) for task in tasks}
    return {name: files for name, files in found.items() if files}


def absence(lost: Mapping[str, Sequence[str]], tasks: Sequence[Task]) -> str:
    """What is not there, in words, and how to go on without it."""
    there = ",".join(dict.fromkeys(task.base for task in tasks if task.name not in lost))
    endings = ", ".join(FORMATS)
    lines = [f"{len(lost)} of {len(tasks)} tasks without local files:"]
    lines += [f"  {name}: looked for {', '.join(files)} ({endings})" for name, files in lost.items()]
    way_on = f", or take the tasks that are there: --tasks {there}" if there else ""
    return "\n".join([*lines, f"put them there{way_on}"])


def _place(task: Task, split: str, data_dir: Path) -> Path:
    reader = task.reader(split)
    if split in reader.borrowed:
        lender, _, lent = reader.borrowed[split].rpartition("/")
        return _place(load_task(lender), lent, data_dir)
    return data_dir / reader.base / split


def _lies(place: Path) -> bool:
    return any(place.with_name(place.name + ending).is_file() for ending in FORMATS)
