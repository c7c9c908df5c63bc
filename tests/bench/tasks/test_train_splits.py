"""Training on several splits, one after the other: translations, languages, labels that none shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_encoder import plan_of, requests_of, save_encoder

from dither.bench.data.loading import load
from dither.bench.runs.run import run
from dither.bench.tasks.files import load_task
from dither.bench.tasks.task import Task

BOTH = ["train.en", "train.{language}"]
SPOKEN = {"languages": ["en", "de", "ko"], "evaluation": {"{language}": "dev.{language}"}}
HUB = {"source": "hub", "hub": {"path": "someone/something"}}


def row(text: str, label: int) -> dict[str, Any]:
    return {"text": text, "label": label}


@pytest.fixture
def translated(write_rows: Callable[..., Path]) -> Callable[..., None]:
    """Write files of some languages: rows to train on, in each language others, and the same to predict."""

    def write(*languages: str, labels: tuple[int, int] = (0, 1)) -> None:
        for language in languages:
            rows = [row(f"{language}{label}", label) for label in labels]
            write_rows(f"mine/small/train.{language}.jsonl", rows)
            write_rows(f"mine/small/dev.{language}.jsonl", rows)

    return write


def test_splits_stand_in_the_order_given(small_task: Callable[..., Task]) -> None:
    assert small_task(train=["b", "a", "b"]).train_splits == ("b", "a")
    assert small_task(train=BOTH, **SPOKEN).train_splits == ("train.en", "train.de", "train.ko")
    assert small_task(train=BOTH[1], **SPOKEN).train_splits == ("train.en", "train.de", "train.ko")
    assert list(small_task(train=["b", "a"]).splits) == ["b", "a", "validation"]


def test_the_digest_is_that_of_the_splits(small_task: Callable[..., Task]) -> None:
    digests = {small_task(train=train, **SPOKEN).digest for train in (BOTH, "train.{language}")}
    assert digests == {small_task(train=["train.en", "train.de", "train.ko"], **SPOKEN).digest}
    assert small_task(train=["train"]).digest == small_task(train="train").digest
    assert small_task(train=["a", "b"]).digest != small_task(train=["b", "a"]).digest


def test_languages_restrict_what_stands_for_each_language(small_task: Callable[..., Task]) -> None:
    german = small_task(train=BOTH, **SPOKEN).in_languages(["de"])
    assert german.train_splits == ("train.en", "train.de")
    assert german.evaluation == {"de": "dev.de"}
    assert german.languages == ("en", "de")
    alone = small_task(train="train.{language}", **SPOKEN).in_languages(["de", "ko"])
    assert (alone.train_splits, alone.languages) == (("train.de", "train.ko"), ("de", "ko"))


def test_files_follow_the_languages(small_task: Callable[..., Task]) -> None:
    names = [f"{base}.{language}" for base in ("train", "dev") for language in SPOKEN["languages"]]
    task = small_task(train=BOTH, **SPOKEN, files={name: f"{name}.csv" for name in names})
    assert set(task.in_languages(["ko"]).files) == {"train.en", "train.ko", "dev.ko"}


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (["train", 3], "key 'train': ['train', 3] is not a list of strings"),
        ([], "key 'train': is missing"),
        (["train", "x/y"], "key 'train': split 'x/y' is not like"),
        (["train", "validation"], "key 'evaluation.validation': 'validation' is the train split"),
    ],
)
def test_a_list_that_is_none(train: list[Any], message: str, small_task: Callable[..., Task]) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        small_task(train=train)


def test_a_language_without_translations_is_named(
    small_task: Callable[..., Task], translated: Callable[..., None], tmp_path: Path
) -> None:
    translated("en", "de", "ko")
    (tmp_path / "mine/small/train.ko.jsonl").unlink()
    task = small_task(train=BOTH, **SPOKEN, **HUB)
    with pytest.raises(FileNotFoundError, match=r"no file for train\.ko \(mine/small.*--languages en,de$"):
        load(task, tmp_path)
    assert list(load(task.in_languages(["de"]), tmp_path).splits) == ["train.en", "train.de", "dev.de"]


def test_a_label_may_stand_in_any_of_them(
    small_task: Callable[..., Task], translated: Callable[..., None], write_rows: Any, tmp_path: Path
) -> None:
    translated("en", "de", "ko")
    write_rows("mine/small/train.en.jsonl", [row("a", 0)])
    task = small_task(train=BOTH, **SPOKEN, **HUB)
    load(task, tmp_path)
    for language in ("de", "ko"):
        write_rows(f"mine/small/train.{language}.jsonl", [row("a", 0)])
    message = (
        r"dev\.en\.jsonl, row 2: label 'yes' stands in no row of .*train\.en\.jsonl or .*train\.de\.jsonl or"
    )
    with pytest.raises(ValueError, match=message):
        load(task, tmp_path)


def test_a_run_trains_on_all_of_them(
    small_task: Callable[..., Task], translated: Callable[..., None], task_file: Any, tmp_path: Path
) -> None:
    translated("en", "de", "ko")
    path, encoder = task_file(train=BOTH, **SPOKEN, **HUB), save_encoder(tmp_path / "encoder")
    seen = {}
    for languages in ((), ("de",), ("en",)):
        options = {"data_dir": str(tmp_path), "languages": languages}
        settings = ("train.batch_size=1", "train.epochs=10")
        result = run(requests_of(path, encoder, *settings, **options)["none", 0])
        assert list(result.metrics) == list(languages or SPOKEN["languages"])
        seen[languages] = max(entry.get("step", 0) for entry in result.history)
    assert seen == {(): 60, ("de",): 40, ("en",): 20}


def test_the_majority_is_that_of_all_train_rows(
    small_task: Callable[..., Task], translated: Any, write_rows: Any, task_file: Any, tmp_path: Path
) -> None:
    translated("en", "de", "ko", labels=(1, 1))
    write_rows("mine/small/train.en.jsonl", [row("a", 0)])
    path = task_file(train=BOTH, **SPOKEN, **HUB)
    encoder = save_encoder(tmp_path / "encoder")
    result = run(requests_of(path, encoder, data_dir=str(tmp_path))["none", 0])
    assert result.constant_score == 100.0


@pytest.mark.parametrize("name", ["pawsx", "xnli"])
def test_xtreme_trains_on_translations(name: str) -> None:
    task, zero_shot = load_task(f"xtreme/{name}_translate_train"), load_task(f"xtreme/{name}")
    assert task.train_splits == tuple(f"train.{language}" for language in zero_shot.languages)
    for key in ("columns", "labels", "metrics", "primary", "evaluation", "languages", "recipe"):
        assert getattr(task, key) == getattr(zero_shot, key)
    assert task.borrowed["test.de"] == f"xtreme/{name}/test.de"
    assert task.in_languages(["de"]).train_splits == ("train.en", "train.de")


def test_every_built_in_task_transfers(tmp_path: Path) -> None:
    names = ["acceptability", "sentiment", "entailment", "similarity", "tagging", "question_answering"]
    for name in names:
        task, own = load_task(f"builtin/transfer/{name}"), load_task(f"builtin/{name}")
        assert (task.train, list(task.evaluation), task.builtin) == ("train.en", ["en", "xx"], name)
        assert (task.recipe, task.metrics) == (own.recipe, own.metrics)
        mine, theirs = load(task), load(own)
        assert mine.splits["train.en"] == theirs.splits["train"]
        assert mine.splits["validation.en"] == theirs.splits["validation"] != mine.splits["validation.xx"]
    plan = plan_of("builtin/transfer/sentiment", "builtin", methods=("noisytune",))
    (found,) = (request.spec.method_settings for request in plan.requests())
    assert (found["noise_lambda"], found["token_embeddings"]) == (0.1, False)


def test_the_built_in_translations_train_on_both_languages() -> None:
    task = load_task("builtin/translate_train/entailment")
    data = load(task)
    assert task.train_splits == ("train.en", "train.xx")
    both = [[row["label"] for row in data.splits[split]] for split in task.train_splits]
    assert both[0] == both[1]
    assert data.splits["train.en"] != data.splits["train.xx"]


@pytest.mark.parametrize(
    ("name", "train", "held"),
    [
        ("xtreme/xnli", ["train.en"], ["held_out.en"]),
        ("xtreme/xnli_translate_train", ["train.en", "train.zh"], ["held_out.en", "held_out.zh"]),
    ],
)
def test_what_is_held_out_follows_the_train_splits_into_languages(name: str, train: Any, held: Any) -> None:
    task = load_task(f"{name}@held_out=0.2").in_languages(["zh"])
    assert list(task.train_splits) == train == list(load_task(name).in_languages(["zh"]).train_splits)
    assert list(task.evaluation.values()) == held


def test_a_language_without_a_train_file_is_named_where_a_part_is_held_out(
    small_task: Callable[..., Task], translated: Callable[..., None], tmp_path: Path
) -> None:
    translated("en", "de")
    task = small_task(train=BOTH, **SPOKEN, **HUB).varied({"held_out": 0.5})
    with pytest.raises(FileNotFoundError, match=r"no file for train\.ko \(.*--languages en,de$"):
        load(task, tmp_path)
