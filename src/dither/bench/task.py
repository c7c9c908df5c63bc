"""Tasks as data: one TOML file says what is read, predicted, measured and how it is trained."""

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any

from dither.bench.metrics import METRICS, check_metric, nearest
from dither.bench.place import Hub, for_each_language
from dither.bench.recipe import Recipe

# What stands in the columns of each head, in order; tagging and span end with the label itself.
HEADS = {
    "classification": ("text", "second text (optional)"),
    "regression": ("text", "second text (optional)"),
    "tagging": ("tokens", "tags"),
    "span": ("question", "context", "answers"),
}
FORMATS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz")
_LATER = {"borrowed", "spoken", "renamed", "rows"}
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

    name: str
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
    folder: Path | None = field(default=None, compare=False)  # that of the TOML file

    def __post_init__(self) -> None:
        if self.head in ("tagging", "span") and self.columns:
            object.__setattr__(self, "label", self.label or self.columns[-1])
        if self.source == "builtin" and not self.builtin:
            object.__setattr__(self, "builtin", self.name.rpartition("/")[2])
        for key in ("evaluation", "borrowed"):
            object.__setattr__(self, key, for_each_language(getattr(self, key), self.languages))
        for check in (_check_names, _check_head, _check_splits, _check_source):
            check(self)

    @property
    def splits(self) -> dict[str, str]:
        """Every split that is read, train first, with its language ("" without languages)."""
        return {name: name.partition(".")[2] for name in [self.train, *self.evaluation.values()]}

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
            >>> load_task("xtreme/pawsx").in_languages(["de", "ko"]).evaluation
            {'de': 'test.de', 'ko': 'test.ko'}
        """
        for language in languages:
            if language not in self.languages:
                known = nearest(language, self.languages)
                raise ValueError(f"task {self.name!r} has no language {language!r}; {known}")
        kept = {name: split for name, split in self.evaluation.items() if self.splits[split] in languages}
        wanted = {*languages, self.splits[self.train]}
        return replace(
            self,
            languages=tuple(language for language in self.languages if language in wanted),
            evaluation=kept,
            borrowed={x: lent for x, lent in self.borrowed.items() if x in (self.train, *kept.values())},
        )


def _require(held: object, key: str, problem: str) -> None:
    if not held:
        raise ValueError(f"key {key!r}: {problem}")


def _check_names(task: Task) -> None:
    _require(_NAME.fullmatch(task.name), "name", f"{task.name!r} is not like 'group/name' (A-Z a-z 0-9 _.-)")
    _require(task.version >= 1, "version", f"{task.version} is below 1")
    for key, known in (("head", HEADS), ("source", ("builtin", "hub", "local"))):
        value = getattr(task, key)
        _require(value in known, key, f"unknown {key} {value!r}; {nearest(value, known)}")
    for key in ("columns", "metrics", "primary", "evaluation", "labels", "languages"):
        held = list(getattr(task, key))
        _require(held or key in ("labels", "languages"), key, "is empty")
        _require(len({*held, ""}) == len(held) + 1, key, f"holds a repeated or empty name: {held}")


def _check_head(task: Task) -> None:
    last, wanted, got = task.head in ("tagging", "span"), HEADS[task.head], list(task.columns)
    fits = len(got) == len(wanted) or (len(got) == 1 and not last)
    _require(fits, "columns", f"head {task.head!r} takes {', '.join(wanted)}; got {got}")
    _require(task.label, "label", "is missing")
    fits = task.label == got[-1] if last else task.label not in got
    _require(fits, "label", f"{task.label!r} must {'end' if last else 'not be in'} the columns {got}")
    named, (low, high) = task.head in ("classification", "tagging"), task.range or (0, 1)
    _require(not named or len(task.labels) > 1, "labels", f"needs two names at least; got {[*task.labels]}")
    _require(named or not task.labels, "labels", f"head {task.head!r} has none")
    _require((task.range is None) == (task.head != "regression"), "range", "regression needs it, no other")
    _require(-math.inf < low < high < math.inf, "range", f"[{low}, {high}] is not [least, greatest], finite")
    for name in task.metrics:
        check_metric(name, task.head, task.labels)
    for name in task.primary:
        _require(METRICS[name].scores if name in METRICS else True, "primary", f"{name!r} is no score")
        _require(name in task.metrics, "primary", f"{name!r} is not measured; {nearest(name, task.metrics)}")


def _check_splits(task: Task) -> None:
    places = {"train": task.train, **{f"evaluation.{name}": split for name, split in task.evaluation.items()}}
    endings = tuple(f".{language}" for language in task.languages)
    for key, split in places.items():
        _require(_SPLIT.fullmatch(split), key, f"split {split!r} is not like 'validation' or 'test.de'")
        fits = split.endswith(endings) if endings else "." not in split
        _require(fits, key, f"split {split!r} must end in a language; the key 'languages' has {endings}")
        _require(key == "train" or split != task.train, key, f"{split!r} is the train split")


def _check_source(task: Task) -> None:
    for key, source in (("hub", "hub"), ("borrowed", "hub"), ("files", "local"), ("builtin", "builtin")):
        _require(task.source == source or not getattr(task, key), key, f"is for source = {source!r} alone")
    _require(task.hub or task.source != "hub", "hub", "is missing")
    bases = [split.partition(".")[0] for split in task.splits]
    for split in task.hub.splits if task.hub else ():
        _require(split in bases, f"hub.splits.{split}", f"is no split of the task; {nearest(split, bases)}")
    for split, text in task.borrowed.items():
        _require(split in task.splits, f"borrowed.{split}", f"is no split; {nearest(split, task.splits)}")
        _require(_BORROWED.fullmatch(text), f"borrowed.{split}", f"{text!r} is not like 'glue/mnli/train'")
    _require(task.files.keys() in (set(), task.splits.keys()), "files", f"needs all of {[*task.splits]}")
    for split, text in task.files.items():
        path = PurePosixPath(text)
        inside = not path.is_absolute() and not {"..", "\\", "\0"} & {*path.parts, *text}
        _require(inside, f"files.{split}", f"{text!r} leaves the folder of the task's file")
        _require(text.endswith(FORMATS), f"files.{split}", f"{text!r} does not end in {', '.join(FORMATS)}")


_PAIR = tuple[float, float] | None
_KINDS: dict[object, tuple[str, type, set[type]]] = {  # field -> what TOML must hold: container, items
    str: ("a string", str, set()),
    int: ("an integer", int, set()),
    tuple[str, ...]: ("a list of strings", list, {str}),
    _PAIR: ("a list of two numbers", list, {int, float}),
    Mapping[str, str]: ("a table of strings", dict, {str}),
}


def _value(kind: Any, value: Any, key: str) -> Any:
    """Turn the TOML value of one key into that of its field, whose type says what it must be."""
    if kind in (Recipe, Hub | None):
        _require(isinstance(value, dict), key, f"{value!r} is not a table")
        return _build(Recipe if kind is Recipe else Hub, value, f"{key}.")
    if kind not in _KINDS:  # a number of Recipe, which checks it itself
        return value
    what, outer, inner = _KINDS[kind]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    fits = type(value) is outer and {type(item) for item in items} <= inner
    _require(fits and (kind != _PAIR or len(value) == 2), key, f"{value!r} is not {what}")
    return tuple(value) if outer is list else value


def _build(kind: type, table: Mapping[str, Any], prefix: str = "") -> Any:
    """Make a dataclass from a TOML table, whose keys are its fields: none unknown, none missing."""
    known = {each.name: each.type for each in fields(kind) if each.name != "folder"}
    for key in table:
        _require(key in known, prefix + key, f"is unknown; {nearest(key, known)}")
    for key in (each.name for each in fields(kind) if each.default is each.default_factory is MISSING):
        _require(key in table, prefix + key, "is missing")
    values = {key: _value(known[key], value, prefix + key) for key, value in table.items()}
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{prefix}{error}") from None


def available_tasks() -> dict[str, Path]:
    """Return the tasks of this package: name -> TOML file, sorted by name.

    Example:
        >>> [name for name in available_tasks() if name.startswith("glue/m")]
        ['glue/mnli', 'glue/mrpc']
    """
    root = Path(__file__).parent / "tasks"
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in sorted(root.rglob("*.toml"))}


def load_task(name_or_path: str | Path) -> Task:
    """Return a task of this package by name, or a user's own from a path that ends in `.toml`.

    Raises:
        ValueError: no task of that name, or an error in the file; it says the file and the key.

    Example:
        >>> load_task("glue/mnli").evaluation
        {'matched': 'validation_matched', 'mismatched': 'validation_mismatched'}
    """
    text, known = str(name_or_path), available_tasks()
    path = known.get(text) or Path(text)
    if path.suffix == ".toml" and not path.is_file():
        raise ValueError(f"there is no task file {text}; `dither tasks` lists the tasks that have a name")
    if path.suffix != ".toml":
        raise ValueError(f"unknown task {text!r}; {nearest(text, known)}; or the path of a .toml file")
    try:
        return replace(_build(Task, tomllib.loads(path.read_bytes().decode())), folder=path.parent)
    except ValueError as error:  # of ours, of tomllib, of the decoder
        raise ValueError(f"{path}: {error}") from error
