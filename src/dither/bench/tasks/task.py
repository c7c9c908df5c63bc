"""Tasks as data: one TOML file says what is read, predicted, measured and how it is trained."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from dither.bench.tasks.checks import check_head, check_names, check_source, check_splits
from dither.bench.tasks.keys import nearest
from dither.bench.tasks.place import Hub, for_each_language
from dither.bench.tasks.recipe import Recipe
from dither.bench.tasks.retrieval import Retrieval, check_retrieval
from dither.bench.tasks.subset import HELD_OUT, Subset
from dither.bench.tasks.variations import base_of, settings_of, spelled

_LATER: dict[str, Any] = {
    **dict.fromkeys(("borrowed", "spoken", "renamed", "rows", "train_from", "retrieval", "subset")),
    **dict.fromkeys(("group_by_length", "gradient_checkpointing", "max_steps")),
    "precision": "float32",
    "gradient_accumulation": 1,
    "head_weights": "new",
}
"""Keys that came later: where they are empty or at this default, a task keeps the digest of before."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task: what is read, predicted, measured and how it is trained. Made by `load_task` from a TOML file.

    A split is `name` or, when `languages` are given, `name.language`. Training reads one split or several,
    each evaluation another: zero-shot transfer is `train = "train.en"` with `evaluation = {de = "test.de"}`,
    and `"{language}" = "test.{language}"` is one evaluation for each language. A task with `train_from` has
    no training of its own: train splits, their head and, by default, the recipe are those of another task.
    """

    name: str  # with what `varied` changed, as in "glue/rte@train_fraction=0.1"
    version: int
    summary: str
    head: str  # one of `dither.bench.tasks.checks.HEADS`
    columns: tuple[str, ...]
    metrics: tuple[str, ...]  # all that are reported
    primary: tuple[str, ...]  # the score is 100 · their mean over all evaluations
    evaluation: Mapping[str, str]  # name -> split
    source: str  # builtin, hub or local
    recipe: Recipe
    train: str | tuple[str, ...] = ""  # split, or several in order; `{language}` stands for each language
    train_from: str = ""  # the task whose training this one takes
    trained: "Task | None" = None  # that task, as loaded
    retrieval: Retrieval | None = None
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
        for check in (check_names, check_retrieval, check_head, check_splits, check_source):
            check(self)

    @property
    def base(self) -> str:
        """The name of the task that this is a variation of: there its rows lie."""
        return base_of(self.name)

    @property
    def learned(self) -> "Task":
        """The task that is trained on: that of `train_from`, or this one."""
        return self.trained or self

    @property
    def train_splits(self) -> tuple[str, ...]:
        """The splits that are trained on, one after the other."""
        if self.trained:
            return self.trained.train_splits
        given = (self.train,) if isinstance(self.train, str) else self.train
        return tuple(
            dict.fromkeys(
                split for text in given for split in for_each_language({text: text}, self.languages)
            )
        )

    @property
    def splits(self) -> dict[str, str]:
        """Every split that is read, train first, with its language ("" without languages)."""
        return {name: name.partition(".")[2] for name in (*self.train_splits, *self.predicted)}

    @property
    def predicted(self) -> list[str]:
        """Every split that a run predicts on: those of the evaluations, then those of their thresholds."""
        evaluated = [*self.evaluation.values()]
        shown = [self.retrieval.threshold_for(split) for split in evaluated] if self.retrieval else []
        return [*evaluated, *filter(None, shown)]

    def reader(self, split: str) -> "Task":
        """The task that says how the rows of a split are read: `learned` for those of training."""
        return self.learned if split in self.train_splits else self

    @property
    def read(self) -> list[str]:
        """Every split whose rows lie somewhere: all but what is held out of the train split."""
        cut = self.subset is not None and self.subset.held_out > 0
        return [split for split in self.splits if not (cut and split.partition(".")[0] == HELD_OUT)]

    @property
    def digest(self) -> str:
        """SHA-256 of all that can change a result: everything but the summary and the folder."""
        skipped = ("summary", "folder", "trained")
        content = {key: value for key, value in asdict(self).items() if key not in skipped}
        splits = self.train_splits
        content["train"] = splits[0] if len(splits) == 1 else splits
        if self.trained:
            content["train"] = self.trained.digest
        for table in (content, content["hub"] or {}, content["recipe"]):
            for key, default in _LATER.items():
                if key in table and (not table[key] or table[key] == default):
                    del table[key]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def in_languages(self, languages: Sequence[str]) -> "Task":
        """Return the task evaluated in some of its languages alone.

        Of its train splits those remain that are written out, and of those with `{language}` the ones in
        these languages. What is held out of the train splits that remain stays an evaluation.

        Args:
            languages: of the task, one at least.

        Raises:
            ValueError: a language that the task has not.

        Example:
            >>> from dither.bench.tasks.files import load_task
            >>> load_task("xtreme/pawsx").in_languages(["de", "ko"]).evaluation
            {'de': 'test.de', 'ko': 'test.ko'}
        """
        for language in languages:
            if language not in self.languages:
                known = nearest(language, self.languages)
                raise ValueError(f"task {self.name!r} has no language {language!r}; {known}")
        wanted = {*languages, *(self.splits[split] for split in self.always)}
        shown = wanted if self.subset and self.subset.held_out else languages
        kept = {name: split for name, split in self.evaluation.items() if self.splits[split] in shown}
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
            >>> from dither.bench.tasks.files import load_task
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
        held = self._held_out() if subset.held_out else self.evaluation
        return self._evaluated(held, name=name, recipe=recipe, subset=subset if changed else None)

    def _held_out(self) -> dict[str, str]:
        """The evaluations on what is held out of each train split."""
        if self.trained:
            raise ValueError(
                f"held_out: {self.base} trains on {self.trained.name} and is evaluated otherwise; search on "
                "that task"
            )
        held = {split: HELD_OUT + split[len(split.partition(".")[0]) :] for split in self.train_splits}
        if len(set(held.values())) < len(held):
            raise ValueError(f"held_out: {self.base} has several train splits of one language")
        return {split.replace(f"{HELD_OUT}.", ""): split for split in held.values()}

    def _evaluated(self, evaluation: Mapping[str, str], **changes: Any) -> "Task":
        """Return the task with some of its evaluations, and no word about splits that it no longer reads."""
        hub = replace(self.hub, splits={}) if self.hub else None
        some = replace(self, evaluation=evaluation, borrowed={}, files={}, hub=hub, **changes)
        lent, files = (
            {split: place for split, place in table.items() if split in some.splits}
            for table in (self.borrowed, self.files)
        )
        if self.hub is not None:
            bases = {split.partition(".")[0] for split in some.read}
            named = {ours: theirs for ours, theirs in self.hub.splits.items() if ours in bases}
            hub = replace(self.hub, splits=named)
        return replace(some, borrowed=lent, files=files, hub=hub)

    @property
    def always(self) -> list[str]:
        """The train splits that stay whatever the languages are: those that are written out, or lent."""
        given = (self.train,) if isinstance(self.train, str) else self.train
        return [split for split in self.train_splits if self.trained or split in given]
