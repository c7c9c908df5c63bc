"""The time of a plan: added up from timings as the runs will be made, and near what they take."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench.executors import RunError
from dither.bench.plans import estimate as module
from dither.bench.plans import timing
from dither.bench.plans.estimate import estimate
from dither.bench.plans.plan import Plan
from dither.bench.plans.samples import Sample, step_tokens
from dither.bench.plans.timing import Parts, Timing, time_for_sending
from dither.bench.runs.encoding import encode
from dither.bench.runs.run import run

NOW = 1_000_000.0  # a clock that stands still: a busy machine changes nothing
ARMS = ("none", "noisytune", "noisytune@noise_lambda=0.1", "pats", "pats-blind")


@pytest.fixture
def films(tmp_path):
    return write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")


def parts(**changes: float) -> Parts:
    return Parts(
        **{"warming": 1.0, "fixed": 3.0, "update": 0.125, "token": 0.0, "evaluation": 0.0, **changes}
    )


@pytest.fixture
def timed(monkeypatch) -> list[str]:
    """Timings of round numbers instead of real ones; which runs were begun."""
    begun: list[str] = []

    def fake(work, requests, jobs) -> Iterator[Timing]:
        for request in requests:
            spec = request.spec
            begun.append(f"{spec.task.removeprefix('mine/films')}{spec.method}")
            update = 0.5 if spec.method.startswith("pats") else 0.25
            both = [parts(update=update, evaluation=0.25), parts(update=update / 2, fixed=1.0)]
            yield Timing(spec.task, spec.method, NOW + 2, 5.0, *both)

    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: NOW))
    monkeypatch.setattr(module, "in_processes", fake)
    monkeypatch.setattr(Sample, "of", lambda request, data, folder: SAMPLE)
    return begun


# A token of evaluation for each two rows, so that a row takes 0.125 seconds; 4/36 seconds to tokenise one.
SAMPLE = Sample("", trained=1.0, evaluated=0.5, evaluated_inputs=1.0, tokens=64.0, encoding=(4 / 36, 0.0))


def test_one_arm_of_each_kind_is_timed_and_serves_the_others(films, timed):
    found = estimate(plan_of(*films, methods=ARMS, seeds=(0, 1)), jobs=3)
    assert timed == ["none", "noisytune", "pats"]
    (row,) = found.tasks
    assert (row.rows, row.steps, row.evaluated) == (24, 30, 12)  # ten epochs of three batches
    plain, pats = 3.0 + 30 * 0.25 + 12 * 0.125, 3.0 + 30 * 0.5 + 12 * 0.125
    assert row.seconds == dict(zip(ARMS, [plain] * 3 + [pats] * 2, strict=True))
    assert row.processor_seconds == dict(zip(ARMS, [1 + 30 * 0.125] * 3 + [1 + 30 * 0.25] * 2, strict=True))
    assert found.processor_seconds == pytest.approx(
        sum(2 * value for value in row.processor_seconds.values())
    )
    assert (found.planned, found.recorded, found.timed) == (10, 0, 3)
    assert found.run_seconds == pytest.approx(2 * (3 * plain + 2 * pats))


def test_every_process_starts_and_the_task_is_tokenised_once(films, timed):
    plan = plan_of(*films, methods=("none",), seeds=(0, 1, 2))
    assert estimate(plan, jobs=1).seconds == pytest.approx(2 + 1 + 4 + 3 * 12)
    assert timed == ["none"]
    assert estimate(plan, jobs=2).seconds == pytest.approx(2 + 1 + 4 + 2 * 12)
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
    assert found.seconds == pytest.approx(2 + 1 + 2 * 4 + 2 * each), "each task is tokenised once"
    recorded = [one.spec.id for one in plan.requests() if one.spec.task == "mine/films"]
    left = estimate(plan, jobs=1, recorded=recorded)
    assert (left.recorded, left.run_seconds) == (2, pytest.approx(2 * (each - 12 * 0.125)))


def test_parts_of_the_data_share_a_timing(films, timed):
    task, encoder = films
    names = [str(task), f"{task}@train_fraction=0.5"]
    plan = Plan.create(names, str(encoder), {"none": {}}, [0])
    assert [(row.rows, row.steps) for row in estimate(plan, jobs=1).tasks] == [(24, 30), (12, 20)]
    assert timed == ["none"]


@pytest.fixture
def timed_here(monkeypatch) -> None:
    """Real beginnings of runs, in this process."""
    monkeypatch.setattr(module, "in_processes", lambda work, requests, jobs: map(work, requests))


@pytest.fixture
def work_alone_takes_time(monkeypatch) -> None:
    """Clocks that only a run's work moves: so much for a model, a token, an update, an evaluated token."""
    from transformers import Trainer

    from dither.bench.runs import training
    from dither.steps.noise import StepNoise

    now = [1000.0]

    def dear(place, name, seconds):
        real = getattr(place, name)

        def call(*arguments, **options):
            now[0] += seconds(*arguments)
            return real(*arguments, **options)

        monkeypatch.setattr(place, name, call)

    dear(training, "load_model", lambda *_: 2.0)
    dear(StepNoise, "add", lambda *_: 0.25)
    dear(Trainer, "training_step", lambda trainer, model, inputs, *_: 0.01 * inputs["input_ids"].numel())
    dear(Trainer, "prediction_step", lambda trainer, model, inputs, *_: 0.005 * inputs["input_ids"].numel())
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(time, name, lambda: now[0])


