"""Rows of a task from local files, the Hugging Face Hub or the built-in grammar: checked, counted, hashed."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from threading import Lock
from typing import Any

from dither import builtin
from dither.bench.data.hub import from_hub
from dither.bench.data.rows import Row, checked_rows, number_of
from dither.bench.tasks.checks import FORMATS
from dither.bench.tasks.files import load_task
from dither.bench.tasks.subset import strata
from dither.bench.tasks.task import Task
from dither.checkpoint.strict_json import unique


@dataclass(frozen=True)
class Provenance:
    """Where a split came from, with the SHA-256 of the file's bytes or of the rows.

    `kind` is file, hub, builtin, or part: some rows of what stands at `place`, and `sha256` is of the whole.
    """

    kind: str
    place: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class TaskData:
    """The rows of a task: split -> rows, split -> provenance, and one SHA-256 over all rows in order.

    `trained` is a SHA-256 over the rows of the train splits alone, in order, whatever the splits are called.

    A row holds the task's columns and label alone: an id (classification), a float (regression), tag names
    (tagging) or `{"text": [...], "answer_start": [...]}` (span). `digest` does not depend on their source.
    """

    splits: dict[str, list[Row]]
    sources: dict[str, Provenance]
    digest: str
    trained: str


class _Hashed(io.RawIOBase):
    """A binary file that hashes what is read from it, so that it is read once."""

    def __init__(self, file: io.FileIO) -> None:
        self.file, self.sha256 = file, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self.file.readinto(buffer)
        self.sha256.update(memoryview(buffer)[:count])
        return count


def _lines(stream: Any, path: Path) -> Iterator[str]:
    """Yield the lines of a file, which may be gzipped, with their ends; the byte order mark goes."""
    number = 0
    try:
        for number, line in enumerate(gzip.GzipFile(fileobj=stream) if path.suffix == ".gz" else stream, 1):
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}:{number}: not UTF-8: {error.reason} at byte {error.start + 1}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: damaged gzip file after line {number}: {error}; fetch it again") from error


def _json_rows(lines: Iterator[str], place: object, task: Task) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(lines, 1):
        try:
            yield from [(number, json.loads(line, object_pairs_hook=unique))] if line.strip() else []
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{place}:{number}: broken JSON: {error}") from error


def _csv_rows(lines: Iterator[str], place: object, task: Task) -> Iterator[tuple[int, Any]]:
    header: list[str] = []
    twice: list[str] = []
    for first, last, cells in _records(lines, place):
        if not header:
            header = cells
            twice = [name for name in (*task.columns, task.label) if header.count(name) > 1]
            continue
        if twice or len(cells) != len(header):
            reason = f"{len(cells)} cells for {len(set(header))} names in the header"
            if twice:
                reason += f"; {twice[0]!r} stands there twice: give each column a name of its own"
            elif last > first:
                reason += f"; the row goes on to line {last}: does a quote stand open?"
            raise ValueError(f"{place}:{first}: broken CSV: {reason}")
        row: Row = dict(zip(header, cells, strict=True))
        if task.label in row and row[task.label] not in task.labels:
            # What is no number may be a wrong name: the check will tell.
            number = number_of(row[task.label])
            row[task.label] = row[task.label] if number is None else number
        yield first, row


def _records(lines: Iterator[str], place: object) -> Iterator[tuple[int, int, list[str]]]:
    """The records of a CSV file that hold anything, each with its first and its last line."""
    reader = csv.reader(lines, strict=True)
    while True:
        first = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            reason = next((ours for theirs, ours in _CSV_ERRORS.items() if theirs in str(error)), str(error))
            seen = f" (seen in line {reader.line_num})" if reader.line_num > first else ""
            raise ValueError(f"{place}:{first}: broken CSV: {reason}{seen}") from error
        if cells is None:
            return
        if cells:
            yield first, reader.line_num, cells


_CSV_ERRORS = {
    "unexpected end of data": "in the row that begins here a quote opens that none closes; one that is text "
    'is written twice ("") in a cell with quotes around it',
    "expected after": "a cell goes on after the quote that closes it; a quote that is text itself is written "
    'twice ("")',
    "new-line character": "a carriage return stands alone; end lines with a line feed, or with both",
}
"""A part of the csv module's message -> what it means for the file."""

_CSV_LIMIT = Lock()


@contextmanager
def _cells_of_any_length() -> Iterator[None]:
    """The csv module's limit, 131,072 characters a cell unless somebody sets it, is one for the process."""
    with _CSV_LIMIT:
        before = csv.field_size_limit(sys.maxsize)
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _find(folder: Path, names: list[str]) -> Path:
    if len(found := [name for name in names if (folder / name).is_file()]) > 1:
        raise ValueError(f"{folder}: {' and '.join(found)} are both there; keep one")
    if not found:
        near = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
        there = ", ".join(sorted(path.name for path in near.iterdir())[:40]) or "nothing"
        raise FileNotFoundError(f"looked in {folder} for {' or '.join(names)}; in {near} there is: {there}")
    return folder / found[0]


def _from_file(task: Task, split: str, folder: Path) -> tuple[list[Row], Provenance]:
    given = folder / task.files.get(split, split)
    path = _find(given.parent, [given.name] if task.files else [given.name + ending for ending in FORMATS])
    if task.source == "local" and not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{path} leads out of {folder} through a link; put the file itself there")
    read = _csv_rows if path.name.endswith((".csv", ".csv.gz")) else _json_rows
    with path.open("rb", buffering=0) as file, _cells_of_any_length():
        hashed = _Hashed(file)
        lines = _lines(io.BufferedReader(hashed, 1 << 20), path)
        rows = checked_rows(read(lines, path, task), task, path)
    return rows, Provenance("file", str(path), hashed.sha256.hexdigest(), len(rows))


