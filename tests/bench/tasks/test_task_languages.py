"""Languages are data: one evaluation for each, some of them chosen, splits lent by other tasks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench.data.loading import load
from dither.bench.tasks.files import load_task
from dither.bench.tasks.task import Task

SPOKEN = {"train": "train.en", "languages": ["en", "de"], "evaluation": {"{language}": "dev.{language}"}}
HUB = {"source": "hub", "hub": {"path": "someone/something"}}
ROWS = [{"premise": "a", "hypothesis": "b", "label": label} for label in (0, 1, 2)]
LIKE_MNLI = {
    "columns": ["premise", "hypothesis"],
    "labels": ["entailment", "neutral", "contradiction"],
    "metrics": ["accuracy"],
    "borrowed": {"train.en": "glue/mnli/train"},
}

XTREME = {  # and in how many languages
    "pawsx": 7,
    "xnli": 15,
    "panx": 40,
    "udpos": 33,
    "xquad": 11,
    "xquad_tydiqa": 11,
    "mlqa": 7,
    "tydiqa": 9,
}


@pytest.mark.parametrize("name", XTREME)
def test_xtreme_is_zero_shot(name: str) -> None:
    task = load_task(f"xtreme/{name}")
    assert (task.train, len(task.languages), len(set(task.languages))) == (
        "train.en",
        XTREME[name],
        XTREME[name],
    )
    assert list(task.evaluation) == list(task.languages)
    assert {task.splits[split] for split in task.evaluation.values()} == set(task.languages)


def test_one_line_is_an_evaluation_for_each_language(small_task: Callable[..., Task]) -> None:
    long = {**SPOKEN, "evaluation": {"en": "dev.en", "de": "dev.de"}}
    short, written_out = small_task(**SPOKEN), small_task(**long)
    assert short.evaluation == {"en": "dev.en", "de": "dev.de"}
    assert short.digest == written_out.digest


def test_some_languages_are_another_task_with_the_same_training(small_task: Callable[..., Task]) -> None:
    task = small_task(**SPOKEN)
    german = task.in_languages(["de"])
    assert (german.train, german.languages, german.evaluation) == ("train.en", ("en", "de"), {"de": "dev.de"})
    assert german.digest != task.digest == task.in_languages(["de", "en"]).digest
    lent = load_task("xtreme/xquad_tydiqa").in_languages(["ru"]).borrowed
    assert lent == {"train.en": "xtreme/tydiqa/train.en", "test.ru": "xtreme/xquad/test.ru"}


def test_a_language_that_a_task_has_not(small_task: Callable[..., Task], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="task 'mine/small' has no language 'fr'; Known: de, en"):
        small_task(**SPOKEN).in_languages(["de", "fr"])
    encoder = save_encoder(tmp_path / "encoder")
    with pytest.raises(ValueError, match="--languages en,de: no task of mine/films has languages; leave it"):
        plan_of(write_task(tmp_path / "task"), encoder, languages=("en", "de"))


def test_languages_without_a_file_are_named_together(
    small_task: Callable[..., Task], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    for split in ("train.en", "dev.en", "dev.sw"):
        write_rows(f"mine/small/{split}.jsonl", [{"text": "a", "label": 1}])
    task = small_task(**{**SPOKEN, "languages": ["en", "de", "sw", "ru"]}, **HUB)
    message = f"{tmp_path}/mine/small holds no file for dev.de, dev.ru (mine/small, "
    with pytest.raises(FileNotFoundError, match=re.escape(message) + ".*--languages en,sw$"):
        load(task, tmp_path)
    assert set(load(task.in_languages(["en", "sw"]), tmp_path).splits) == {"train.en", "dev.en", "dev.sw"}


def test_a_split_of_another_task_trains(
    small_task: Callable[..., Task], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    lent = write_rows("glue/mnli/train.jsonl", ROWS)
    for language in ("en", "de"):
        write_rows(f"mine/small/dev.{language}.jsonl", ROWS[:2])
    data = load(small_task(**SPOKEN, **HUB, **LIKE_MNLI), tmp_path)
    assert (data.sources["train.en"].place, len(data.splits["train.en"])) == (str(lent), 3)
    write_rows("mine/small/train.en.jsonl", ROWS)
    own = small_task(**SPOKEN, **HUB, **{**LIKE_MNLI, "borrowed": {}})
    assert load(own, tmp_path).digest == data.digest


@pytest.mark.parametrize(
    ("lent", "change", "message"),
    [
        ("glue/mnli/trian", {}, "borrows 'trian' of glue/mnli, which has train, validation_matched"),
        ("glue/rte/train", {}, "borrows rows of glue/rte, whose columns is ('sentence1', 'sentence2'), not"),
        ("glue/mnli/train", {"labels": ["a", "b", "c"]}, "whose labels is ('entailment', 'neutral'"),
        ("glue/mnlx/train", {}, "unknown task 'glue/mnlx'; did you mean 'glue/mnli'?"),
    ],
)
def test_a_loan_that_does_not_fit(
    lent: str, change: dict[str, Any], message: str, small_task: Callable[..., Task], tmp_path: Path
) -> None:
    task = small_task(**SPOKEN, **HUB, **{**LIKE_MNLI, **change, "borrowed": {"train.en": lent}})
    with pytest.raises(ValueError, match=re.escape(message)):
        load(task, tmp_path)


@pytest.mark.parametrize(
    ("borrowed", "message"),
    [
        ({"trian.en": "glue/mnli/train"}, "'borrowed.trian.en': is no split; did you mean 'train.en'?"),
        ({"train.en": "train"}, "'borrowed.train.en': 'train' is not like 'glue/mnli/train'"),
    ],
)
def test_a_loan_that_is_none(borrowed: dict[str, str], message: str, small_task: Callable[..., Task]) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        small_task(**SPOKEN, **HUB, borrowed=borrowed)


def test_a_label_that_train_never_shows_is_refused(
    small_task: Callable[..., Task], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    write_rows("train.jsonl", [{"text": "a", "label": 1}])
    path = write_rows("validation.jsonl", [{"text": "a", "label": 1}, {"text": "b", "label": 0}])
    message = f"{path}, row 2: label 'no' stands in no row of {tmp_path}/train.jsonl, so no run can learn it"
    with pytest.raises(ValueError, match=re.escape(message)):
        load(small_task())