@pytest.mark.usefixtures("timed_here", "work_alone_takes_time")
def test_real_beginnings_of_runs_tell_what_a_run_takes(films):
    plan = plan_of(*films, "pats.noise_lambda=0.15", methods=("pats",))
    (row,) = estimate(plan, jobs=1).tasks
    result = run(next(plan.requests()))
    assert row.seconds["pats"] == pytest.approx(result.seconds, rel=0.02)
    assert row.processor_seconds["pats"] == pytest.approx(row.seconds["pats"]), "the clocks are one"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((), []),
        (("pats.start=900", "pats.stop=901"), []),
        (('pats.include="*bias"',), ["PATS: no tensor will be noised: "]),
    ],
    ids=["as it is", "noise at steps that are not timed", "a design without noise"],
)
def test_a_timed_sample_says_nothing_of_its_own_schedule(films, monkeypatch, caplog, settings, said):
    monkeypatch.setattr(timing, "_SAID", set())
    settings = ("pats.noise_lambda=0.15", *settings)
    (request,) = plan_of(*films, *settings, methods=("pats",)).requests()
    for _ in range(2):
        timing.time_run(request, 0.0)
    assert [message[: len(start)] for message, start in zip(caplog.messages, said, strict=True)] == said


@pytest.mark.usefixtures("timed_here")
def test_a_sample_that_was_timed_is_not_taken_for_the_data():
    plan = Plan.create(["builtin/mining"], "builtin", {"none": {}}, [0], train_settings={"max_steps": 1})
    estimate(plan, jobs=1)
    (request,) = plan.requests()
    assert {split: len(rows) for split, rows in encode(request).rows.items()} == {
        "train.xx": 480,
        "validation.xx": 480,
    }


def steps_of(size: int, seconds: float) -> timing._Steps:
    """Two equal steps."""
    found = timing._Steps()
    found.ends = [np.array((seconds, seconds / 2)) * number for number in (1, 2)]
    found.updates, found.tokens = [np.zeros(2)] * 2, [size] * 2
    return found


def test_a_slow_step_is_timed_on_a_part_of_its_rows(films, monkeypatch):
    (request,) = plan_of(*films, "train.gradient_accumulation=2").requests()
    encoded = encode(request)
    size = step_tokens(encoded.features["train"].lengths, request.recipe)
    monkeypatch.setattr(timing, "_WARM", [steps_of(10, 0.1)])  # 0.01 seconds for each token at most
    assert timing._bounded(request, encoded, 0.011 * size) is request
    some = timing._bounded(request, encoded, 0.0055 * size).recipe
    assert (some.batch_size, some.gradient_accumulation) == (4, 1)
    assert timing._bounded(request, encoded, 0.0).recipe.batch_size == 2


