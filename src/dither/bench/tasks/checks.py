"""What a task must be: every check names the key of the TOML file that is wrong."""

from __future__ import annotations

import math
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from dither.bench.scoring.metrics import METRICS, check_metric
from dither.bench.tasks.keys import nearest, require

if TYPE_CHECKING:
    from dither.bench.tasks.task import Task

# What stands in the columns of each head, in order; tagging and span end with the label itself, and
# retrieval has none.
HEADS = {
    "classification": ("text", "second text (optional)"),
    "regression": ("text", "second text (optional)"),
    "tagging": ("tokens", "tags"),
    "span": ("question", "context", "answers"),
    "retrieval": ("source", "target"),
}
FORMATS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz")
_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)*", re.ASCII)
_BORROWED = re.compile(r"[\w.-]+(/[\w.-]+)+", re.ASCII)
_SPLIT = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_-]+)?", re.ASCII)


def check_names(task: Task) -> None:
    """Refuse a name that cannot be one, unknown kinds, and lists with repeated or empty names."""
    require(_NAME.fullmatch(task.base), "name", f"{task.name!r} is not like 'group/name' (A-Z a-z 0-9 _.-)")
    require(task.version >= 1, "version", f"{task.version} is below 1")
    for key, known in (("head", HEADS), ("source", ("builtin", "hub", "local"))):
        value = getattr(task, key)
        require(value in known, key, f"unknown {key} {value!r}; {nearest(value, known)}")
    for key in ("columns", "metrics", "primary", "evaluation", "labels", "languages"):
        held = list(getattr(task, key))
        require(held or key in ("labels", "languages"), key, "is empty")
        require(len({*held, ""}) == len(held) + 1, key, f"holds a repeated or empty name: {held}")


def check_head(task: Task) -> None:
    """Refuse columns, labels and metrics that do not fit the kind of head."""
    last, wanted, got = task.head in ("tagging", "span"), HEADS[task.head], list(task.columns)
    fits = len(got) == len(wanted) or (len(got) == 1 and "optional" in wanted[-1])
    require(fits, "columns", f"head {task.head!r} takes {', '.join(wanted)}; got {got}")
    require(task.label or task.retrieval, "label", "is missing")
    fits = task.label == got[-1] if last else task.label not in got
    require(fits, "label", f"{task.label!r} must {'end' if last else 'not be in'} the columns {got}")
    named, (low, high) = task.head in ("classification", "tagging"), task.range or (0, 1)
    require(not named or len(task.labels) > 1, "labels", f"needs two names at least; got {[*task.labels]}")
    require(named or not task.labels, "labels", f"head {task.head!r} has none")
    require((task.range is None) == (task.head != "regression"), "range", "regression needs it, no other")
    require(-math.inf < low < high < math.inf, "range", f"[{low}, {high}] is not [least, greatest], finite")
    for name in task.metrics:
        check_metric(name, task.head, task.labels)
    for name in task.primary:
        require(METRICS[name].scores if name in METRICS else True, "primary", f"{name!r} is no score")
        require(name in task.metrics, "primary", f"{name!r} is not measured; {nearest(name, task.metrics)}")


def check_splits(task: Task) -> None:
    """Refuse splits that are none, or that are trained and evaluated on."""
    own = () if task.trained else task.train_splits
    require(task.trained or any(own), "train", "is missing")
    places = [("train", split) for split in own]
    places += [(f"evaluation.{name}", split) for name, split in task.evaluation.items()]
    endings = tuple(f".{language}" for language in task.languages)
    for key, split in places:
        require(_SPLIT.fullmatch(split), key, f"split {split!r} is not like 'validation' or 'test.de'")
        fits = split.endswith(endings) if endings else "." not in split
        require(fits, key, f"split {split!r} must end in a language; the key 'languages' has {endings}")
        require(key == "train" or split not in task.train_splits, key, f"{split!r} is the train split")


def check_source(task: Task) -> None:
    """Refuse places that are not for the source of the task, or that lead out of its folder."""
    for key, source in (("hub", "hub"), ("borrowed", "hub"), ("files", "local"), ("builtin", "builtin")):
        require(task.source == source or not getattr(task, key), key, f"is for source = {source!r} alone")
    require(task.hub or task.source != "hub", "hub", "is missing")
    read = [split for split in task.read if task.reader(split) is task]
    bases = [split.partition(".")[0] for split in read]
    for split in task.hub.splits if task.hub else ():
        require(split in bases, f"hub.splits.{split}", f"is no split of the task; {nearest(split, bases)}")
    for split, text in task.borrowed.items():
        require(split in read, f"borrowed.{split}", f"is no split; {nearest(split, read)}")
        require(_BORROWED.fullmatch(text), f"borrowed.{split}", f"{text!r} is not like 'glue/mnli/train'")
    require(task.files.keys() in (set(), {*read}), "files", f"needs all of {read}")
    for split, text in task.files.items():
        path = PurePosixPath(text)
        inside = not path.is_absolute() and not {"..", "\\", "\0"} & {*path.parts, *text}
        require(inside, f"files.{split}", f"{text!r} leaves the folder of the task's file")
        require(text.endswith(FORMATS), f"files.{split}", f"{text!r} does not end in {', '.join(FORMATS)}")
