"""The eight tasks, one at least for each kind of head, and their splits."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from dither.builtin.dice import Dice
from dither.builtin.language import LANGUAGES, Language
from dither.builtin.tasks import (
    acceptability,
    entailment,
    mining,
    question_answering,
    retrieval,
    sentiment,
    similarity,
    tagging,
)

VERSION = 1  # part of every seed: another version has other rows
VALIDATION = 480
SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Task:
    """A task: how to draw an item, and how to write it as a row of a language.

    Args:
        name: The task's name.
        draw: Item number i from dice; the number decides what goes round by turns, such as the label.
        row: The row of an item in a language, without its ``idx``.
        train: Rows of the train split.
    """

    name: str
    draw: Callable[[Dice, int], Any]
    row: Callable[[Any, Language], dict[str, Any]]
    train: int


_MODULES = (acceptability, sentiment, entailment, similarity, tagging, question_answering, retrieval, mining)
REGISTRY: dict[str, Task] = {
    module.NAME: Task(module.NAME, module.draw, module.row, module.TRAIN) for module in _MODULES
}


def rows(task: str, split: str, lang: str = "en") -> list[dict[str, Any]]:
    """Return the rows of a split; the same bytes everywhere, and row i says the same in every language.

    Args:
        task: One of the eight tasks.
        split: ``train`` or ``validation``.
        lang: ``en`` (English) or ``xx`` (Lumari).

    Raises:
        KeyError: If there is no such task, split or language.

    Example:
        >>> row = rows("sentiment", "validation")[0]
        >>> sorted(row)
        ['idx', 'label', 'sentence']
    """
    for value, known, what in (
        (task, REGISTRY, "task"),
        (split, SPLITS, "split"),
        (lang, LANGUAGES, "language"),
    ):
        _check(value, known, what)
    language = Language(lang)
    drawn = _items(task)[:VALIDATION] if split == "validation" else _items(task)[VALIDATION:]
    return [REGISTRY[task].row(item, language) | {"idx": i} for i, item in enumerate(drawn)]


@cache
def _items(name: str) -> tuple[Any, ...]:
    """Return all items of a task, validation first; no two read the same in any language."""
    task = REGISTRY[name]
    dice = Dice(f"dither {name} {VERSION}")
    items: list[Any] = []
    seen: set[str] = set()
    while len(items) < VALIDATION + task.train:
        item = task.draw(dice, len(items))
        keys = {inputs(task.row(item, Language(code))) for code in LANGUAGES}
        if not keys & seen:
            items.append(item)
            seen |= keys
    return tuple(items)


def inputs(row: dict[str, Any]) -> str:
    """Return what a model is shown of a row: everything but the answer."""
    return repr([row[key] for key in sorted(row) if key not in ("label", "answers", "tags", "idx")])


def _check(value: str, known: Iterable[str], what: str) -> None:
    names = tuple(known)
    if value not in names:
        near = difflib.get_close_matches(str(value), names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise KeyError(f"no built-in {what} {value!r}{hint} There are: {', '.join(names)}")
