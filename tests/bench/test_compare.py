"""A comparison: runs are made once, looks are counted, what is missing or failed is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_encoder import plan_of, save_encoder, sentences, write_task
from written_runs import write_runs

from dither.bench import recording
from dither.bench.compare import look
from dither.bench.executors import RunError
from dither.bench.recording import make_runs
from dither.bench.runs.run import run, run_together
from dither.results import Ledger, LedgerError


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("compare") / "encoder")


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> Path:
    return write_task(tmp_path_factory.mktemp("compare") / "task")


@pytest.fixture
def runs_made(monkeypatch) -> list[tuple[str, int]]:
    """Make the runs in this process, and list them."""
    made = []

    def in_process(requests, jobs):
        for request in requests:
            made.append((request.spec.method, request.spec.seed))
            yield from run_together(request)

    monkeypatch.setattr(recording, "run_in_processes", in_process)
    return made


def quick(task, encoder, *settings, **options):
    """A plan whose runs take three steps."""
    return plan_of(task, encoder, "train.epochs=1", *settings, **options)


def test_finished_runs_are_never_repeated(task, encoder, tmp_path, runs_made):
    plan = quick(task, encoder, methods=("none", "pats"), seeds=(0, 1))
    seen = []
    make_runs(plan, tmp_path, progress=lambda result, done, total: seen.append((done, total)))
    assert runs_made == [("none", 0), ("pats", 0), ("none", 1), ("pats", 1)]
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    make_runs(plan, tmp_path)
    assert len(runs_made) == 4


def test_runs_stand_in_the_order_of_the_plan_whichever_is_finished_first(tmp_path):
    arms, predictions = ("none", "pats", "noisytune"), {"validation": [1]}
    runs = {(arm, seed): predictions for seed in (3, 0) for arm in arms}
    first = write_runs(tmp_path / "first", runs, further=["mine/a"])
    with Ledger.read(first) as ledger:
        plan, results = ledger.experiment, list(ledger.results(predictions=True))
    with Ledger.create_or_resume(tmp_path / "second", plan) as ledger:
        for result in reversed(results):
            ledger.add(result)
    wanted = [(task, arm, seed) for task in ("mine/films", "mine/a") for arm in arms for seed in (3, 0)]
    for folder in ("first", "second"):
        specs = [row.spec for row in look(tmp_path / folder).results]
        assert [(spec.task, spec.method, spec.seed) for spec in specs] == wanted


def test_an_interrupted_comparison_goes_on(task, encoder, tmp_path, runs_made):
    plan = quick(task, encoder, methods=("none", "pats"), seeds=(0, 1))

    def interrupt(result, done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_runs(plan, tmp_path, progress=interrupt)
    assert look(tmp_path).analysis.all_runs.comparisons[-1].missing == 1
    with Ledger.read(tmp_path) as ledger:
        assert ledger.looks == []  # an incomplete table is no look
    make_runs(plan, tmp_path)
    assert runs_made[3:] == [("pats", 1)]
    assert len(look(tmp_path).results) == 4


def test_an_extension_after_a_look_is_counted(task, encoder, tmp_path, runs_made):
    plan = quick(task, encoder, methods=("none", "noisytune"), seeds=(0, 1))
    make_runs(plan, tmp_path)
    assert [look(tmp_path).looks for _ in range(3)] == [1, 1, 1]  # the same results, seen again
    make_runs(replace(plan, seeds=(0, 1, 2)), tmp_path)
    again = look(tmp_path)
    assert again.looks == 2
    (row,) = [row for row in again.analysis.all_runs.comparisons if row.method == "noisytune"]
    assert "looked at 2 and 3 seeds" in row.verdict.text or row.verdict.kind == "identical"
    assert again.analysis.rule.overall == pytest.approx(0.075)
    assert len(runs_made) == 6


def test_methods_of_strength_zero_score_like_plain(task, encoder, tmp_path, runs_made):
    names = ("none", "noisytune", "noisytune-global", "pats", "pats-blind", "pats-inverted")
    zeros = [f"{name}.noise_lambda=0" for name in names[1:]]
    make_runs(quick(task, encoder, *zeros, methods=names), tmp_path)
    with Ledger.read(tmp_path) as ledger:
        runs = list(ledger.results(predictions=True))
    assert len(runs) == len(names)
    assert all(one.predictions == runs[0].predictions for one in runs)
    losses = [[row["train_loss"] for row in one.history if "train_loss" in row] for one in runs]
    assert all(row == losses[0] for row in losses)


def test_several_tasks_are_averaged(task, encoder, tmp_path, runs_made):
    other = write_task(tmp_path / "other", name="mine/other")
    plan = plan_of(task, encoder, "train.epochs=1", methods=("none", "noisytune"))
    both = plan_of(other, encoder, "train.epochs=1", methods=("none", "noisytune"))
    plan = replace(plan, tasks=plan.tasks + both.tasks, data={**plan.data, **both.data})
    make_runs(plan, tmp_path / "out")
    macro = look(tmp_path / "out").analysis.all_runs.macro("noisytune")
    assert macro.tasks == ("mine/films", "mine/other")


def test_mixed_versions_are_told(task, encoder, tmp_path, runs_made):
    plan = quick(task, encoder, methods=("none", "noisytune"))
    first, second = plan.requests()
    with Ledger.create_or_resume(tmp_path, plan.experiment("compare")) as ledger:
        ledger.add(run(first))
        result = run(second)
        ledger.add(replace(result, environment={**result.environment, "torch": "2.0.0"}))
    (warning,) = [text for text in look(tmp_path).warnings if "torch" in text]
    assert "2.0.0 (1 run)" in warning
    assert "methods are not run alike" in warning


def test_failed_runs_are_told_and_counted(task, encoder, tmp_path, runs_made):
    plan = plan_of(
        task,
        encoder,
        "train.epochs=1",
        "train.learning_rate=1e-12",
        methods=("none", "pats"),
        seeds=(0, 1, 2),
    )
    make_runs(plan, tmp_path)
    warnings = look(tmp_path).warnings
    assert warnings[0].startswith("failed run: mine/films, none, seed 0: score ")
    assert "is not above the constant predictor's 50.00" in warnings[0]
    assert warnings[-1] == "1 more failed run"


def test_another_experiment_is_refused_and_nothing_changes(task, encoder, tmp_path, runs_made):
    make_runs(quick(task, encoder), tmp_path)
    before = (tmp_path / "ledger.sqlite").read_bytes()
    with pytest.raises(LedgerError, match=r"holds another experiment:\n.*train_settings\.epochs: 1\.0 there"):
        make_runs(plan_of(task, encoder, "train.epochs=2"), tmp_path)
    with pytest.raises(LedgerError, match="there, of which this leaves out 0"):
        make_runs(quick(task, encoder, seeds=(5,)), tmp_path)
    assert (tmp_path / "ledger.sqlite").read_bytes() == before
    assert len(runs_made) == 1


def test_bad_jobs_write_nothing(task, encoder, tmp_path):
    with pytest.raises(ValueError, match="--jobs is 0"):
        make_runs(quick(task, encoder), tmp_path / "out", jobs=0)
    assert not (tmp_path / "out").exists()


def test_curves_that_cannot_be_written_are_told_first(task, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr("dither.bench.runs.training.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'dither\[tensorboard\]'"):
        make_runs(quick(task, encoder), tmp_path / "out", tensorboard=True)
    assert not (tmp_path / "out").exists()


def test_a_look_that_cannot_be_recorded_is_a_look_all_the_same(task, encoder, tmp_path, runs_made):
    plan = quick(task, encoder)
    make_runs(plan, tmp_path)
    with Ledger.resume(tmp_path):  # another writer
        told = look(tmp_path)
    assert len(told.results) == 1
    assert told.warnings[-1].startswith("this look is not recorded: ")
    assert look(tmp_path, record=False).looks == 1


def test_one_and_two_jobs_give_the_same_scores(task, encoder, tmp_path):
    plan = quick(task, encoder, methods=("none", "noisytune"), seeds=(0, 1))
    found = {}
    for jobs in (1, 2):
        make_runs(plan, tmp_path / str(jobs), jobs=jobs)
        with Ledger.read(tmp_path / str(jobs)) as ledger:
            found[jobs] = {one.id: one.predictions for one in ledger.results(predictions=True)}
    assert len(found[1]) == 4
    assert found[1] == found[2]


def test_an_error_keeps_what_was_recorded(task, encoder, tmp_path, monkeypatch):
    def breaks(requests, jobs):
        yield run(next(iter(requests)))
        raise RunError("run (x) failed")

    monkeypatch.setattr(recording, "run_in_processes", breaks)
    with pytest.raises(RunError):
        make_runs(quick(task, encoder, seeds=(0, 1)), tmp_path)
    assert len(look(tmp_path).results) == 1


def test_a_users_own_csv_task(encoder, tmp_path, runs_made):
    task = write_task(tmp_path / "task", name="mine/csv")
    for split in ("train", "validation"):
        (task.parent / f"{split}.jsonl").unlink()
        lines = [f"{row['text']},{('bad', 'good')[row['label']]}" for row in sentences(8)]
        (task.parent / f"{split}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
    make_runs(quick(task, encoder), tmp_path / "out")
    assert len(look(tmp_path / "out").results) == 1
