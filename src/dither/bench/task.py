"""Tasks as data: one TOML file says what is read, predicted, measured and how it is trained."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

from dither.bench.metrics import METRICS, check_metric, nearest
from dither.bench.place import Hub, for_each_language
from dither.bench.recipe import Recipe
from dither.bench.subset import HELD_OUT, Subset
from dither.bench.variations import base_of, settings_of, spelled

# What stands in the columns of each head, in order; tagging and span end with the label itself.
HEADS = {
    "classification": ("text", "second text (optional)"),
    "regression": ("text", "second text (optional)"),
    "tagging": ("tokens", "tags"),
    "span": ("question", "context", "answers"),
}
FORMATS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz")
_LATER = {"borrowed", "spoken", "renamed", "rows", "subset"}
"""Keys that came later: where they are empty, a task keeps the digest that it had without them."""
_NAME = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)*", re.ASCII)
_BORROWED = re.compile(r"[\w.-]+(/[\w.-]+)+", re.ASCII)
_SPLIT = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_-]+)?", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task: what is read, predicted, measured and how it is trained. Made by `load_task` from a TOML file.

    A split is `name` or, when `languages` are given, `name.language`. Training reads one split, each
    evaluation another: zero-shot transfer is `train = "train.en"` with `evaluation = {de = "test.de"}`, and
    `"{language}" = "test.{language}"` is one evaluation for each language.
    """

    name: str  # with what `varied` changed, as in "glue/rte@train_fraction=0.1"
    version: int
    summary: str
    head: str  # one of HEADS
    columns: tuple[str, ...]
    metrics: tuple[str, ...]  # all that are reported
    primary: tuple[str, ...]  # the score is 100 · their mean over all evaluations
    train: str
    evaluation: Mapping[str, str]  # name -> split
    source: str  # builtin, hub or local
    recipe: Recipe
    label: str = ""  # column; tagging and span: always the last of `columns`
    labels: tuple[str, ...] = ()  # names in the order of their ids (classification, tagging)
    range: tuple[float, float] | None = None  # least and greatest label (regression)
    languages: tuple[str, ...] = ()
    hub: Hub | None = None
    files: Mapping[str, str] = field(default_factory=dict)  # split -> path below `folder` (local)
    borrowed: Mapping[str, str] = field(default_factory=dict)  # split -> "task/split" that it is taken from
    builtin: str = ""  # the name in dither.builtin; by default the last part of `name`
    subset: Subset | None = None  # of the train split; None for all of it
    folder: Path | None = field(default=None, compare=False)  # that of the TOML file

    def __post_init__(self) -> None:
        if self.head in ("tagging", "span") and self.columns:
            object.__setattr__(self, "label", self.label or self.columns[-1])
        if self.source == "builtin" and not self.builtin:
            object.__setattr__(self, "builtin", self.base.rpartition("/")[2])
        for key in ("evaluation", "borrowed"):
            object.__setattr__(self, key, for_each_language(getattr(self, key), self.languages))
        for check in (_check_names, _check_head, _check_splits, _check_source):
            check(self)

    @property
    def base(self) -> str:
        """The name of the task that this is a variation of: there its rows lie."""
        return base_of(self.name)

    @property
    def splits(self) -> dict[str, str]:
        """Every split, train first, with its language ("" without languages)."""
        return {name: name.partition(".")[2] for name in [self.train, *self.evaluation.values()]}

    @property
    def read(self) -> list[str]:
        """Every split whose rows lie somewhere: all but what is held out of the train split."""
        cut = self.subset is not None and self.subset.held_out > 0
        return [split for split in self.splits if not (cut and split.partition(".")[0] == HELD_OUT)]

    @property
    def digest(self) -> str:
        """SHA-256 of all that can change a result: everything but the summary and the folder."""
        content = {key: value for key, value in asdict(self).items() if key not in ("summary", "folder")}
        for table in (content, content["hub"] or {}):
            for key in _LATER & {key for key, value in table.items() if not value}:
                del table[key]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def in_languages(self, languages: Sequence[str]) -> "Task":
        """Return the task evaluated in some of its languages alone.

        Args:
            languages: of the task, one at least.

        Raises:
            ValueError: a language that the task has not.

        Example:
            >>> from dither.bench.task_files import load_task
            >>> load_task("xtreme/pawsx").in_languages(["de", "ko"]).evaluation
            {'de': 'test.de', 'ko': 'test.ko'}
        """
        for language in languages:
            if language not in self.languages:
                known = nearest(language, self.languages)
                raise ValueError(f"task {self.name!r} has no language {language!r}; {known}")
        kept = {name: split for name, split in self.evaluation.items() if self.splits[split] in languages}
        wanted = {*languages, self.splits[self.train]}
        spoken = tuple(language for language in self.languages if language in wanted)
        return self._evaluated(kept, languages=spoken)

    def varied(self, settings: Mapping[str, Any]) -> "Task":
        """Return the task trained otherwise: with another recipe, or on a part of its train split.

        A variation is a task of its own, with its own plain runs: methods are compared under one variation.

        Args:
            settings: of `Recipe` and `Subset`, by name. With `held_out` the task is evaluated on what is
                held out of its train split, and no other split is read: that is what settings are selected
                on.

        Raises:
            ValueError, TypeError: an unknown setting, or a value out of its range.

        Example:
            >>> from dither.bench.task_files import load_task
            >>> load_task("glue/rte").varied({"train_fraction": 0.1}).name
            'glue/rte@train_fraction=0.1'
        """
        portions, recipes = ([each.name for each in fields(kind)] for kind in (Subset, Recipe))
        for name in settings:
            if name not in (*portions, *recipes):
                hint = nearest(name, (*portions, *recipes))
                raise ValueError(f"task {self.base!r} has no setting {name!r}; {hint}")
        subset = replace(
            self.subset or Subset(), **{key: settings[key] for key in portions if key in settings}
        )
        recipe = replace(self.recipe, **{key: settings[key] for key in recipes if key in settings})
        chosen = {
            key: getattr(recipe, key) for key in recipes if key in {**settings, **settings_of(self.name)}
        }
        changed = {key: value for key, value in asdict(subset).items() if value != getattr(Subset(), key)}
        name = spelled(self.base, {**changed, **chosen})
        _, dot, language = self.train.partition(".")
        held = {HELD_OUT: f"{HELD_OUT}{dot}{language}"} if subset.held_out else self.evaluation
        return self._evaluated(held, name=name, recipe=recipe, subset=subset if changed else None)

    def _evaluated(self, evaluation: Mapping[str, str], **changes: Any) -> "Task":
        """Return the task with some of its evaluations, and no word about splits that it no longer reads."""
        splits = (self.train, *evaluation.values())
        hub, bases = self.hub, {split.partition(".")[0] for split in splits}
        if hub is not None:
            hub = replace(hub, splits={ours: theirs for ours, theirs in hub.splits.items() if ours in bases})
        borrowed, files = (
            {split: place for split, place in table.items() if split in splits}
            for table in (self.borrowed, self.files)
        )
        return replace(self, evaluation=evaluation, hub=hub, borrowed=borrowed, files=files, **changes)


