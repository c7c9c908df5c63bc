"""Tasks of retrieval: what their files say, which are refused, what they read, and what they predict."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_encoder import plan_of, save_encoder, tokenizer

from dither.bench.data.loading import load
from dither.bench.heads import HEADS
from dither.bench.scoring.scores import constant_predictions, own_answers, score
from dither.bench.tasks.files import load_task
from dither.bench.tasks.task import Task

MINED = {
    "retrieval": {"layer": 1, "margin": "ratio", "threshold_split": "shown"},
    "metrics": ["mining_f1"],
    "primary": ["mining_f1"],
}
SPOKEN = {"languages": ["de", "sw"], "evaluation": {"{language}": "dev.{language}"}}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"retrieval": None}, "key 'retrieval': is missing; it says which layer stands for a sentence"),
    ({"retrieval": {"layer": 1, "lair": 2}}, "key 'retrieval.lair': is unknown"),
    ({"retrieval": {}}, "key 'retrieval.layer': is missing"),
    (
        {"retrieval": {"layer": -1}},
        "retrieval.layer = -1 is no number of a hidden state (0, 1, ...) and no share",
    ),
    ({"retrieval": {"layer": 1.5}}, "retrieval.layer = 1.5 is no number"),
    ({"retrieval": {"layer": True}}, "retrieval.layer = True is no number"),
    ({"retrieval": {"layer": "last"}}, "retrieval.layer = 'last' is no number"),
    ({"retrieval": {"layer": 1, "margin": "cosine"}}, "margin = 'cosine' is none of none, ratio, distance"),
    ({"retrieval": {"layer": 1, "neighbours": 0}}, "neighbours = 0 is no whole number from 1"),
    ({"retrieval": {"layer": 1, "special_tokens": 1}}, "special_tokens = 1 is not true or false"),
    (
        {"retrieval": {"layer": 1, "threshold_split": "a.de"}},
        "threshold_split = 'a.de' is not like 'validation'",
    ),
    (
        {"retrieval": {"layer": 1, "threshold_split": "x"}},
        "'retrieval_accuracy' goes without the key retrieval.thr",
    ),
    ({**MINED, "retrieval": {"layer": 1}}, "'mining_f1' needs the key retrieval.threshold_split"),
    ({**MINED, "evaluation": {"x": "shown"}}, "'shown' is reported; choose the threshold on another split"),
    ({**MINED, "retrieval": {"layer": 1, "threshold_split": "train"}}, "'train' is the train split"),
    ({"evaluation": {"x": "train"}}, "key 'evaluation.x': 'train' is the train split"),
    ({"columns": ["left"]}, "head 'retrieval' takes source, target; got ['left']"),
    ({"label": "label"}, "key 'label': head 'retrieval' has none"),
    ({"train": "train"}, "key 'train': is that of 'builtin/entailment'; leave it out"),
    ({"train_from": None}, "key 'train_from': is missing; it names the task to train on"),
    ({"train_from": "glue/rtee"}, "key 'train_from': unknown task 'glue/rtee'; did you mean 'glue/rte'?"),
    ({"train_from": "other.toml"}, "key 'train_from': there is no task file"),
    (
        {"train_from": "mine/small"},
        "key 'train_from': 'mine/small' is this task itself; name the one to train on",
    ),
    (
        {"train_from": "builtin/mining"},
        "'builtin/mining' has no training of its own but that of 'builtin/entailment'",
    ),
    ({"train_from": 3}, "key 'train_from': 3 is not a string"),
    ({"trained": "glue/rte"}, "key 'trained': is unknown"),
    (
        {"metrics": ["accuracy"]},
        "metric 'accuracy' does not fit head 'retrieval'; metrics that do: retrieval_acc",
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message[:50] for _, message in BAD])
def test_an_error_says_where(change: dict[str, Any], message: str, task_file: Callable[..., Path]) -> None:
    path = task_file("retrieval", **change)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        load_task(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("change", [{"retrieval": {"layer": 1}}, {"train_from": "builtin/entailment"}])
def test_other_heads_take_no_training_of_others(
    change: dict[str, Any], small_task: Callable[..., Task]
) -> None:
    with pytest.raises(ValueError, match=f"key '{next(iter(change))}': is for head = 'retrieval' alone"):
        small_task(**change)


def test_a_file_that_names_itself(task_file: Callable[..., Path]) -> None:
    message = "'task.toml' has no training of its own but that of 'task.toml'"
    with pytest.raises(ValueError, match=message):
        load_task(task_file("retrieval", train_from="task.toml"))


def test_training_is_that_of_the_other_task(small_task: Callable[..., Task]) -> None:
    task, other = small_task("retrieval", recipe=None), load_task("builtin/entailment")
    assert (task.learned, task.train_splits, task.recipe) == (other, ("train",), other.recipe)
    assert task.reader("train") is task.learned
    assert task.reader("validation") is task
    own = small_task("retrieval")
    assert own.recipe != other.recipe
    assert own.digest != task.digest != small_task("retrieval", recipe=None, train_from="glue/rte").digest
    assert small_task("retrieval", retrieval={"layer": 2}).digest != own.digest


def test_a_task_beside_it_may_train(task_file: Callable[..., Path], write_rows: Any, tmp_path: Path) -> None:
    task_file().rename(tmp_path / "trains.toml")
    for split in ("train", "validation"):
        write_rows(f"{split}.jsonl", [{"text": "a", "label": 0, "left": "a", "right": "b"}])
    task = load_task(task_file("retrieval", train_from="trains.toml"))
    assert load(task).splits == {
        "train": [{"text": "a", "label": 0}],
        "validation": [{"left": "a", "right": "b"}],
    }


@pytest.mark.parametrize(("layer", "number"), [(0, 0), (1, 1), (0.6, 1), (2, None), (7, None)])
def test_a_layer_that_the_model_has_not(
    layer: float, number: int | None, task_file: Callable[..., Path], write_rows: Any, tmp_path: Path
) -> None:
    write_rows("validation.jsonl", [{"left": "a", "right": "b"}])
    path, encoder = task_file("retrieval", retrieval={"layer": layer}), save_encoder(tmp_path / "encoder")
    if number is not None:
        (request,) = plan_of(path, encoder).requests()
        assert request.task.retrieval is not None
        assert request.task.retrieval.layer_of(1) == number
        return
    message = (
        f"task 'mine/small' does not fit model {encoder}: it reads hidden state {layer} and the model has 1"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        plan_of(path, encoder)


def test_languages_without_a_file_are_named(
    small_task: Callable[..., Task], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    mined = {**MINED, **SPOKEN, "source": "hub", "hub": {"path": "someone/something"}}
    task = small_task("retrieval", **mined)
    for split in ("dev.de", "dev.sw", "shown.sw"):
        write_rows(f"mine/small/{split}.jsonl", [{"left": "a", "right": "b"}])
    with pytest.raises(FileNotFoundError, match=r"no file for shown\.de \(mine/small.*--languages sw$"):
        load(task, tmp_path)
    chosen = task.in_languages(["sw"])
    assert list(load(chosen, tmp_path).splits) == ["train", "dev.sw", "shown.sw"]
    with pytest.raises(ValueError, match="has no language 'en'; Known: de, sw"):
        task.in_languages(["en"])


def test_rows_of_mining_may_lack_a_side(
    small_task: Callable[..., Task], write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    write_rows("shown.jsonl", [{"left": "a\n", "right": None}, {"left": " ", "right": "b"}])
    path = write_rows("validation.csv", "left,right\na,b\n,c\nd,\n,\n")
    task = small_task("retrieval", **MINED)
    with pytest.raises(ValueError, match=re.escape(f"{path}:5: no text in column left nor in right")):
        load(task)
    write_rows("validation.csv", "left,right\na,b\n,c\nd,\n")
    data = load(task)
    assert data.splits["shown"] == [{"left": "a", "right": None}, {"left": None, "right": "b"}]
    assert own_answers(task, data.splits["validation"]) == [0, None, None]


def pairs(*texts: tuple[str | None, str | None]) -> list[dict[str, Any]]:
    return [{"left": left, "right": right} for left, right in texts]


def decoded(task: Task, rows: list[dict[str, Any]], states: dict[str, list[float]]) -> list[Any]:
    head = HEADS["retrieval"]
    features = head.encode(task, rows, tokenizer(), 16)
    assert len(features) == len(states)
    return head.decode(task, (np.array(list(states.values()), np.float32),), features, rows)


def test_a_sentence_is_read_once_and_equal_targets_are_one(small_task: Callable[..., Task]) -> None:
    task = small_task("retrieval")
    rows = pairs(("cat", "mat"), ("film", "mat"), ("cat", "good"))
    states = {"cat": [1.0, 0.1], "mat": [1.0, 0.0], "film": [0.9, 0.1], "good": [0.0, 1.0]}
    assert decoded(task, rows, states) == [0, 0, 0]
    assert own_answers(task, rows) == [0, 0, 2]
    scores = score(task, {"validation": [0, 0, 0]}, {"validation": rows}, train=rows)
    assert scores.metrics["validation"]["retrieval_accuracy"] == pytest.approx(2 / 3)


def test_mined_rows_have_a_pair_and_its_score_or_none(small_task: Callable[..., Task]) -> None:
    task = small_task("retrieval", **{**MINED, "retrieval": {"layer": 1, "threshold_split": "shown"}})
    rows = pairs((None, "mat"), ("cat", None), ("film", "good"))
    states = {"mat": [1.0, 0.0], "cat": [1.0, 0.0], "film": [0.0, 2.0], "good": [0.0, 1.0]}
    assert decoded(task, rows, states) == [None, (0, 1.0), (2, 1.0)]
    assert decoded(task, pairs((None, "mat")), {"mat": [1.0, 0.0]}) == [None]
    assert decoded(task, pairs(("mat", None)), {"mat": [1.0, 0.0]}) == [None]


def test_a_constant_answer_is_one_target_for_all(small_task: Callable[..., Task]) -> None:
    rows = pairs(*((f"a{number}", f"b{number}") for number in range(8)))
    task = small_task("retrieval")
    scores = score(task, {"validation": list(range(8))}, {"validation": rows}, train=rows)
    assert (scores.score, scores.constant_score) == (100.0, 12.5)
    mined, some = small_task("retrieval", **MINED), pairs((None, "x"), ("a", "b"), ("c", None))
    assert constant_predictions(mined, some, some) == [None, 0, 0]


@pytest.mark.parametrize("wrong", [True, 0.0, "0"])
def test_a_prediction_is_the_number_of_a_row(wrong: Any, small_task: Callable[..., Task]) -> None:
    rows = pairs(("a", "b"))
    with pytest.raises(ValueError, match=f"prediction {wrong!r}: not the number of a row, nor None"):
        score(small_task("retrieval"), {"validation": [wrong]}, {"validation": rows}, train=rows)


def test_xtreme_retrieves_from_english_and_mines_with_a_threshold_from_elsewhere() -> None:
    tatoeba, bucc = load_task("xtreme/tatoeba"), load_task("xtreme/bucc")
    assert tatoeba.columns == ("target_sentence", "source_sentence")
    assert (tatoeba.learned.name, len(tatoeba.languages)) == ("xtreme/xnli", 36)
    assert tatoeba.hub is not None
    assert set(tatoeba.hub.spoken) == set(tatoeba.languages)
    assert tatoeba.recipe == bucc.recipe == load_task("xtreme/xnli").recipe
    assert bucc.splits == {
        "train.en": "en",
        **{f"test.{language}": language for language in bucc.languages},
        **{f"validation.{language}": language for language in bucc.languages},
    }
