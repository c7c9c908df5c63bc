"""An experiment of a paper as data: tasks, arms, seeds, a model, and the figures that were published."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from dither.bench.tasks.subset import Subset
from dither.bench.tasks.variations import base_of, settings_of, spelled, with_settings


@dataclass(frozen=True, kw_only=True)
class Published:
    """Scores of one model as a paper has them: shown beside ours, never a test of ours.

    Attributes:
        model: its name on the Hub.
        label: its name in the paper.
        source: paper, table, and over what was averaged.
        scores: task -> arm -> points.
    """

    model: str
    label: str
    source: str
    scores: Mapping[str, Mapping[str, float]]

    def is_of(self, model: str) -> bool:
        """Whether a model as the user typed it bears this name, on the Hub or as a folder.

        Example:
            >>> row = Published(model="FacebookAI/roberta-base", label="RoBERTa", source="", scores={})
            >>> row.is_of("./models/roberta-base"), row.is_of("builtin")
            (True, False)
        """
        return model == self.model or Path(model).name == PurePosixPath(self.model).name


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """An experiment of a paper: tasks × arms × seeds on one model. Made by `load_reproduction` from TOML.

    Attributes:
        name: that users type.
        summary: one line.
        paper: authors and place.
        url: of the paper, or "".
        model: that it is about, a name on the Hub.
        tasks: names of tasks; below the file's folder where they are TOML files.
        methods: arms, `none` among them.
        seeds: as `0-8`.
        train_fractions: of each task's train split; none for all of it.
        recipe: what all tasks train with otherwise.
        claim: what the paper says came out, in words.
        missing: which of its figures are not at hand.
        differs: where the experiment differs from the paper, a sentence each.
        published: figures by model.
    """

    name: str
    summary: str
    paper: str
    model: str
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    seeds: str
    url: str = ""
    train_fractions: tuple[float, ...] = ()
    recipe: Mapping[str, Any]
    claim: str = ""
    missing: str = ""
    differs: tuple[str, ...] = ()
    published: tuple[Published, ...] = ()

    def tasks_of(self, bases: Sequence[str] = ()) -> tuple[str, ...]:
        """The names of the tasks, each with every fraction of its train split.

        Args:
            bases: tasks to take instead of the experiment's own.
        """
        shares = self.train_fractions
        return tuple(
            name
            for task in bases or self.tasks
            for name in ([with_settings(task, train_fraction=share) for share in shares] or [task])
        )

    def figures_for(self, model: str) -> tuple[Published, ...]:
        """The published figures of a model; of all models where it is none of them."""
        return tuple(row for row in self.published if row.is_of(model)) or self.published


def comparable(task: str) -> str:
    """The task as its figures are looked up: what it trains on counts, its recipe does not.

    Example:
        >>> comparable("glue/rte@epochs=3"), comparable("glue/rte@train_fraction=0.1,epochs=3")
        ('glue/rte', 'glue/rte@train_fraction=0.1')
    """
    parts = {each.name for each in fields(Subset)}
    return spelled(base_of(task), {key: value for key, value in settings_of(task).items() if key in parts})
