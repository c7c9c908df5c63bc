"""The real GLUE and XTREME files load, with the row counts that their notes name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dither.bench.data.loading import load
from dither.bench.scoring.scores import constant_predictions, score
from dither.bench.tasks.files import load_task
from dither.bench.tasks.task import Task

pytestmark = pytest.mark.data
COUNTS = {
    "cola": {"train": 8551, "validation": 1043},
    "sst2": {"train": 20000, "validation": 872},
    "mrpc": {"train": 3668, "validation": 408},
    "stsb": {"train": 5749, "validation": 1500},
    "mnli": {"train": 5000, "validation_matched": 2000, "validation_mismatched": 1000},
    "qnli": {"train": 5000, "validation": 2000},
    "rte": {"train": 2490, "validation": 277},
    "wnli": {"train": 635, "validation": 71},
}
# Majority class of train on validation, from the label distributions of the notes.
CONSTANT = {
    "cola": 0.0,
    "sst2": 100 * 444 / 872,
    "mrpc": 50 * (279 / 408 + 2 * 279 / (2 * 279 + 129)),
    "stsb": 0.0,
    "mnli": 50 * (716 / 2000 + 346 / 1000),
    "qnli": 100 * 980 / 2000,
    "rte": 100 * 146 / 277,
    "wnli": 100 * 40 / 71,
}
UPOS = [
    *("ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM"),
    *("PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X"),
]
ENTITIES = ["O", *(f"{place}-{kind}" for kind in ("PER", "ORG", "LOC") for place in "BI")]


@pytest.mark.parametrize("name", COUNTS)
def test_glue_loads(name: str, test_data: Path) -> None:
    task = load_task(f"glue/{name}")
    data = load(task, test_data / "data")
    assert {split: len(rows) for split, rows in data.splits.items()} == COUNTS[name]
    assert {source.rows for source in data.sources.values()} == set(COUNTS[name].values())
    rows = {name: data.splits[split] for name, split in task.evaluation.items()}
    train = data.splits["train"]
    constant = {name: constant_predictions(task, train, held) for name, held in rows.items()}
    scores = score(task, constant, rows, train=train)
    assert scores.constant_score == scores.score == pytest.approx(CONSTANT[name])


def test_rte_has_its_label_distribution(test_data: Path) -> None:
    rows = load(load_task("glue/rte"), test_data / "data").splits["train"]
    assert Counter(row["label"] for row in rows) == {0: 1249, 1: 1241}


def test_a_task_without_files_says_what_is_there(test_data: Path) -> None:
    message = r"looked in \S*/glue/qqp for train.jsonl or .*; in \S*/glue there is: .*qnli, rte, sst2"
    with pytest.raises(FileNotFoundError, match=message):
        load(load_task("glue/qqp"), test_data / "data")


def test_the_folder_of_another_task_is_suspected(test_data: Path) -> None:
    task = replace(load_task("glue/qqp"), name="glue/qnli")
    message = (
        r"qnli/train.jsonl.gz:1: no column question1, question2 .*found question, sentence, label, idx; is it"
    )
    with pytest.raises(ValueError, match=message):
        load(task, test_data / "data")


@pytest.mark.parametrize(
    ("name", "head", "changes", "languages"),
    [
        ("panx", "tagging", {"columns": ["tokens", "ner_tags"], "labels": ENTITIES}, "en de es fr ja ko zh"),
        (
            "udpos",
            "tagging",
            {
                "columns": ["tokens", "upos"],
                "labels": UPOS,
                "metrics": ["tag_accuracy"],
                "primary": ["tag_accuracy"],
            },
            "en de es fr ja ko zh",
        ),
        ("pawsx", "classification", {"columns": ["sentence1", "sentence2"]}, "en de es fr ja ko zh"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_xtreme_loads(
    name: str, head: str, changes: dict, languages: str, small_task: Callable[..., Task], test_data: Path
) -> None:
    evaluation = {language: f"dev.{language}" for language in languages.split()}
    known = {"train": "train.en", "languages": languages.split(), "evaluation": evaluation}
    hub = {"source": "hub", "hub": {"path": "someone/something"}}
    data = load(small_task(head, name=f"xtreme/{name}", **hub, **known, **changes), test_data / "data")
    assert list(data.splits) == ["train.en", *evaluation.values()]
    expected = {"panx": 300, "udpos": 300, "pawsx": 500}[name]
    assert {len(data.splits[split]) for split in list(evaluation.values())[1:]} == {expected}


def test_xquad_answers_stand_in_their_contexts(
    small_task: Callable[..., Task], test_data: Path, tmp_path: Path
) -> None:
    languages, place = ["en", "de", "es", "zh", "ru", "ar"], tmp_path / "mine" / "small"
    place.mkdir(parents=True)
    (place / "train.en.jsonl.gz").symlink_to(test_data / "data/xtreme/tydiqa/train.en.jsonl.gz")
    for language in languages:
        file = f"test.{language}.jsonl.gz"
        (place / file).symlink_to(test_data / "data/xtreme/xquad" / file)
    evaluation = {language: f"test.{language}" for language in languages}
    known = {"train": "train.en", "languages": languages, "evaluation": evaluation}
    data = load(small_task("span", source="hub", hub={"path": "someone/something"}, **known), tmp_path)
    assert [len(rows) for rows in data.splits.values()] == [2000, *[300] * 6]


def test_hidden_answers_are_refused(small_task: Callable[..., Task], test_data: Path) -> None:
    known = {"train": "train.en", "languages": ["en"], "evaluation": {"en": "dev.en"}}
    task = small_task("span", name="xtreme/tydiqa", source="hub", hub={"path": "someone/something"}, **known)
    with pytest.raises(ValueError, match=r"dev\.en\.jsonl\.gz:1: empty answer \(hidden or none\?\)"):
        load(task, test_data / "data")
