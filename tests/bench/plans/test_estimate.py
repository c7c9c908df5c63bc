"""The time of a plan: added up from timings as the runs will be made, and near what they take."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench.executors import RunError
from dither.bench.plans import estimate as module
from dither.bench.plans.estimate import estimate
from dither.bench.plans.plan import Plan
from dither.bench.plans.timing import Timing, time_for_sending, time_run
from dither.bench.runs.run import run

ARMS = ("none", "noisytune", "noisytune@noise_lambda=0.1", "pats", "pats-blind")


@pytest.fixture
def films(tmp_path):
    return write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")


@pytest.fixture
def timed(monkeypatch) -> list[str]:
    """Timings of round numbers instead of real ones; which runs were begun."""
    begun: list[str] = []

    def fake(work, requests, jobs) -> Iterator[Timing]:
        for request in requests:
            method = request.spec.method
            begun.append(method)
            step = 0.5 if method.startswith("pats") else 0.25
            inputs = {"train": 24, "validation": 12}
            at = time.time() + 2
            yield Timing(request.spec.task, method, at, 1.0, 4.0, 3.0, step, 0.125, inputs)

    monkeypatch.setattr(module, "in_processes", fake)
    return begun


def test_one_arm_of_each_kind_is_timed_and_serves_the_others(films, timed):
    found = estimate(plan_of(*films, methods=ARMS, seeds=(0, 1)), jobs=3)
    assert timed == ["none", "noisytune", "pats"]
    (row,) = found.tasks
    assert (row.rows, row.steps, row.evaluated) == (24, 30, 12)  # ten epochs of three batches
    plain, pats = 3.0 + 30 * 0.25 + 12 * 0.125, 3.0 + 30 * 0.5 + 12 * 0.125
    assert row.seconds == dict(zip(ARMS, [plain] * 3 + [pats] * 2, strict=True))
    assert (found.planned, found.recorded, found.timed) == (10, 0, 3)
    assert found.run_seconds == pytest.approx(2 * (3 * plain + 2 * pats))


def test_every_process_starts_and_the_task_is_tokenised_once(films, timed):
    plan = plan_of(*films, methods=("none",), seeds=(0, 1, 2))
    assert estimate(plan, jobs=1).seconds == pytest.approx(2 + 1 + 4 + 3 * 12, abs=0.5)
    assert timed == ["none"]
    assert estimate(plan, jobs=2).seconds == pytest.approx(2 + 1 + 4 + 2 * 12, abs=0.5)
    assert timed == ["none"] * 3, "as many at a time as the runs will be"


def test_recorded_runs_take_no_time(films, timed):
    plan = plan_of(*films, methods=("none",), seeds=(0, 1))
    first, second = (request.spec.id for request in plan.requests())
    assert estimate(plan, jobs=1, recorded=[first]).run_seconds == pytest.approx(12)
    done = estimate(plan, jobs=1, recorded=[first, second])
    assert (done.seconds, done.recorded) == (0.0, 2)


def test_tasks_that_share_a_training_train_once(films, timed, tmp_path):
    task, encoder = films
    twin = write_task(tmp_path / "twin", name="mine/twin")
    plan = Plan.create([str(task), str(twin)], str(encoder), {"none": {}}, [0, 1])
    found = estimate(plan, jobs=1)
    each = 3.0 + 30 * 0.25 + 2 * 12 * 0.125
    assert (found.planned, found.trainings) == (4, 2)
    assert found.run_seconds == pytest.approx(2 * each)
    assert found.seconds == pytest.approx(2 + 1 + 2 * 4 + 2 * each, abs=0.5), "each task is tokenised once"
    recorded = [one.spec.id for one in plan.requests() if one.spec.task == "mine/films"]
    left = estimate(plan, jobs=1, recorded=recorded)
    assert (left.recorded, left.run_seconds) == (2, pytest.approx(2 * (each - 12 * 0.125)))


def test_parts_of_the_data_share_a_timing(films, timed):
    task, encoder = films
    names = [str(task), f"{task}@train_fraction=0.5"]
    plan = Plan.create(names, str(encoder), {"none": {}}, [0])
    assert [(row.rows, row.steps) for row in estimate(plan, jobs=1).tasks] == [(24, 30), (12, 20)]
    assert timed == ["none"]


def test_real_beginnings_of_runs_tell_what_a_run_takes(films):
    (request,) = plan_of(*films, methods=("pats",)).requests()
    first, second = time_run(request), time_run(request)
    assert second.warming == 0.0
    assert first.inputs == {"train": 24, "validation": 12}
    guess = second.fixed + 30 * second.step + 12 * second.evaluation
    # On a busy machine either may take twice as long as the other.
    assert run(request).seconds / 4 < guess < 4 * run(request).seconds


def timed_on_a_gpu(request):
    """Time a run, and write down which GPU the process sees; wait until another process is there."""
    folder = Path(os.environ["SEEN"])
    (folder / f"{os.getpid()}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.05)
    return time_for_sending(request)


def test_processes_of_their_own_are_timed_each_on_one_gpu(films, monkeypatch, tmp_path):
    (tmp_path / "seen").mkdir()
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-7,GPU-9")
    monkeypatch.setattr(module, "time_for_sending", timed_on_a_gpu)
    seen: list[int] = []
    plan = plan_of(*films, methods=("none", "pats"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    found = estimate(plan, jobs=2, progress=lambda timing, done, total: seen.append(done))
    assert sorted(path.read_text() for path in (tmp_path / "seen").iterdir()) == ["GPU-7", "GPU-9"]
    assert seen == [0, 1, 2]
    assert all(0 < value < 60 for value in found.tasks[0].step_seconds.values())
    assert found.seconds > max(found.tasks[0].seconds.values())


def test_a_run_that_cannot_begin_is_named(films):
    task, encoder = films
    plan = plan_of(task, encoder)
    (task.parent / "train.jsonl").write_text("broken\n")
    with pytest.raises(RunError, match=r"run \(mine/films, none, seed 0\) failed with .*broken JSON"):
        estimate(plan, jobs=1)


def test_bad_numbers_of_processes_are_refused(films, monkeypatch):
    plan = plan_of(*films)
    with pytest.raises(ValueError, match="--jobs is 0; it must be at least 1"):
        estimate(plan, jobs=0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(ValueError, match="--plan times runs of one process, and 2 were started together"):
        estimate(plan, jobs=1)


def test_one_process_tokenises_while_others_make_runs(films, timed):
    task, encoder = films
    names = [str(task), f"{task}@train_fraction=0.5"]
    plan = Plan.create(names, str(encoder), {"none": {}}, [0])
    whole, half = 3.0 + 30 * 0.25 + 12 * 0.125, 3.0 + 20 * 0.25 + 12 * 0.125
    one, two = (estimate(plan, jobs=jobs).seconds for jobs in (1, 2))
    assert one == pytest.approx(2 + 1 + 4 + whole + 4 + half, abs=0.5)
    assert two == pytest.approx(2 + 1 + 4 + max(whole, 4 + half), abs=0.5)


def test_rows_that_a_threshold_is_chosen_on_are_evaluated_and_train_nothing(monkeypatch):
    plan = Plan.create(["builtin/mining"], "builtin", {"none": {}}, [0])
    monkeypatch.setattr(module, "in_processes", lambda work, requests, jobs: map(time_run, requests))
    (row,) = estimate(plan, jobs=1).tasks
    sizes = {split: len(rows) for split, rows in plan.data["builtin/mining"].splits.items()}
    assert row.rows == sizes["train"]
    assert row.evaluated > sizes["validation.xx"] + sizes["train.xx"], "sentences of both sides"
