"""The study's tables: the rule for epochs by hand, and a page that says what the kept ledgers say."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from benchmarks.made_runs import MadeTask, failed, made_run
from benchmarks.study import PAGE, STAGES, chosen_epochs, lines_of, rates, regime, replaced

from dither.results import RunResult, RunSpec

SPEC = RunSpec(
    task="glue/rte", task_digest="t", data_digest="d", model="m", model_digest="m", method="none",
    method_settings={}, train_settings={}, seed=0, threads=1, dtype="float32", recipe_version=1,
)  # fmt: skip
SHIFTS = {"glue/rte": -1, "glue/cola": 1, "glue/mrpc": -2, "glue/sst2": 2}


def tried(*averages: float, broken: tuple[int, ...] = (), first: int = 2, seeds: int = 5) -> list[RunResult]:
    """Four tasks for each number of epochs, from `first` on; of the `broken` one run failed."""
    runs = []
    for epochs, points in enumerate(averages, first):
        for seed, (task, shift) in product(range(seeds), SHIFTS.items()):
            spec = replace(SPEC, task=f"{task}@held_out=0.2,epochs={epochs}", seed=seed)
            made = made_run(np.random.default_rng(seed), spec, MadeTask(task), 75.0, 0)
            runs.append(replace(made, score=points + shift))
        if epochs in broken:
            runs[-1] = replace(failed(runs[-1], scored=False), constant_score=points + shift)
    return runs


@pytest.mark.parametrize(
    ("runs", "epochs"),
    [
        (tried(70.0, 70.2), 3),
        (tried(70.0, 70.4), None),  # the third adds enough to try a fourth
        (tried(70.0, 70.4, 70.6), 4),
        (tried(70.0, 70.2, 70.3, broken=(3,)), 4),
        (tried(70.0, 70.2, broken=(3,)), None),
        (tried(70.0, 70.2, seeds=4), None),  # twenty runs are asked for
        (tried(70.0, 70.2)[:-1], None),  # and every task of a seed
        (tried(70.0, seeds=1) + tried(70.2, first=3), 3),  # the gain is that of the seeds that both have
        (tried(70.0, 69.0), 3),
        (tried(70.0, 71.0, 72.0, 73.0, 74.0), 6),  # no more than six
        (tried(70.0, 71.0, 72.0, 73.0, 74.0, broken=(6,)), None),
        (tried(70.0, first=3), None),  # nothing to compare with
    ],
)
def test_epochs_by_the_rule(runs, epochs):
    assert chosen_epochs(runs) == epochs


def test_the_table_has_tasks_averages_and_failures():
    lines = regime(tried(70.0, seeds=3, broken=(2,)) + tried(70.2, first=3))
    assert lines[:2] == ["|  | 2 epochs | 3 epochs |", "| --- | ---: | ---: |"]
    assert "| glue/rte | 69.00 ± 0.00 | 69.20 ± 0.00 |" in lines
    assert "| all four | 70.00 | 70.20 |" in lines
    assert "| more than an epoch less | – | +0.20 (3 seeds) |" in lines
    assert "| failed runs | 1 of 12 | 0 of 20 |" in lines
    assert lines[-1] == "**3 epochs** by the rule."


def test_rates_are_compared_on_the_seeds_of_all():
    higher = [
        replace(run, spec=replace(run.spec, task=run.spec.task + ",learning_rate=2e-4"))
        for run in tried(66.0, first=3, seeds=1)
    ]
    lines = rates(tried(70.0, 71.0) + higher)
    assert lines[0] == "| 3 epochs, 1 seed | 0.0001 | 0.0002 |"
    assert "| glue/rte | 70.00 | 65.00 |" in lines


def test_only_what_stands_between_the_marks_is_made_anew():
    page = "a\n<!-- b: made by python -m benchmarks.study -->\nold\n<!-- end of b -->\nc\n"
    assert replaced(page, "b", ["new"]) == page.replace("old\n", "\nnew\n\n")
    with pytest.raises(ValueError, match="needs the lines <!-- x: made by"):
        replaced(page, "x", [])


@pytest.mark.parametrize("stage", STAGES)
def test_the_page_says_what_the_ledgers_say(stage):
    page = PAGE.read_text(encoding="utf-8")
    assert replaced(page, stage, lines_of(stage)) == page
