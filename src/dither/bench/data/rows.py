"""Rows of a task, each checked: the columns are there, labels and answers are what the task says."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from dither.bench.tasks.task import Task

Row = dict[str, Any]


def _text(value: Any, column: str) -> str:
    if not isinstance(value, str) or not (value.isascii() or re.fullmatch("[^\ud800-\udfff]*", value)):
        raise ValueError(f"column {column!r} holds {value!r:.80}, not a string or with lone surrogates")
    return value


def number_of(text: str) -> int | float | None:
    """The finite number that a text spells, or None; an underscore is no part of a number.

    Example:
        >>> number_of("12"), number_of("-0.5"), number_of("0_1"), number_of("nan"), number_of("good")
        (12, -0.5, None, None, None)
    """
    for kind in (int, float):
        with suppress(ValueError):
            number = kind("" if "_" in text else text)
            return number if math.isfinite(number) else None
    return None


@lru_cache(maxsize=64)
def numerals(labels: tuple[str, ...]) -> Mapping[float, list[int]]:
    """Number -> the ids of the labels whose name it is; empty where no name is a number.

    Example:
        >>> numerals(("2", "1", "none")), numerals(("bad", "good"))
        ({2: [0], 1: [1]}, {})
    """
    found: dict[float, list[int]] = {}
    for index, name in enumerate(labels):
        if (number := number_of(name)) is not None:
            found.setdefault(number, []).append(index)
    return found


def _label(value: Any, task: Task) -> Any:
    """Return a number in the task's range, or the id of a label or tag that is given by name or by number.

    A number is the name of a label where names are numbers, and its id (0 the first) where none is one.
    """
    if isinstance(value, str) and value in task.labels:
        return task.labels.index(value)
    low, high = task.range or (0, len(task.labels) - 1)
    named = numerals(task.labels)
    if named and type(value) in (int, float) and len(ids := named.get(value, [])) == 1:
        return ids[0]
    whole = type(value) in ((int, float) if task.range else (int,))
    if not named and whole and low <= value <= high:  # not NaN
        return float(value) if task.range else value
    allowed = ", ".join(f"{index} {name}" for index, name in enumerate(task.labels)) or f"{low:g} to {high:g}"
    if named:
        allowed = (
            f"{', '.join(map(repr, task.labels))}. Where names are numbers, a number is the name of a label "
            "in every format, never its place in the list"
        )
    raise ValueError(f"column {task.label!r}: unknown label {value!r:.80}; allowed: {allowed}")


def _tagged(row: Row, task: Task) -> Row:
    column, tokens, tags = task.columns[0], row[task.columns[0]], row[task.label]
    if not isinstance(tokens, list) or not isinstance(tags, list):
        raise ValueError(f"{column!r}, {task.label!r} must hold lists; got {tokens!r:.80}, {tags!r:.80}")
    if len(tokens) != len(tags):
        raise ValueError(f"{len(tokens)} {column}, but {len(tags)} {task.label}; one each")
    names = [task.labels[_label(tag, task)] for tag in tags]
    return {column: [_text(token, column) for token in tokens], task.label: names}


def _answered(row: Row, task: Task) -> Row:
    question, context = (_text(row[column], column) for column in task.columns[:2])
    answers = row[task.label] if isinstance(row[task.label], dict) else {}
    texts, starts = answers.get("text"), answers.get("answer_start")
    if not isinstance(texts, list) or not isinstance(starts, list) or not 0 < len(texts) == len(starts):
        wanted = "{'text': [...], 'answer_start': [...]} with as many of each, and one answer at least"
        raise ValueError(f"column {task.label!r} holds {row[task.label]!r:.80}; it must be {wanted}")
    for text, start in zip(texts, starts, strict=True):
        if type(start) is not int or start < 0 or not text:
            raise ValueError(
                f"empty answer (hidden or none?) or bad start: {text!r:.80}, {start!r:.80}; a score needs "
                "the answers, which copies of XTREME's test files lack"
            )
        if (found := context[start : start + len(_text(text, task.label))]) != text:
            raise ValueError(f"answer {text!r} is not in its context at {start}; there stands {found!r}")
    return dict(zip(task.columns, (question, context, {"text": texts, "answer_start": starts}), strict=True))


def _paired(row: Row, task: Task) -> Row:
    """A source and its target; in mining one of the two may be None, in CSV empty."""
    texts: Row = {}
    for column in task.columns:
        text = None if row[column] is None else _text(row[column], column).strip()
        texts[column] = text or None
    lost = [column for column, text in texts.items() if text is None]
    mined = task.retrieval is not None and task.retrieval.threshold_split
    if lost and not mined:
        raise ValueError(
            f"no text in column {', '.join(lost)}; each source needs its target, unless pairs are mined "
            "(threshold_split in [retrieval])"
        )
    if len(lost) == len(texts):
        raise ValueError(f"no text in column {' nor in '.join(lost)}; a row has one of them at least")
    return texts


_CHECKS = {"tagging": _tagged, "span": _answered, "retrieval": _paired}


def _checked(row: Any, task: Task, first: bool) -> Row:
    """Return the row with the task's columns alone, its label as an id, a number, tag names or answers."""
    if not isinstance(row, Mapping):
        raise ValueError(f"{row!r:.80} is not an object with the columns {', '.join(task.columns)}")
    needed = dict.fromkeys(filter(None, (*task.columns, task.label)))
    if missing := [column for column in needed if column not in row]:
        found = f"found {', '.join(map(str, row))}" + ("; is it another task's file?" if first else "")
        raise ValueError(f"no column {', '.join(missing)} ({task.name} needs {', '.join(needed)}); {found}")
    if (check := _CHECKS.get(task.head)) is not None:
        return check(dict(row), task)
    texts = {column: _text(row[column], column) for column in task.columns}
    return {**texts, task.label: _label(row[task.label], task)}


def checked_rows(rows: Iterable[tuple[int, Any]], task: Task, place: object) -> list[Row]:
    """Return the rows of one split with the task's columns alone.

    Args:
        rows: with the number of each: its line in a file, or its place in a table.
        task: whose columns and labels they must have.
        place: of the rows, for messages.

    Raises:
        ValueError: a row does not fit, named by place and number; or there is none.
    """
    checked: list[Row] = []
    for number, row in rows:
        try:
            checked.append(_checked(row, task, not checked))
        except ValueError as error:
            raise ValueError(f"{place}:{number}: {error}") from None
    if not checked:
        raise ValueError(f"{place}: no rows; {task.name} needs one at least in every split")
    return checked
