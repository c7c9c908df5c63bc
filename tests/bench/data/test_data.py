"""Rows from local files: formats, labels, languages, hashes, and the built-in rows."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dither import builtin
from dither.bench.data.loading import Row, TaskData, load
from dither.bench.tasks.files import load_task
from dither.bench.tasks.task import Task

ROWS = [{"text": 'a, "b"', "label": 1}, {"text": "", "label": 0}, {"text": "né\n中", "label": 1}]
PAIRS = [{"left": "a", "right": "b", "score": 5.0}, {"left": "c", "right": "", "score": 0.25}]
TAGGED = [{"tokens": ["a", "b"], "tags": ["B-X", "O"]}, {"tokens": [], "tags": []}]
ASKED = [{"question": "?", "context": "né né", "answers": {"text": ["né", "né"], "answer_start": [0, 3]}}]
EVERY: dict[str, list[Row]] = {"classification": ROWS, "regression": PAIRS, "tagging": TAGGED, "span": ASKED}
CSV = 'label,other,text\n1,x,"a, ""b"""\n0,y,\n1,z,"né\n中"\n'


@pytest.fixture
def loaded(small_task: Callable[..., Task], write_rows: Callable[..., Path]) -> Callable[..., TaskData]:
    """Load a task whose train and validation file both hold `content`."""

    def read(content: Any, suffix: str = ".jsonl", head: str = "classification", **changes: Any) -> TaskData:
        for split in ("train", "validation"):
            write_rows(f"{split}{suffix}", content)
        return load(small_task(head, **changes))

    return read


@pytest.mark.parametrize("head", EVERY)
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_rows_come_as_they_are(head: str, suffix: str, loaded: Callable[..., TaskData]) -> None:
    data = loaded(EVERY[head], suffix, head)
    assert data.splits == {"train": EVERY[head], "validation": EVERY[head]}
    assert [source.rows for source in data.sources.values()] == [len(EVERY[head])] * 2


def _lines(rows: list[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".jsonl", _lines(ROWS).removesuffix("\n")),
        (".jsonl", "\ufeff" + _lines(ROWS)),
        (".jsonl.gz", "\ufeff" + _lines(ROWS).replace("\n", "\r\n")),
        (".jsonl", _lines(ROWS) + "\n \n"),
        (".jsonl", _lines([{"idx": 7, **row, "label": ["no", "yes"][row["label"]]} for row in ROWS])),
        (".csv", CSV),
        (".csv.gz", "\ufeff" + CSV),
        (".csv", CSV.replace("1,", "yes,") + "\n"),
    ],
    ids=[
        "no last end",
        "mark",
        "mark, crlf, gzip",
        "blank lines",
        "names, extra",
        "csv",
        "csv mark",
        "csv names",
    ],
)
def test_spellings_of_the_same_rows(suffix: str, content: str, loaded: Callable[..., TaskData]) -> None:
    data = loaded(content, suffix)
    assert data.splits == {"train": ROWS, "validation": ROWS}


def test_csv_with_crlf_and_numbers(loaded: Callable[..., TaskData]) -> None:
    data = loaded("score,left,right\r\n5,a,b\r\n2.5e-1,c,\r\n", ".csv", "regression")
    assert data.splits["train"] == PAIRS
    assert all(type(row["score"]) is float for row in data.splits["train"])


def test_an_integer_score_becomes_a_float(loaded: Callable[..., TaskData]) -> None:
    data = loaded([{**PAIRS[0], "score": 5}], ".jsonl", "regression")
    assert type(data.splits["train"][0]["score"]) is float


def test_tags_may_be_numbers(loaded: Callable[..., TaskData]) -> None:
    data = loaded([{"tokens": ["a", "b"], "tags": [1, 0]}, TAGGED[1]], ".jsonl", "tagging")
    assert data.splits["train"] == TAGGED


@pytest.mark.parametrize(
    ("labels", "numbers", "ids"),
    [
        (["1", "2", "3", "4", "5"], [5, 1, 2], [4, 0, 1]),
        (["1", "0"], [1, 0], [0, 1]),
        (["-1", "0", "1"], [-1, 0, 1], [0, 1, 2]),
        (["0.5", "1"], [1, 0.5, 1.0], [1, 0, 1]),
        (["none", "0"], [0], [1]),
        (["no", "yes"], [1, 0], [1, 0]),
    ],
)
def test_a_number_means_the_same_label_in_every_format(
    labels: list[str], numbers: list[float], ids: list[int], write_rows: Callable[..., Path], small_task: Any
) -> None:
    task = small_task(labels=labels, metrics=["accuracy"])
    write_rows("validation.csv", "text,label\n" + "".join(f"a,{number}\n" for number in numbers))
    write_rows("train.jsonl", [{"text": "a", "label": number} for number in numbers])
    for rows in load(task).splits.values():
        assert [row["label"] for row in rows] == ids


