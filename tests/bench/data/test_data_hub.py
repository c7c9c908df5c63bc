"""Rows from the Hub: the real loader on a folder that stands in for the Hub, and its failures."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dither.bench.data.loading import load
from dither.bench.tasks.files import load_task
from dither.bench.tasks.task import Task

ROWS = [
    {"sentence1": "a", "sentence2": "b", "label": 1, "idx": 0},
    {"sentence1": "", "sentence2": "c", "label": 0},
]


@dataclass
class StandIn:
    """What the loader was asked for, and the class labels that its data set carries, as the Hub's do."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    names: tuple[str, ...] = ()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, write_rows: Callable[..., Path], tmp_path: Path) -> StandIn:
    """Let `datasets` read the folder `hub` whatever it is asked for."""
    import datasets

    real, stand_in = datasets.load_dataset, StandIn()
    for split in ("train", "validation"):
        write_rows(f"hub/{split}.jsonl", ROWS)

    def load_dataset(path: str, config: str | None, *, split: str, revision: str | None) -> Any:
        stand_in.asked.append((path, config, split, revision))
        table = real(str(tmp_path / "hub"), split=split, cache_dir=str(tmp_path / "cache"))
        label = datasets.ClassLabel(names=list(stand_in.names))
        return table.cast_column("label", label) if stand_in.names else table

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return stand_in


def test_rows_come_through_datasets(hub: StandIn) -> None:
    task = load_task("glue/rte")
    hub.names = task.labels
    data = load(task)
    assert hub.asked == [("nyu-mll/glue", "rte", "train", None), ("nyu-mll/glue", "rte", "validation", None)]
    assert data.splits["train"] == [
        {key: row[key] for key in ("sentence1", "sentence2", "label")} for row in ROWS
    ]
    source = data.sources["train"]
    assert (source.kind, source.place, source.rows) == ("hub", "nyu-mll/glue/rte/train", 2)
    assert len(source.sha256) == 64


def test_the_digest_does_not_depend_on_the_source(
    hub: StandIn, write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    task = load_task("glue/rte")
    for split in task.splits:
        write_rows(f"local/glue/rte/{split}.jsonl.gz", ROWS)
    assert load(task).digest == load(task, tmp_path / "local").digest


def test_labels_in_another_order_are_refused(hub: StandIn) -> None:
    hub.names = ("not_entailment", "entailment")
    message = (
        "nyu-mll/glue/rte/train: its labels are ['not_entailment', 'entailment'], those of glue/rte ['entail"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        load(load_task("glue/rte"))


def test_class_labels_are_places_also_where_names_are_numbers(hub: StandIn, small_task: Any) -> None:
    hub.names = ("1", "0")
    task = small_task(source="hub", hub={"path": "someone/x"}, columns=["sentence1"], labels=["1", "0"])
    assert [row["label"] for row in load(task).splits["train"]] == [1, 0]


def test_a_bad_row_of_the_hub_is_named(hub: StandIn, write_rows: Callable[..., Path]) -> None:
    write_rows("hub/validation.jsonl", [{"sentence1": "a", "sentence2": "b", "label": -1, "idx": 0}])
    with pytest.raises(ValueError, match="nyu-mll/glue/rte/validation:0: column 'label': unknown label -1"):
        load(load_task("glue/rte"))


def test_languages_and_splits_are_filled_in(hub: StandIn, small_task: Callable[..., Task]) -> None:
    where = {"path": "someone/x", "config": "x.{language}", "revision": "v1", "splits": {"dev": "validation"}}
    task = small_task(
        source="hub",
        hub=where,
        columns=["sentence1", "sentence2"],
        train="train.en",
        languages=["en", "de"],
        evaluation={"en": "dev.en", "de": "dev.de"},
    )
    load(task)
    wanted = [("x.en", "train"), ("x.en", "validation"), ("x.de", "validation")]
    assert hub.asked == [("someone/x", config, split, "v1") for config, split in wanted]


def test_without_datasets_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        ImportError, match=r"glue/rte from the Hub: pip install 'dither\[hub\]', or give data_dir"
    ):
        load(load_task("glue/rte"))


def test_without_a_network_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def unreachable(*given: Any, **named: Any) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    message = "glue/qqp: no nyu-mll/glue/qqp/train from the Hub: no route; or give data_dir"
    with pytest.raises(OSError, match=message):
        load(load_task("glue/qqp"))


def test_one_split_of_the_hub_may_hold_all_languages(
    hub: StandIn, small_task: Callable[..., Task], write_rows: Callable[..., Path]
) -> None:
    ids = ["english-1", "german-1", "english--2"]
    write_rows("hub/train.jsonl", [{"id": name, "words": name, "label": 1} for name in ids])
    write_rows("hub/validation.jsonl", [{"id": name, "words": name, "label": 1} for name in ids])
    where = {"path": "someone/x", "config": "x", "rows": "{language}-", "renamed": {"text": "words"}}
    where |= {"spoken": {"en": "english", "de": "german"}, "splits": {"dev": "validation"}}
    known = {"train": "train.en", "languages": ["en", "de"], "evaluation": {"{language}": "dev.{language}"}}
    data = load(small_task(source="hub", hub=where, **known))
    assert [row["text"] for row in data.splits["train.en"]] == ["english-1", "english--2"]
    assert [row["text"] for row in data.splits["dev.de"]] == ["german-1"]
    assert data.sources["dev.de"].place == "someone/x/x/validation/german-*"
