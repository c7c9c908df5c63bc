"""Rows from the Hugging Face Hub, through `datasets`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dither.bench.data.rows import numerals
from dither.bench.tasks.task import Task


def from_hub(task: Task, split: str) -> tuple[str, Iterable[Any]]:
    """Return where a split stands on the Hub, and its rows as they are there.

    Raises:
        ImportError: `datasets` is not installed.
        OSError: the Hub is out of reach, or has no such split.
        ValueError: its labels are not the task's.
    """
    try:
        import datasets
    except ImportError as error:
        raise ImportError(f"{task.name} from the Hub: pip install 'dither[hub]', or give data_dir") from error
    assert task.hub is not None
    name, _, language = split.partition(".")
    spoken = task.hub.spoken.get(language, language)
    name = task.hub.splits.get(name, name).replace("{language}", spoken)
    config, revision = task.hub.config.replace("{language}", spoken) or None, task.hub.revision or None
    place = f"{task.hub.path}/{config}/{name}"
    try:
        table = datasets.load_dataset(task.hub.path, config, split=name, revision=revision)
    except Exception as error:  # several libraries raise here, each its own kinds
        raise OSError(f"{task.name}: no {place} from the Hub: {error}; or give data_dir") from error
    table = table.rename_columns({theirs: ours for ours, theirs in task.hub.renamed.items()})
    feature = table.features.get(task.label)
    names = getattr(getattr(feature, "feature", feature), "names", None)
    if names and tuple(names) != task.labels:
        raise ValueError(f"{place}: its labels are {names}, those of {task.name} {list(task.labels)}")
    rows: Iterable[Any] = table
    if names and numerals(task.labels):  # these numbers are places, and elsewhere they would be names
        rows = ({**row, task.label: _named(row[task.label], names)} for row in table)
    if task.hub.rows:
        beginning = task.hub.rows.replace("{language}", spoken)
        return f"{place}/{beginning}*", (row for row in rows if str(row["id"]).startswith(beginning))
    return place, rows


def _named(value: Any, names: Sequence[str]) -> Any:
    """The names of places in a ClassLabel, in lists too; -1 is no label there."""
    if isinstance(value, list):
        return [_named(one, names) for one in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else f"number {value}"
