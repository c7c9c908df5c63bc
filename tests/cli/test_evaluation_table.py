"""Every language of a task stands in the table, beside the mean that is its score."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dither.cli.evaluations import evaluation_table


def result(task: str, method: str, **evaluations: dict[str, float]) -> Any:
    """What the table reads of a run."""
    return SimpleNamespace(spec=SimpleNamespace(task=task, method=method), metrics=evaluations)


def cells(table: Any) -> list[tuple[str, ...]]:
    return list(zip(*(list(column.cells) for column in table.columns), strict=True))


def test_a_row_is_the_mean_over_seeds_of_the_primary_metrics() -> None:
    results = [
        result("x/b", "none", en={"f1": 0.5, "em": 0.3, "lost": 0.9}, de={"f1": 0.2, "em": 0.0, "lost": 0.9}),
        result("x/b", "none", en={"f1": 0.7, "em": 0.5, "lost": 0.9}, de={"f1": 0.2, "em": 0.0, "lost": 0.9}),
        result("x/b", "pats", en={"f1": 1.0, "em": 1.0, "lost": 0.9}, de={"f1": 0.1, "em": 0.1, "lost": 0.9}),
        result("x/a", "none", en={"acc": 0.25}, sw={"acc": 0.0}),
        result("x/c", "none", validation={"acc": 0.25}),
    ]
    table = evaluation_table(results, {"x/a": ["acc"], "x/b": ["f1", "em"], "x/c": ["acc"]})
    assert cells(table) == [
        ("x/a", "en", "25.0", "–"),
        ("x/a", "sw", "0.0", "–"),
        ("x/b", "en", "50.0", "100.0"),
        ("x/b", "de", "10.0", "10.0"),
    ]


@pytest.mark.parametrize("primary", [{}, {"x/c": ["acc"]}])
def test_tasks_of_one_evaluation_have_no_such_table(primary: dict[str, list[str]]) -> None:
    assert evaluation_table([result("x/c", "none", validation={"acc": 0.25})], primary) is None


@pytest.mark.usefixtures("in_process")
def test_the_command_shows_it(dither: Any, films: Any, strict: Any, tmp_path: Path) -> None:
    task, encoder = films
    for split in ("train", "validation", "other"):
        source = "train" if split == "train" else "validation"
        (tmp_path / f"{split}.jsonl").write_bytes((Path(task).parent / f"{source}.jsonl").read_bytes())
    text = Path(task).read_text().replace('validation = "validation"', 'one = "validation"\ntwo = "other"')
    (tmp_path / "films.toml").write_text(text)
    command = ["compare", tmp_path / "films.toml", "--model", encoder, "--out", tmp_path / "out"]
    command += ["--methods", "none", "--seeds", "0", "--set", "train.epochs=1"]
    found = strict(dither(*command, "--json")[1])["runs"][0]
    table = dither(*command)[1]
    for name in ("one", "two"):
        points = 100 * found["metrics"][name]["accuracy"]
        assert re.search(rf"^mine/films +{name} +{points:.1f} *$", table, re.MULTILINE)
