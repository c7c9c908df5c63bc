"""Bad files are refused with their place, what is wrong, and what would be right."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dither.bench.data.loading import load
from dither.bench.tasks.task import Task

GOOD: dict[str, dict[str, Any]] = {
    "classification": {"text": "a", "label": 1},
    "regression": {"left": "a", "right": "b", "score": 1.5},
    "tagging": {"tokens": ["a", "b"], "tags": ["B-X", "O"]},
    "span": {"question": "who", "context": "it is me", "answers": {"text": ["me"], "answer_start": [6]}},
    "retrieval": {"left": "a", "right": "b"},
}
ROWS: list[tuple[str, Any, str]] = [
    ("classification", ["a"], "['a'] is not an object with the columns text"),
    ("classification", None, "None is not an object"),
    ("classification", {"label": 1}, "no column text (mine/small needs text, label); found label"),
    ("classification", {"text": 3, "label": 1}, "column 'text' holds 3, not a string"),
    ("classification", {"text": None, "label": 1}, "column 'text' holds None, not a string"),
    (
        "classification",
        {"text": "\ud800", "label": 1},
        "column 'text' holds '\\ud800', not a string or with lone",
    ),
    ("classification", {"text": "a", "label": 2}, "column 'label': unknown label 2; allowed: 0 no, 1 yes"),
    ("classification", {"text": "a", "label": -1}, "unknown label -1; allowed: 0 no, 1 yes"),
    ("classification", {"text": "a", "label": "maybe"}, "unknown label 'maybe'; allowed: 0 no, 1 yes"),
    ("classification", {"text": "a", "label": True}, "unknown label True"),
    ("classification", {"text": "a", "label": 1.0}, "unknown label 1.0"),
    ("classification", {"text": "a", "label": None}, "unknown label None"),
    ("classification", {"text": "a", "label": [1]}, "unknown label [1]"),
    (
        "regression",
        {"left": "a", "right": "b", "score": 5.1},
        "column 'score': unknown label 5.1; allowed: 0 to 5",
    ),
    ("regression", {"left": "a", "right": "b", "score": float("nan")}, "unknown label nan; allowed: 0 to 5"),
    ("regression", {"left": "a", "right": "b", "score": float("inf")}, "unknown label inf"),
    ("regression", {"left": "a", "right": "b", "score": "3"}, "unknown label '3'"),
    ("regression", {"left": "a", "right": "b", "score": False}, "unknown label False"),
    ("retrieval", {"left": "a"}, "no column right (mine/small needs left, right); found left"),
    (
        "retrieval",
        {"left": "a", "right": None},
        "no text in column right; each source needs its target, unless",
    ),
    (
        "retrieval",
        {"left": " ", "right": "b"},
        "no text in column left; each source needs its target, unless",
    ),
    ("retrieval", {"left": "a", "right": 3}, "column 'right' holds 3, not a string"),
    ("tagging", {"tokens": "a b", "tags": ["O", "O"]}, "'tokens', 'tags' must hold lists; got 'a b'"),
    ("tagging", {"tokens": ["a"], "tags": ["O", "O"]}, "1 tokens, but 2 tags; one each"),
    ("tagging", {"tokens": ["a"], "tags": ["B-Y"]}, "unknown label 'B-Y'; allowed: 0 O, 1 B-X, 2 I-X"),
    ("tagging", {"tokens": [1], "tags": ["O"]}, "column 'tokens' holds 1, not a string"),
    ("span", {**GOOD["span"], "answers": ["me"]}, "column 'answers' holds ['me']; it must be {'text': [...]"),
    (
        "span",
        {**GOOD["span"], "answers": {"text": [], "answer_start": []}},
        "column 'answers' holds {'text': []",
    ),
    ("span", {**GOOD["span"], "answers": {"text": ["me"], "answer_start": []}}, "with as many of each"),
    (
        "span",
        {**GOOD["span"], "answers": {"text": ["me"], "answer_start": [5]}},
        "answer 'me' is not in its context",
    ),
    (
        "span",
        {**GOOD["span"], "answers": {"text": ["me"], "answer_start": [-2]}},
        "bad start: 'me', -2",
    ),
    (
        "span",
        {**GOOD["span"], "answers": {"text": [""], "answer_start": [0]}},
        "empty answer (hidden or none?) or bad start: '', 0",
    ),
    (
        "span",
        {**GOOD["span"], "answers": {"text": [7], "answer_start": [0]}},
        "column 'answers' holds 7, not a str",
    ),
]
FILES: list[tuple[str, str | bytes, str]] = [
    (".jsonl", '{"text": "a", "label": 1}\n{"text": \n', ":2: broken JSON: "),
    (".jsonl", "[" * 100_000, ":1: broken JSON: "),
    (".jsonl", b'{"text": "a", "label": 1}\n\xe9\n', ":2: not UTF-8: invalid continuation byte at byte 1"),
    (".jsonl", "", ": no rows; mine/small needs one at least in every split"),
    (".jsonl", "\n\n", ": no rows"),
    (".jsonl.gz", b"", ": no rows"),
    (".csv", "", ": no rows"),
    (".csv", "text,label\n", ": no rows"),
    (".csv", "text,label\na,1\nb\n", ":3: broken CSV: 1 cells for 2 names in the header"),
    (".csv", "text,text\na,1\n", ":2: broken CSV: 2 cells for 1 names in the header"),
    (".csv", 'text,label\n"a"b,1\n', ":2: broken CSV: "),
    (
        ".csv",
        "text,text,label\na,b,1\n",
        ":2: broken CSV: 3 cells for 2 names in the header; 'text' stands there",
    ),
    (
        ".csv",
        'text,label\na,1\n\n"b,1\nc,1\nd,1\n',
        ":4: broken CSV: in the row that begins here a quote opens that none closes",
    ),
    (
        ".csv",
        'text,label\na,1\n"b,1\n"c",1\n',
        ":3: broken CSV: a cell goes on after the quote that closes it",
    ),
    (
        ".csv",
        'text,label\n"b,1\nc",1,1\n',
        ":2: broken CSV: 3 cells for 2 names in the header; the row goes on to",
    ),
    (".csv", 'text,label\n"a\nb",maybe\n', ":2: column 'label': unknown label 'maybe'"),
    (
        ".csv",
        "text,label\ra,1\r",
        ":1: broken CSV: a carriage return stands alone; end lines with a line feed",
    ),
    (".csv", "text,label\na,0_1\n", ":2: column 'label': unknown label '0_1'; allowed: 0 no, 1 yes"),
    (".csv", "text,label\na,1.0\n", ":2: column 'label': unknown label 1.0; allowed: 0 no, 1 yes"),
    (".jsonl", '{"text": "a", "text": "b", "label": 1}\n', ":1: broken JSON: 'text' stands there twice"),
    (".csv", "text,label\na,maybe\n", ":2: column 'label': unknown label 'maybe'; allowed: 0 no, 1 yes"),
    (".csv", 'text,label\n"a\nb",1\nb,2\n', ":4: column 'label': unknown label 2"),
    (".csv", "label\n1\n", ":2: no column text"),
    (".csv", b"text,label\n\xff,1\n", ":2: not UTF-8: invalid start byte at byte 1"),
]


@pytest.mark.parametrize(("head", "row", "message"), ROWS, ids=[message[:50] for *_, message in ROWS])
def test_a_bad_row_is_named_by_its_line(
    head: str, row: Any, message: str, small_task: Callable[..., Task], write_rows: Callable[..., Path]
) -> None:
    write_rows("train.jsonl", [GOOD[head]])
    path = write_rows("validation.jsonl", [GOOD[head], row])
    with pytest.raises(ValueError, match=re.escape(f"{path}:2: ") + ".*" + re.escape(message)):
        load(small_task(head))


@pytest.mark.parametrize(("suffix", "content", "message"), FILES, ids=[f"{s}{m[:40]}" for s, _, m in FILES])
def test_a_bad_file_is_named(
    suffix: str,
    content: str | bytes,
    message: str,
    small_task: Callable[..., Task],
    write_rows: Callable[..., Path],
) -> None:
    path = write_rows(f"train{suffix}", content)
    with pytest.raises(ValueError, match=re.escape(f"{path}{message}")):
        load(small_task())


@pytest.mark.parametrize("labels", [["1", "2", "3"], ["1", "1.0", "none"]])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_number_that_is_no_name_among_numbers_is_refused(
    suffix: str, labels: list[str], small_task: Callable[..., Task], write_rows: Callable[..., Path]
) -> None:
    number = 0 if "2" in labels else "1e0" if suffix == ".csv" else 1  # no name, or the number of two of them
    content = f"text,label\na,{number}\n" if suffix == ".csv" else [{"text": "a", "label": number}]
    write_rows(f"train{suffix}", content)
    message = (
        r"unknown label [01].*; allowed: '1', .* a number is the name of a label in every format, never its"
    )
    with pytest.raises(ValueError, match=message):
        load(small_task(labels=labels, metrics=["accuracy"]))


@pytest.mark.parametrize("damage", ["cut", "flipped", "not gzip", "bad end"])
def test_damaged_gzip_is_named(
    damage: str, small_task: Callable[..., Task], write_rows: Callable[..., Path]
) -> None:
    path = write_rows("train.jsonl.gz", [{"text": f"{number:x}" * 9, "label": 1} for number in range(999)])
    whole = path.read_bytes()
    half = len(whole) // 2
    path.write_bytes(
        {
            "cut": whole[:half],
            "flipped": whole[:10] + b"\xff" * 8 + whole[18:],
            "not gzip": gzip.decompress(whole),
            "bad end": whole[:-6] + bytes(6),
        }[damage]
    )
    with pytest.raises(ValueError, match=re.escape(f"{path}: damaged gzip file after line ")):
        load(small_task())


def test_the_file_of_another_task_is_suspected(
    small_task: Callable[..., Task], write_rows: Callable[..., Path]
) -> None:
    write_rows("train.jsonl", [{"premise": "a", "hypothesis": "b", "label": 0}])
    message = r":1: no column text .* found premise, hypothesis, label; is it another task's file\?"
    with pytest.raises(ValueError, match=message):
        load(small_task())


def test_a_missing_split_says_what_is_there(
    small_task: Callable[..., Task], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    write_rows("train.jsonl", [GOOD["classification"]])
    write_rows("valid.jsonl", [GOOD["classification"]])
    wanted = "validation.jsonl or validation.jsonl.gz or validation.csv or validation.csv.gz"
    there = f"looked in {tmp_path} for {wanted}; in {tmp_path} there is: task.toml, train.jsonl, valid.jsonl"
    with pytest.raises(FileNotFoundError, match=re.escape(there)):
        load(small_task())


def test_a_missing_folder_says_what_is_there(small_task: Callable[..., Task], tmp_path: Path) -> None:
    task = small_task(source="hub", hub={"path": "someone/something"})
    there = f"looked in {tmp_path}/none/mine/small for train.jsonl"
    with pytest.raises(FileNotFoundError, match=re.escape(there) + f".*; in {tmp_path} there is: task.toml"):
        load(task, tmp_path / "none")


def test_a_missing_named_file_is_named(small_task: Callable[..., Task], tmp_path: Path) -> None:
    task = small_task(files={"train": "a.csv", "validation": "b.csv"})
    with pytest.raises(
        FileNotFoundError, match=re.escape(f"looked in {tmp_path} for a.csv; in {tmp_path} there")
    ):
        load(task)


def test_two_files_for_one_split_are_ambiguous(
    small_task: Callable[..., Task], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("train.jsonl", "train.jsonl.gz"):
        write_rows(name, [GOOD["classification"]])
    message = f"{tmp_path}: train.jsonl and train.jsonl.gz are both there; keep one"
    with pytest.raises(ValueError, match=re.escape(message)):
        load(small_task())


@pytest.mark.parametrize("linked", ["folder", "file"])
def test_a_link_may_not_leave_the_folder(
    linked: str, small_task: Callable[..., Task], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.csv").write_text("text,label\na,1\n")
    link = tmp_path / ("inner" if linked == "folder" else "a.csv")
    link.symlink_to(outside if linked == "folder" else outside / "a.csv")
    name = "inner/a.csv" if linked == "folder" else "a.csv"
    with pytest.raises(ValueError, match=rf"{name} leads out of {tmp_path} through a link"):
        load(small_task(files={"train": name, "validation": name}))