def _from_builtin(task: Task, split: str) -> tuple[str, Iterable[Any]]:
    name, _, language = split.partition(".")
    return f"builtin/{task.builtin}/{split}", builtin.rows(task.builtin, name, language or "en")


def _folder(task: Task, data_dir: str | Path | None) -> Path | None:
    """Where the files of a task lie; None for one of the Hub or of the package."""
    if task.source == "builtin" or (task.source == "hub" and not data_dir):
        return None
    return task.folder if task.source == "local" else Path(data_dir or ".") / task.base


def _read(task: Task, split: str, data_dir: str | Path | None) -> tuple[list[Row], Provenance]:
    task = task.reader(split)
    if split in task.borrowed:
        lender, _, lent = task.borrowed[split].rpartition("/")
        return _read(_lender(task, lender, lent), lent, data_dir)
    folder = _folder(task, data_dir)
    if folder is not None:
        return _from_file(task, split, folder)
    place, found = from_hub(task, split) if task.source == "hub" else _from_builtin(task, split)
    rows = checked_rows(enumerate(found), task, place)
    return rows, Provenance(task.source, place, _digest(rows), len(rows))


def _lender(task: Task, name: str, split: str) -> Task:
    """The task that lends a split; its rows must be read as the borrower's."""
    lender = load_task(name)
    if split not in lender.splits:
        raise ValueError(f"{task.name} borrows {split!r} of {name}, which has {', '.join(lender.splits)}")
    for key in ("head", "columns", "label", "labels", "range"):
        if (theirs := getattr(lender, key)) != (ours := getattr(task, key)):
            raise ValueError(f"{task.name} borrows rows of {name}, whose {key} is {theirs}, not {ours}")
    return lender


def _cut(task: Task, splits: dict[str, list[Row]], sources: dict[str, Provenance]) -> None:
    """Leave in each train split what trains, and put beside it what is held out."""
    assert task.subset is not None
    held = [split for split in task.splits if split not in task.read]
    for split, kept_out in zip_longest(task.train_splits, held):
        rows, whole = splits[split], sources[split]
        try:
            parts = task.subset.parts(strata([row[task.learned.label] for row in rows]))
        except ValueError as error:
            raise ValueError(f"{whole.place}: {error}") from None
        for name, part in zip((split, kept_out), parts, strict=True):
            if name is not None:
                splits[name] = [rows[number] for number in part]
                sources[name] = replace(whole, kind="part", rows=len(part))


def _check_languages(task: Task, folder: Path) -> None:
    """Name every language without a file at once, where others have one."""
    lost = {
        split: task.splits[split]
        for split in task.read
        if split not in (*task.always, *task.borrowed)
        and not any((folder / (split + ending)).is_file() for ending in FORMATS)
    }
    evaluated = [task.splits[split] for split in task.evaluation.values()]
    there = [language for language in evaluated if language not in lost.values()]
    if task.languages and not task.files and lost and there:
        raise FileNotFoundError(
            f"{folder} holds no file for {', '.join(lost)} ({task.name}, .jsonl or .csv, gzip or not); put "
            f"them there, or evaluate in the languages that are there: --languages {','.join(there)}"
        )


def _check_learnable(task: Task, splits: dict[str, list[Row]], sources: dict[str, Provenance]) -> None:
    """Refuse a label that is asked for and never shown: two files with different sets of labels."""
    if task.head != "classification":
        return
    shown = {row[task.label] for split in task.train_splits for row in splits[split]}
    places = " or ".join(sources[split].place for split in task.train_splits)
    for split in task.evaluation.values():
        for number, row in enumerate(splits[split], 1):
            if row[task.label] not in shown:
                raise ValueError(
                    f"{sources[split].place}, row {number}: label {task.labels[row[task.label]]!r} stands in "
                    f"no row of {places}, so no run can learn it; take files with the same labels"
                )


def _digest(rows: list[Row]) -> str:
    sha256 = hashlib.sha256()
    for row in rows:
        sha256.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return sha256.hexdigest()


def load(task: Task, data_dir: str | Path | None = None) -> TaskData:
    """Return the rows of every split of a task, each row checked.

    Args:
        task: built-in rows come from the package, those of a local task from beside its TOML file.
        data_dir: for tasks of the Hub: the folder of `<task>/<split>` or, with several languages,
            `<task>/<split>.<language>`, as `.jsonl`, `.jsonl.gz`, `.csv` or `.csv.gz`. None: the Hub.

    Raises:
        ValueError: an error in a file or row, with its place.
        OSError, ImportError: a split's file is missing; the Hub, or `datasets`, is out of reach.

    Example:
        >>> from dither.bench.tasks.files import load_task
        >>> sorted(load(load_task("builtin/sentiment")).splits["train"][0])
        ['label', 'sentence']
    """
    splits, sources, contents, total = {}, {}, {}, hashlib.sha256()
    folder = _folder(task, data_dir)
    if folder is not None:
        _check_languages(task, folder)
    for split in task.read:
        splits[split], sources[split] = _read(task, split, data_dir)
    if task.subset is not None:
        _cut(task, splits, sources)
    for split, source in sources.items():
        content = source.sha256 if source.kind in ("hub", "builtin") else _digest(splits[split])
        total.update(f"{split} {content}\n".encode())
        contents[split] = content
    _check_learnable(task, splits, sources)
    trained = hashlib.sha256(" ".join(contents[split] for split in task.train_splits).encode())
    return TaskData(splits, sources, total.hexdigest(), trained.hexdigest())