def test_numbers_name_tags_as_they_name_labels(loaded: Callable[..., TaskData]) -> None:
    metrics = {"metrics": ["tag_accuracy"], "primary": ["tag_accuracy"]}
    data = loaded([{"tokens": ["a", "b"], "tags": [1, 0]}], ".jsonl", "tagging", labels=["1", "0"], **metrics)
    assert data.splits["train"][0]["tags"] == ["1", "0"]


def test_cells_have_any_length_and_other_columns_any_name(loaded: Callable[..., TaskData]) -> None:
    limit, long = csv.field_size_limit(), "word " * 30_000
    data = loaded(f"id,id,,,text,label\n1,2,3,4,{long},1\n", ".csv")
    assert data.splits["train"] == [{"text": long, "label": 1}]
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".csv"])
def test_the_hash_is_that_of_the_file(suffix: str, loaded: Callable[..., TaskData], tmp_path: Path) -> None:
    rows = [{"text": f"row {number}", "label": 0} for number in range(50_000)]
    source = loaded("label,text\n" + "0,x\n" * 50_000 if suffix == ".csv" else rows, suffix).sources["train"]
    path = tmp_path / f"train{suffix}"
    assert (source.kind, source.place, source.rows) == ("file", str(path), 50_000)
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_digest_is_that_of_the_rows_in_order(loaded: Callable[..., TaskData], tmp_path: Path) -> None:
    digests = []
    for suffix, content in ((".jsonl", ROWS), (".csv", CSV), (".jsonl", ROWS[::-1]), (".jsonl", ROWS[:2])):
        digests.append(loaded(content, suffix).digest)
        for path in tmp_path.glob(f"*{suffix}"):
            path.unlink()
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_named_files_are_read(small_task: Callable[..., Task], write_rows: Callable[..., Path]) -> None:
    write_rows("texts/a.csv", CSV)
    write_rows("b.jsonl.gz", ROWS[:1])
    data = load(small_task(files={"train": "texts/a.csv", "validation": "./b.jsonl.gz"}))
    assert [len(rows) for rows in data.splits.values()] == [3, 1]


def test_a_hub_task_reads_a_folder_of_data(
    small_task: Callable[..., Task], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    languages = {
        "train": "train.en",
        "languages": ["en", "de"],
        "evaluation": {"en": "dev.en", "de": "dev.de"},
    }
    task = small_task(source="hub", hub={"path": "someone/something"}, **languages)
    for number, split in enumerate(task.splits, 1):
        write_rows(f"files/mine/small/{split}.jsonl.gz", ROWS[:1] * number)
    data = load(task, tmp_path / "files")
    assert {split: len(rows) for split, rows in data.splits.items()} == {
        "train.en": 1,
        "dev.en": 2,
        "dev.de": 3,
    }


@pytest.mark.parametrize("name", builtin.TASKS)
def test_built_in_rows_come_from_the_package(name: str, tmp_path: Path) -> None:
    task = load_task(f"builtin/{name}")
    data = load(task, tmp_path)
    for split, rows in data.splits.items():
        reader, (base, _, language) = task.reader(split), split.partition(".")
        wanted = builtin.rows(reader.builtin, base, language or "en")
        keys = [key for key in (*reader.columns, reader.label) if key]
        assert rows == [{key: row[key] for key in keys} for row in wanted]
        assert data.sources[split].kind == "builtin"
    assert data == load(task)


def test_built_in_languages_make_a_zero_shot_task(small_task: Callable[..., Task]) -> None:
    changes = {
        "columns": ["sentence"],
        "languages": ["en", "xx"],
        "source": "builtin",
        "builtin": "sentiment",
    }
    task = small_task(train="train.en", evaluation={"en": "validation.en", "xx": "validation.xx"}, **changes)
    data = load(task)
    assert data.splits["train.en"][0]["sentence"] == builtin.rows("sentiment", "train")[0]["sentence"]
    foreign = [row["sentence"] for row in builtin.rows("sentiment", "validation", "xx")]
    assert [row["sentence"] for row in data.splits["validation.xx"]] == foreign
