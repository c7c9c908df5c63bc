"""A TOML file with an error is refused with the file, the key, and the nearest that is right."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dither.bench.tasks.files import load_task

RECIPE = {"learning_rate": 1e-3, "epochs": 2, "batch_size": 8, "max_length": 32}
HUB = {"path": "someone/something"}
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("classification", {"colums": ["x"]}, "key 'colums': is unknown; did you mean 'columns'?"),
    ("classification", {"folder": "x"}, "key 'folder': is unknown"),
    ("classification", {"head": None}, "key 'head': is missing"),
    (
        "classification",
        {"head": "clasification"},
        "unknown head 'clasification'; did you mean 'classification'?",
    ),
    ("classification", {"source": "hup"}, "key 'source': unknown source 'hup'; did you mean 'hub'?"),
    ("classification", {"name": "../x"}, "key 'name': '../x' is not like"),
    ("classification", {"name": "a/../x"}, "key 'name': 'a/../x' is not like"),
    ("classification", {"name": "/x"}, "key 'name': '/x' is not like"),
    ("classification", {"name": 3}, "key 'name': 3 is not a string"),
    ("classification", {"version": 0}, "key 'version': 0 is below 1"),
    ("classification", {"version": True}, "key 'version': True is not an integer"),
    ("classification", {"version": 1.0}, "key 'version': 1.0 is not an integer"),
    ("classification", {"columns": "text"}, "key 'columns': 'text' is not a list of strings"),
    ("classification", {"columns": ["a", 1]}, "key 'columns': ['a', 1] is not a list of strings"),
    ("classification", {"columns": []}, "key 'columns': is empty"),
    ("classification", {"columns": ["a", "a"]}, "key 'columns': holds a repeated or empty name: ['a', 'a']"),
    (
        "classification",
        {"columns": ["a", "b", "c"]},
        "head 'classification' takes text, second text (optional)",
    ),
    ("tagging", {"columns": ["tokens"]}, "key 'columns': head 'tagging' takes tokens, tags; got ['tokens']"),
    ("span", {"columns": ["q", "c"]}, "head 'span' takes question, context, answers; got ['q', 'c']"),
    ("classification", {"label": None}, "key 'label': is missing"),
    ("classification", {"label": "text"}, "key 'label': 'text' must not be in the columns ['text']"),
    ("tagging", {"label": "tokens"}, "key 'label': 'tokens' must end the columns ['tokens', 'tags']"),
    ("classification", {"labels": ["no"]}, "key 'labels': needs two names at least; got ['no']"),
    ("classification", {"labels": None}, "key 'labels': needs two names at least; got []"),
    ("classification", {"labels": ["no", ""]}, "key 'labels': holds a repeated or empty name"),
    ("regression", {"labels": ["a", "b"]}, "key 'labels': head 'regression' has none"),
    ("regression", {"range": None}, "key 'range': regression needs it"),
    ("regression", {"range": [1, 0]}, "key 'range': [1, 0] is not [least, greatest], finite"),
    ("regression", {"range": [1]}, "key 'range': [1] is not a list of two numbers"),
    ("regression", {"range": [0, "5"]}, "key 'range': [0, '5'] is not a list of two numbers"),
    ("classification", {"range": [0, 1]}, "key 'range': regression needs it, no other"),
    ("classification", {"metrics": ["acuracy"]}, "unknown metric 'acuracy'; did you mean 'accuracy'?"),
    (
        "classification",
        {"metrics": ["pearson"]},
        "metric 'pearson' does not fit head 'classification'; metrics",
    ),
    (
        "classification",
        {"labels": ["a", "b", "c"]},
        "metric 'f1' needs two labels; the labels are ['a', 'b', 'c']",
    ),
    ("tagging", {"labels": ["NOUN", "VERB"]}, "metric 'entity_f1' needs entity tags: O, B-X, I-X"),
    (
        "classification",
        {"primary": ["matthews"]},
        "key 'primary': 'matthews' is not measured; Known: accuracy, f1",
    ),
    (
        "tagging",
        {"metrics": ["lost_words"], "primary": ["lost_words"]},
        "key 'primary': 'lost_words' is no score",
    ),
    ("classification", {"primary": []}, "key 'primary': is empty"),
    ("classification", {"train": "../train"}, "key 'train': split '../train' is not like"),
    ("classification", {"train": "train.en"}, "key 'train': split 'train.en' must end in a language"),
    ("classification", {"languages": ["en"]}, "key 'train': split 'train' must end in a language"),
    ("classification", {"evaluation": {}}, "key 'evaluation': is empty"),
    ("classification", {"evaluation": {"v": 1}}, "key 'evaluation': {'v': 1} is not a table of strings"),
    ("classification", {"evaluation": {"v": "train"}}, "key 'evaluation.v': 'train' is the train split"),
    ("classification", {"recipe": 3}, "key 'recipe': 3 is not a table"),
    ("classification", {"recipe": {}}, "key 'recipe.learning_rate': is missing"),
    (
        "classification",
        {"recipe": {**RECIPE, "epoch": 3}},
        "'recipe.epoch': is unknown; did you mean 'epochs'?",
    ),
    ("classification", {"recipe": {**RECIPE, "epochs": "3"}}, "recipe.epochs = '3' is no float"),
    ("classification", {"recipe": {**RECIPE, "epochs": -1}}, "recipe.epochs = -1 is outside [0.001, 10000]"),
    ("classification", {"source": "hub"}, "key 'hub': is missing"),
    ("classification", {"hub": HUB}, "key 'hub': is for source = 'hub' alone"),
    ("classification", {"source": "hub", "hub": {"config": "x"}}, "key 'hub.path': is missing"),
    (
        "classification",
        {"source": "hub", "hub": {**HUB, "splits": {"trian": "x"}}},
        "'hub.splits.trian': is no spl",
    ),
    ("classification", {"builtin": "sentiment"}, "key 'builtin': is for source = 'builtin' alone"),
    ("classification", {"files": {"train": "a.csv"}}, "key 'files': needs all of ['train', 'validation']"),
]
PATHS = ["../a.csv", "x/../../a.csv", "/tmp/a.csv", "..\\a.csv", "a\0.csv"]


@pytest.mark.parametrize(("head", "change", "message"), BAD, ids=[message[:50] for *_, message in BAD])
def test_an_error_says_where(
    head: str, change: dict[str, Any], message: str, task_file: Callable[..., Path]
) -> None:
    path = task_file(**{"head": head, **change}) if "head" not in change else _headless(task_file, change)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        load_task(path)
    assert str(caught.value).startswith(f"{path}: ")


def _headless(task_file: Callable[..., Path], change: dict[str, Any]) -> Path:
    path = task_file()
    line = "" if change["head"] is None else f'head = "{change["head"]}"'
    path.write_text(path.read_text().replace('head = "classification"', line))
    return path


@pytest.mark.parametrize("given", PATHS)
def test_a_path_stays_below_the_folder(given: str, task_file: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=r"key 'files.train': .* leaves the folder of the task's file"):
        load_task(task_file(files={"train": given, "validation": "b.csv"}))


def test_a_file_has_a_known_format(task_file: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match=r"'a.txt' does not end in .jsonl, .jsonl.gz, .csv, .csv.gz"):
        load_task(task_file(files={"train": "a.txt", "validation": "b.csv"}))


@pytest.mark.parametrize(
    ("text", "message"),
    [(b"name = \nversion = 1", "line 1"), (b"name = 1\nname = 2", "overwrite"), (b'name = "\xff"', "utf-8")],
)
def test_broken_toml_is_named(text: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{message}"):
        load_task(path)


def test_an_unknown_task_answers_with_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"unknown task 'glue/rtee'; did you mean 'glue/rte'\? Known: builtin/"
    ):
        load_task("glue/rtee")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no task file .*none\.toml; `dither tasks` lists"):
        load_task(tmp_path / "none.toml")