def test_what_small_steps_take_is_no_matter_of_tokens():
    """0.5 seconds and 0.01 for each token; where sizes do not differ, nothing is taken off."""
    small = steps_of(10, 0.6)
    assert steps_of(90, 1.4).token(small) == pytest.approx([0.01, 0.005])
    assert steps_of(12, 0.62).token(small) == pytest.approx([0.62 / 12, 0.31 / 12])
    assert steps_of(90, 0.5).token(small) == pytest.approx([0.0, 0.0]), "noise of the machine"


def timed_on_a_gpu(request, seconds):
    """Time a run, and write down which GPU the process sees; wait until another process is there."""
    folder = Path(os.environ["SEEN"])
    (folder / f"{os.getpid()}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])
    while len(list(folder.iterdir())) < 2:
        time.sleep(0.05)
    return time_for_sending(request, seconds)


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
    plan = replace(plan_of(*films), dtype="float99")
    with pytest.raises(RunError, match=r"run \(mine/films, none, seed 0\) failed with .*float99"):
        estimate(plan, jobs=1)


def test_a_model_whose_files_changed_is_named(films):
    task, encoder = films
    plan = plan_of(task, encoder)
    (encoder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors in .* changed since the runs were planned"):
        estimate(plan, jobs=1)


def test_what_has_no_time_left_is_reckoned_and_named(films, timed, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "BUDGET", 0.0)
    twin = write_task(tmp_path / "twin", name="mine/twin")
    plan = Plan.create([str(films[0]), str(twin)], str(films[1]), {"none": {}, "pats": {}}, [0])
    found = estimate(plan, jobs=1)
    assert timed == ["none"]
    assert found.untimed == ("mine/films, pats", "mine/twin, none", "mine/twin, pats")
    assert len({tuple(row.seconds.values()) for row in found.tasks}) == 1


def test_every_kind_is_timed_on_one_task_before_the_others(films, timed, tmp_path):
    twin = write_task(tmp_path / "twin", name="mine/twin")
    plan = Plan.create([str(films[0]), str(twin)], str(films[1]), {"none": {}, "pats": {}}, [0])
    found = estimate(plan, jobs=1)
    assert timed == ["none", "pats", "mine/twinnone", "mine/twinpats"]
    assert (found.timed, found.untimed) == (4, ())


@pytest.mark.parametrize("setting", ["precision=bf16", "gradient_accumulation=2", "group_by_length=true"])
def test_another_way_to_compute_is_timed_itself(films, timed, monkeypatch, setting):
    monkeypatch.setattr(module, "check_precisions", lambda precisions: None)
    names = [str(films[0]), f"{films[0]}@{setting}", f"{films[0]}@max_steps=7"]
    plan = Plan.create(names, str(films[1]), {"none": {}}, [0])
    found = estimate(plan, jobs=1)
    assert timed == ["none", f"@{setting}none"]
    assert [row.steps for row in found.tasks] == [30, 30, 7]


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
    words = 24 * 4 / 36  # half the rows that train, and all that are evaluated
    assert one == pytest.approx(2 + 1 + 4 + whole + words + half)
    assert two == pytest.approx(2 + 1 + 4 + max(whole, words + half))


@pytest.mark.usefixtures("timed_here")
def test_rows_that_a_threshold_is_chosen_on_are_evaluated_and_train_nothing():
    plan = Plan.create(["builtin/mining"], "builtin", {"none": {}}, [0])
    (row,) = estimate(plan, jobs=1).tasks
    sizes = {split: len(rows) for split, rows in plan.data["builtin/mining"].splits.items()}
    assert row.rows == sizes["train"]
    assert row.evaluated > sizes["validation.xx"] + sizes["train.xx"], "sentences of both sides"
