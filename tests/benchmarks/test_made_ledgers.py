"""A made-up ledger is one that dither reads, with what a run leaves, and the same each time."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from benchmarks.made_ledgers import GLUE, METHODS, PAWSX, make_ledger
from benchmarks.made_runs import ENTRIES, EXAMPLES, MadeTask

from dither import Record
from dither.bench.compare import look
from dither.bench.tasks.files import load_task
from dither.results import Ledger, RunResult


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[RunResult]:
    """Of two tasks, one with several evaluations; three seeds."""
    folder = tmp_path_factory.mktemp("made") / "ledger"
    assert make_ledger(folder, tasks=(GLUE[0], PAWSX), scoreless=1) == 2 * 5 * 3
    with Ledger.read(folder) as ledger:
        return list(ledger.results(predictions=True))


def test_every_run_has_what_a_run_leaves(runs: list[RunResult]) -> None:
    assert len(runs) == 30
    for row in runs:
        assert len(row.history) == ENTRIES
        assert row.predictions is not None
        assert EXAMPLES - 6 <= sum(map(len, row.predictions.values())) <= EXAMPLES
        assert (row.record is None) == (row.spec.method == "none")
        for record in (row.record or {}).values():
            assert len(Record.from_json(record).tensors) == 40


def test_the_score_is_the_mean_of_the_metrics(runs: list[RunResult]) -> None:
    for row in runs:
        if row.status == "finished":
            values = [value for metrics in row.metrics.values() for value in metrics.values()]
            assert row.score == pytest.approx(100 * sum(values) / len(values))


def test_some_runs_failed_with_and_without_a_score(runs: list[RunResult]) -> None:
    bad = [row for row in runs if row.status == "failed"]
    assert [(row.spec.task, row.spec.method, row.spec.seed, row.score is None) for row in bad] == [
        ("glue/rte", "pats-magnitude", 1, False),
        ("glue/rte", "pats-magnitude", 2, True),
    ]
    assert all(math.isnan(row.history[30]["loss"]) for row in bad)


def test_a_ledger_is_the_same_each_time_and_can_be_analysed(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        make_ledger(tmp_path / name, tasks=GLUE[:1], methods=dict(list(METHODS.items())[:2]), seeds=4)
        found.append(look(tmp_path / name).analysis.to_json())
    assert found[0] == found[1]


@pytest.mark.parametrize("made", [*GLUE, PAWSX], ids=lambda made: made.name)
def test_a_task_is_made_as_it_is(made: MadeTask) -> None:
    task = load_task(made.name)
    assert (made.metrics, made.evaluations) == (tuple(task.primary), tuple(task.evaluation))
