"""What recorded runs were evaluated on, loaded again where that can be: texts, and labels in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dither.bench.data.loading import load
from dither.bench.data.rows import Row
from dither.bench.tasks.files import available_tasks, load_task
from dither.bench.tasks.task import Task
from dither.bench.tasks.variations import base_of, settings_of
from dither.core.faults import is_told

CUT = 500
"""Characters of a text that are shown."""


@dataclass(frozen=True)
class Examples:
    """What the runs on a task were evaluated on, as far as it is at hand.

    Attributes:
        task: as the runs had it; None where its definition is not at hand.
        rows: evaluation -> the rows of its split; empty where they are not at hand.
        reason: why something is not at hand; empty where all is.
    """

    task: Task | None = None
    rows: Mapping[str, Sequence[Row]] = field(default_factory=dict, repr=False)
    reason: str = ""

    def texts(self, evaluation: str, example: int) -> dict[str, str]:
        """The input of an example by column, each text cut at `CUT` characters."""
        if self.task is None or evaluation not in self.rows:
            return {}
        row = self.rows[evaluation][example]
        return {
            column: _shortened(_joined(row[column]))
            for column in self.task.columns
            if column != self.task.label
        }

    def in_words(self, evaluation: str, value: Any) -> str | float | None:
        """A prediction or a gold label as people read it: a number, or a text cut at `CUT` characters.

        Label ids are named where the task is known, and rows of retrieval by their target where the rows
        are. None is no prediction.
        """
        if value is None or isinstance(value, float):
            return value
        if isinstance(value, int):
            return _shortened(self._named(evaluation, value))
        several = self.task is not None and self.task.head == "span" and isinstance(value, list)
        return _shortened(" | ".join(dict.fromkeys(value)) if several else _joined(value))

    def _named(self, evaluation: str, number: int) -> str:
        if self.task is None:
            return str(number)
        if not self.task.retrieval:
            return self.task.labels[number]
        rows = self.rows.get(evaluation, ())
        return rows[number][self.task.columns[1]] if number < len(rows) else f"row {number}"


def _joined(value: str | Sequence[str] | None) -> str:
    return value if isinstance(value, str) else " ".join(value or ())


def _shortened(text: str) -> str:
    return text if len(text) <= CUT else f"{text[:CUT]}…"


def find_examples(
    name: str,
    planned: Mapping[str, Any],
    evaluations: Sequence[str],
    *,
    data_dir: str | Path | None = None,
    hub: bool = False,
) -> Examples:
    """What runs of a task were evaluated on: its definition and its rows, only if both have their digests.

    Files of users' own tasks are not looked for: a ledger does not say where they are, and what it says is
    not trusted with a path.

    Args:
        name: of the task in the ledger.
        planned: what the ledger's experiment has of it: `task_digest` and `data_digest`.
        evaluations: that its runs have predictions for; they tell the languages.
        data_dir: folder of local data, for tasks of the Hub.
        hub: load them from there, where no folder is given.

    Example:
        >>> find_examples("mine/films", {}, ["validation"]).reason
        'not a task of this package, and files of tasks are not looked for: no texts'
    """
    found = find_task(name, planned, evaluations)
    if (task := found.task) is None:
        return found
    sources = {task.reader(split).source for split in task.read}
    if "hub" in sources and data_dir is None and not hub:
        return Examples(task, reason="no data at hand: --data-dir DIR or --hub shows the texts")
    try:
        data = load(task, data_dir)
    except (ValueError, OSError, ImportError) as error:
        return Examples(task, reason=_line(error))
    if data.digest != (runs := planned["data_digest"]):
        place = "of this package" if "hub" not in sources else f"in {data_dir}" if data_dir else "of the Hub"
        digests = _digests(runs, data.digest)
        return Examples(task, reason=f"the data {place} are not those of the runs ({digests})")
    return Examples(task, {key: data.splits[split] for key, split in task.evaluation.items()})


def find_task(name: str, planned: Mapping[str, Any], evaluations: Sequence[str]) -> Examples:
    """The definition of a task of recorded runs, without rows; the arguments are those of `find_examples`."""
    if base_of(name) not in available_tasks():
        return Examples(reason="not a task of this package, and files of tasks are not looked for: no texts")
    try:
        task = _as_planned(name, evaluations, planned["task_digest"])
    except (TypeError, ValueError) as error:
        if not is_told(error):
            raise
        return Examples(reason=_line(error))
    if task.digest != (runs := planned["task_digest"]):
        return Examples(reason=f"its definition is not that of the runs ({_digests(runs, task.digest)})")
    return Examples(task)


def _as_planned(name: str, evaluations: Sequence[str], digest: str) -> Task:
    """The task of a name, in the languages of its runs where that makes it theirs."""
    task = load_task(base_of(name))
    if settings := settings_of(name):
        task = task.varied(settings)
    if task.digest == digest or not task.languages:
        return task
    shown = [task.splits[task.evaluation[key]] for key in evaluations if key in task.evaluation]
    return task.in_languages(shown) if shown else task


def _digests(there: str, here: str) -> str:
    return f"digest {there[:12]} there, {here[:12]} here"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