def require(held: object, key: str, problem: str) -> None:
    """Refuse a task whose key has a problem, unless what it needs is held."""
    if not held:
        raise ValueError(f"key {key!r}: {problem}")


def _check_names(task: Task) -> None:
    require(_NAME.fullmatch(task.base), "name", f"{task.name!r} is not like 'group/name' (A-Z a-z 0-9 _.-)")
    require(task.version >= 1, "version", f"{task.version} is below 1")
    for key, known in (("head", HEADS), ("source", ("builtin", "hub", "local"))):
        value = getattr(task, key)
        require(value in known, key, f"unknown {key} {value!r}; {nearest(value, known)}")
    for key in ("columns", "metrics", "primary", "evaluation", "labels", "languages"):
        held = list(getattr(task, key))
        require(held or key in ("labels", "languages"), key, "is empty")
        require(len({*held, ""}) == len(held) + 1, key, f"holds a repeated or empty name: {held}")


def _check_head(task: Task) -> None:
    last, wanted, got = task.head in ("tagging", "span"), HEADS[task.head], list(task.columns)
    fits = len(got) == len(wanted) or (len(got) == 1 and not last)
    require(fits, "columns", f"head {task.head!r} takes {', '.join(wanted)}; got {got}")
    require(task.label, "label", "is missing")
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


def _check_splits(task: Task) -> None:
    places = {"train": task.train, **{f"evaluation.{name}": split for name, split in task.evaluation.items()}}
    endings = tuple(f".{language}" for language in task.languages)
    for key, split in places.items():
        require(_SPLIT.fullmatch(split), key, f"split {split!r} is not like 'validation' or 'test.de'")
        fits = split.endswith(endings) if endings else "." not in split
        require(fits, key, f"split {split!r} must end in a language; the key 'languages' has {endings}")
        require(key == "train" or split != task.train, key, f"{split!r} is the train split")


def _check_source(task: Task) -> None:
    for key, source in (("hub", "hub"), ("borrowed", "hub"), ("files", "local"), ("builtin", "builtin")):
        require(task.source == source or not getattr(task, key), key, f"is for source = {source!r} alone")
    require(task.hub or task.source != "hub", "hub", "is missing")
    bases = [split.partition(".")[0] for split in task.read]
    for split in task.hub.splits if task.hub else ():
        require(split in bases, f"hub.splits.{split}", f"is no split of the task; {nearest(split, bases)}")
    for split, text in task.borrowed.items():
        require(split in task.splits, f"borrowed.{split}", f"is no split; {nearest(split, task.splits)}")
        require(_BORROWED.fullmatch(text), f"borrowed.{split}", f"{text!r} is not like 'glue/mnli/train'")
    require(task.files.keys() in (set(), set(task.read)), "files", f"needs all of {task.read}")
    for split, text in task.files.items():
        path = PurePosixPath(text)
        inside = not path.is_absolute() and not {"..", "\\", "\0"} & {*path.parts, *text}
        require(inside, f"files.{split}", f"{text!r} leaves the folder of the task's file")
        require(text.endswith(FORMATS), f"files.{split}", f"{text!r} does not end in {', '.join(FORMATS)}")
