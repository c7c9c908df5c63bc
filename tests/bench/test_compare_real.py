"""A small decoder on a few hundred real rows of GLUE, end to end."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_encoder import plan_of

from dither.bench import recording
from dither.bench.compare import look
from dither.bench.plans.plan import Plan
from dither.bench.plans.settings import parse_settings
from dither.bench.recording import make_runs
from dither.bench.runs.run import run
from dither.results import Ledger

pytestmark = pytest.mark.data
TASKS = ["glue/cola", "glue/rte"]
ROWS = {"train": 160, "validation": 80}
SETTINGS = ["train.epochs=1", "train.max_length=64", "train.learning_rate=1e-3"]


@pytest.fixture(scope="module")
def few_rows(test_data, tmp_path_factory) -> Path:
    """The first rows of two tasks, as a user would keep them."""
    folder = tmp_path_factory.mktemp("real")
    for task in TASKS:
        (folder / task).mkdir(parents=True)
        for split, count in ROWS.items():
            with gzip.open(test_data / "data" / task / f"{split}.jsonl.gz", "rt", encoding="utf-8") as lines:
                kept = [next(lines) for _ in range(count)]
            (folder / task / f"{split}.jsonl").write_text("".join(kept), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def compared(few_rows, stories_dir, tmp_path_factory) -> Iterator[Path]:
    """The folder of a comparison with two methods and one of strength zero, made in this process."""
    out = tmp_path_factory.mktemp("real") / "out"
    methods, train = parse_settings([*SETTINGS, "pats.noise_lambda=0"], ["none", "noisytune", "pats"])
    plan = Plan.create(TASKS, str(stories_dir), methods, (0, 1), train_settings=train, data_dir=str(few_rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "run_in_processes", lambda requests, jobs: (run(row) for row in requests))
        make_runs(plan, out)
    return out


def test_every_run_is_there_with_a_prediction_for_every_row(compared):
    with Ledger.read(compared) as ledger:
        runs = list(ledger.results(predictions=True))
    assert len(runs) == 2 * 3 * 2
    assert {len(one.predictions["validation"]) for one in runs} == {ROWS["validation"]}
    assert {one.metrics["validation"].keys().__len__() for one in runs} == {1}
    assert all(one.score is not None and -100 <= one.score <= 100 for one in runs)


def test_strength_zero_is_none_and_noise_is_not(compared):
    with Ledger.read(compared) as ledger:
        runs = {(one.spec.task, one.spec.method, one.spec.seed): one for one in ledger.results()}
    losses = {
        key: [row["train_loss"] for row in one.history if "train_loss" in row] for key, one in runs.items()
    }
    for task in TASKS:
        for seed in (0, 1):
            assert losses[task, "pats", seed] == losses[task, "none", seed]
            assert losses[task, "noisytune", seed] != losses[task, "none", seed]
        assert losses[task, "none", 0] != losses[task, "none", 1]


def test_the_macro_average_is_over_both_tasks(compared):
    analysis = look(compared).analysis
    assert analysis.all_runs.macro("noisytune").tasks == tuple(TASKS)
    assert analysis.all_runs.macro("pats").verdict.kind == "identical"


@pytest.mark.parametrize("task", ["glue/stsb", "glue/mrpc", "glue/mnli"])
def test_other_tasks_of_glue_are_planned_with_a_real_encoder(test_data, minilm_dir, task):
    plan = plan_of(task, minilm_dir, "train.max_length=128", data_dir=str(test_data / "data"))
    assert len(list(plan.requests())) == 1
