"""Tasks of the package and of users: what is loaded, and what the digest covers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from typing import Any

import pytest

import dither
from dither import builtin
from dither.bench.tasks.checks import HEADS
from dither.bench.tasks.files import available_tasks, load_task
from dither.bench.tasks.recipe import Recipe
from dither.bench.tasks.task import Task

# The official columns, labels and metrics, from the GLUE paper and the data set's card.
GLUE: dict[str, tuple[list[str], list[str], list[str]]] = {
    "cola": (["sentence"], ["unacceptable", "acceptable"], ["matthews"]),
    "sst2": (["sentence"], ["negative", "positive"], ["accuracy"]),
    "mrpc": (["sentence1", "sentence2"], ["not_equivalent", "equivalent"], ["accuracy", "f1"]),
    "stsb": (["sentence1", "sentence2"], [], ["pearson", "spearman"]),
    "qqp": (["question1", "question2"], ["not_duplicate", "duplicate"], ["accuracy", "f1"]),
    "mnli": (["premise", "hypothesis"], ["entailment", "neutral", "contradiction"], ["accuracy"]),
    "qnli": (["question", "sentence"], ["entailment", "not_entailment"], ["accuracy"]),
    "rte": (["sentence1", "sentence2"], ["entailment", "not_entailment"], ["accuracy"]),
    "wnli": (["sentence1", "sentence2"], ["not_entailment", "entailment"], ["accuracy"]),
}
XTREME = ("pawsx", "xnli", "panx", "udpos", "xquad", "xquad_tydiqa", "mlqa", "tydiqa")
RETRIEVAL = {"tatoeba": 36, "bucc": 4}
TRANSLATED = {"pawsx": 7, "xnli": 15}
TRANSFERRED = [name for name in builtin.TASKS if name not in ("retrieval", "mining")]
DIGESTS = json.loads((Path(__file__).parent / "task_digests.json").read_text(encoding="utf-8"))
SMALL = {"cola", "mrpc", "stsb", "rte", "wnli"}  # below 10,000 rows


def test_the_package_brings_glue_xtreme_and_the_built_in_tasks() -> None:
    names = {f"glue/{name}" for name in GLUE} | {f"builtin/{name}" for name in builtin.TASKS} | {"squad"}
    names |= {f"xtreme/{name}" for name in (*XTREME, *RETRIEVAL)}
    names |= {f"xtreme/{name}_translate_train" for name in TRANSLATED}
    names |= {f"builtin/transfer/{name}" for name in TRANSFERRED} | {"builtin/translate_train/entailment"}
    assert set(available_tasks()) == names
    package = Path(dither.__file__).parent
    assert all(path.is_relative_to(package) for path in available_tasks().values()), (
        "the wheel leaves them out"
    )


@pytest.mark.parametrize("name", available_tasks())
def test_a_task_is_named_by_its_place_and_reads_itself(name: str) -> None:
    task = load_task(name)
    assert task.name == name
    assert task.splits[task.train_splits[0]] in ("en", "")
    assert task.learned.languages or task.splits[task.train_splits[0]] == ""
    assert task == load_task(available_tasks()[name])
    assert set(task.primary) <= set(task.metrics)


@pytest.mark.parametrize("name", GLUE)
def test_glue_is_official(name: str) -> None:
    task, (columns, labels, metrics) = load_task(f"glue/{name}"), GLUE[name]
    assert (list(task.columns), list(task.labels), list(task.primary)) == (columns, labels, metrics)
    assert task.hub is not None
    assert (task.hub.path, task.hub.config) == ("nyu-mll/glue", name)
    assert task.range == ((0.0, 5.0) if name == "stsb" else None)
    wanted = ["validation_matched", "validation_mismatched"] if name == "mnli" else ["validation"]
    assert list(task.evaluation.values()) == wanted


@pytest.mark.parametrize("name", GLUE)
def test_glue_trains_long_where_there_is_little_data(name: str) -> None:
    recipe = load_task(f"glue/{name}").recipe
    assert (10 <= recipe.epochs <= 20) if name in SMALL else recipe.epochs == 3
    assert (recipe.learning_rate, recipe.warmup_ratio) == (2e-5, 0.1)


def test_the_built_in_tasks_cover_every_head() -> None:
    heads = {load_task(f"builtin/{name}").head for name in builtin.TASKS}
    assert heads == set(HEADS)


@pytest.mark.parametrize("head", HEADS)
def test_a_users_own_task_loads_from_its_file(head: str, task_file: Callable[..., Path]) -> None:
    path = task_file(head)
    for given in (path, str(path)):
        task = load_task(given)
        assert (task.head, task.folder) == (head, path.parent)
    assert task.label in (*task.columns, "label", "score", "")


def test_languages_stand_behind_the_split(small_task: Callable[..., Task]) -> None:
    task = small_task(train="train.en", languages=["en", "de"], evaluation={"en": "dev.en", "de": "dev.de"})
    assert task.splits == {"train.en": "en", "dev.en": "en", "dev.de": "de"}


def test_no_task_of_the_package_has_changed() -> None:
    assert {name: load_task(name).digest for name in available_tasks()} == DIGESTS, (
        "runs of another digest do not compare; if that is meant, raise the task's version"
    )


def test_a_task_does_not_change(small_task: Callable[..., Task]) -> None:
    with pytest.raises(FrozenInstanceError):
        small_task().name = "other"  # type: ignore[misc]


def test_the_digest_is_that_of_the_content(task_file: Callable[..., Path], tmp_path: Path) -> None:
    task = load_task(task_file())
    assert len(bytes.fromhex(task.digest)) == hashlib.sha256().digest_size
    other = tmp_path / "elsewhere" / "again.toml"
    other.parent.mkdir()
    plain, *tables = task_file(summary="Other words.").read_text().split("\n[")
    text = "\n[".join(["\n".join(reversed(plain.splitlines())), *reversed(tables)])
    other.write_text(text.replace("epochs = 2", "epochs = 2.0"))
    assert load_task(other).digest == task.digest


@pytest.mark.parametrize(
    "change",
    [
        {"name": "mine/other"},
        {"version": 2},
        {"columns": ["words"]},
        {"label": "class"},
        {"labels": ["yes", "no"]},
        {"metrics": ["accuracy"]},
        {"primary": ["f1"]},
        {"train": "training"},
        {"evaluation": {"dev": "validation"}},
        {"evaluation": {"validation": "dev"}},
        {"recipe": {"learning_rate": 1e-3, "epochs": 2, "batch_size": 8, "max_length": 33}},
        {"source": "hub", "hub": {"path": "someone/something"}},
    ],
    ids=lambda change: ",".join(change),
)
def test_the_digest_covers(change: dict[str, Any], small_task: Callable[..., Task]) -> None:
    assert small_task().digest != small_task(**change).digest


def test_a_recipe_documents_every_field() -> None:
    for each in fields(Recipe):
        assert each.metadata["help"]
        if each.type is str:
            assert each.default in each.metadata["choices"]
        else:
            low, high = each.metadata["range"]
            assert low < high


LATER = {"precision": "bf16", "gradient_accumulation": 4, "gradient_checkpointing": True, "max_steps": 7}


@pytest.mark.parametrize("name", LATER)
def test_settings_that_came_later_count_once_they_are_used(name: str) -> None:
    task = load_task("glue/rte")
    default = next(each.default for each in fields(Recipe) if each.name == name)
    assert replace(task, recipe=replace(task.recipe, **{name: default})).digest == task.digest
    assert replace(task, recipe=replace(task.recipe, **{name: LATER[name]})).digest != task.digest


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("learning_rate", 0.0, r"learning_rate = 0.0 is outside \[1e-12, 1\] \(peak learning rate\)"),
        ("learning_rate", float("nan"), "learning_rate = nan is outside"),
        ("epochs", 0, "epochs = 0 is outside"),
        ("batch_size", 0, "batch_size = 0 is outside"),
        ("max_length", 3, "max_length = 3 is outside"),
        ("warmup_ratio", 1.5, r"warmup_ratio = 1.5 is outside \[0, 1\]"),
        ("weight_decay", -0.1, "weight_decay = -0.1 is outside"),
        ("max_grad_norm", -1, "max_grad_norm = -1 is outside"),
        ("adam_beta1", 1.0, "adam_beta1 = 1.0 is outside"),
        ("adam_beta2", 1.0, "adam_beta2 = 1.0 is outside"),
        ("adam_epsilon", -1e-8, "adam_epsilon = -1e-08 is outside"),
        ("precision", "bfloat16", r"precision = 'bfloat16' is none of float32, bf16, fp16 \(what training"),
        ("gradient_accumulation", 0, "gradient_accumulation = 0 is outside"),
        ("max_steps", -1, "max_steps = -1 is outside"),
    ],
)
def test_a_recipe_checks_ranges(name: str, value: float, message: str) -> None:
    recipe = load_task("glue/rte").recipe
    with pytest.raises(ValueError, match=message):
        replace(recipe, **{name: value})


WRONG = {
    "epochs": "3",
    "batch_size": 8.0,
    "learning_rate": True,
    "precision": 16,
    "gradient_checkpointing": 1,
}


@pytest.mark.parametrize(("name", "value"), WRONG.items())
def test_a_recipe_checks_types(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} = {value!r} is no (float|int|str|bool)"):
        replace(load_task("glue/rte").recipe, **{name: value})
