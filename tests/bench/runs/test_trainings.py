"""Tasks that are trained alike share a training, and nothing of their results tells."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_encoder import save_encoder, write_task

from dither.bench import recording
from dither.bench.compare import look
from dither.bench.data.loading import load
from dither.bench.executors import RunError, processes, worker
from dither.bench.executors.processes import run_in_processes
from dither.bench.executors.worker import run_for_sending
from dither.bench.experiments.files import load_reproduction
from dither.bench.plans.plan import Plan, arms_of
from dither.bench.plans.settings import parse_settings
from dither.bench.recording import make_runs
from dither.bench.runs import encoding
from dither.bench.runs import run as module
from dither.bench.runs.request import RunRequest
from dither.bench.runs.run import run, run_together
from dither.bench.runs.trainings import together, training_id
from dither.bench.tasks.files import load_task
from dither.results import Ledger, RunResult, RunSpec, count_trainings

BUILTIN = ("builtin/entailment", "builtin/retrieval", "builtin/mining")
SPEC = RunSpec(
    "t", "t1", "d1", model="m", model_digest="m1", method="none", method_settings={}, train_settings={},
    seed=0, threads=1, dtype="float32", recipe_version=1,
)  # fmt: skip


def trainings_of(tasks: Sequence[str], methods: Sequence[str]) -> dict[str, int]:
    """How many trainings each arm takes on tasks of the package, read from what they say of their data."""
    found: dict[str, set[str]] = {method: set() for method in methods}
    for task in map(load_task, tasks):
        rows = " ".join(
            task.learned.borrowed.get(split, f"{task.learned.name}/{split}") for split in task.train_splits
        )
        for method, settings in arms_of(task, parse_settings([], methods)[0]).items():
            spec = replace(SPEC, method=method, method_settings=settings)
            found[method].add(training_id(spec, task, rows))
    return {method: len(ids) for method, ids in found.items()}


SHARED = {
    ("squad", "xtreme/mlqa", "xtreme/xquad"): {
        "none": 1,
        "noisytune": 2,
        "pats": 1,
    },  # SQuAD has no languages
    ("xtreme/xnli", "xtreme/tatoeba", "xtreme/bucc"): {"none": 1, "noisytune": 1, "pats": 1},
    ("xtreme/tydiqa", "xtreme/xquad_tydiqa"): {"none": 1, "noisytune": 1},
    BUILTIN: {"none": 1, "noisytune": 2, "pats": 1},
    ("xtreme/xnli", "xtreme/xnli_translate_train", "glue/mnli"): {"none": 3},  # other rows, another recipe
    ("xtreme/xquad@epochs=2", "xtreme/mlqa", "xtreme/mlqa@epochs=2"): {"none": 2, "pats": 2},
    load_reproduction("noisytune-xtreme").tasks: {"none": 6, "noisytune": 6},
}


@pytest.mark.parametrize(
    ("tasks", "counts"), SHARED.items(), ids=lambda each: str(each[0]) if isinstance(each, tuple) else ""
)
def test_tasks_of_the_package_that_share_a_training(tasks, counts):
    assert trainings_of(tasks, tuple(counts)) == counts


CHANGES = [
    *({"seed": 1}, {"training_seed": 2**31}, {"threads": 2}, {"processes": 2}, {"dtype": "bfloat16"}),
    *({"recipe_version": 2}, {"model_digest": "m2"}, {"method": "none-again"}, {"method_settings": {"a": 1}}),
    *({"train_settings": {"epochs": 9.0}}, {"train_settings": {"precision": "bf16"}}),
]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_what_determines_the_weights_is_part_of_the_training(change):
    task = load_task("builtin/entailment")
    assert training_id(replace(SPEC, **change), task, "r") != training_id(SPEC, task, "r")


def test_what_only_evaluates_is_no_part_of_it(small_task):
    task, one = small_task(), training_id(SPEC, small_task(), "r")
    for change in ({"task": "x"}, {"task_digest": "x"}, {"data_digest": "x"}, {"model": "x"}):
        assert training_id(replace(SPEC, **change), task, "r") == one
    assert training_id(replace(SPEC, train_settings={"warmup_ratio": 0.1}), task, "r") == one, "its value now"
    assert training_id(SPEC, small_task(metrics=["f1"], primary=["f1"], name="mine/other"), "r") == one
    assert training_id(SPEC, small_task(labels=["yes", "no"]), "r") != one
    assert training_id(SPEC, task, "r2") != one


def test_the_digest_of_train_rows_knows_nothing_of_the_others(tmp_path):
    task = write_task(tmp_path / "task")
    whole, half = load(load_task(task)), load(load_task(f"{task}@train_fraction=0.5"))
    assert whole.trained != half.trained
    validation, train = (task.parent / f"{split}.jsonl" for split in ("validation", "train"))
    shutil.copy(train, validation)
    changed = load(load_task(task))
    assert (changed.trained, changed.digest != whole.digest) == (whole.trained, True)
    train.write_text("".join(reversed(train.read_text().splitlines(keepends=True))))
    assert load(load_task(task)).trained != whole.trained, "the order of rows counts"
    shares = {name: load(load_task(name)).trained for name in BUILTIN}
    assert len(set(shares.values())) == 1


def determined(result: RunResult) -> dict[str, Any]:
    """All of a result that no clock and no neighbour has a part in."""
    times = ("train_runtime", "train_samples_per_second", "train_steps_per_second")
    history = [{key: row[key] for key in row if key not in times} for row in result.history]
    none = {"seconds": 0.0, "step_seconds": None, "peak_memory_mb": None, "training": None}
    return vars(replace(result, history=history, started="2026-01-31T12:00:00+00:00", **none))


def test_results_are_those_of_separate_trainings_to_the_last_bit():
    arms, train = parse_settings(
        ["train.max_steps=4", "pats.noise_lambda=0.15"], ("none", "noisytune", "pats")
    )
    plan = Plan.create(BUILTIN, "builtin", arms, [0], train_settings=train)
    clock = time.perf_counter()
    shared = {result.id: result for request in plan.trainings() for result in run_together(request)}
    took = time.perf_counter() - clock
    requests = {(one.spec.task.partition("/")[2], one.spec.method): one for one in plan.requests()}
    assert shared.keys() == {one.spec.id for one in requests.values()}
    assert count_trainings(shared.values()) == 4, "NoisyTune has other defaults where a task has languages"
    alone = [(task, "pats") for task in ("entailment", "retrieval", "mining")]
    for cell in (*alone, ("mining", "none"), ("mining", "noisytune")):
        separate = run(requests[cell])
        assert separate.predictions == shared[separate.id].predictions
        assert determined(separate) == determined(shared[separate.id])
    times = [shared[requests[cell].spec.id] for cell in alone]
    assert {one.training["runs"] for one in times} == {3}
    assert (
        sum(one.seconds for one in times)
        > times[0].training["seconds"]
        > sum(one.step_seconds for one in times)
    )
    assert sum(one.seconds for one in shared.values()) < took, "no second counts twice"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("trainings") / "encoder")


@pytest.fixture
def twins(tmp_path, encoder, monkeypatch):
    """A plan of two tasks of a user's own with the same train rows; the requests that are trained."""
    trained: list[RunRequest] = []
    paths = [
        write_task(tmp_path / name, name=f"mine/{name}", evaluated=size)
        for name, size in (("a", 12), ("b", 10))
    ]

    def in_process(requests, jobs):
        for request in requests:
            trained.append(request)
            yield from run_together(request)

    monkeypatch.setattr(recording, "run_in_processes", in_process)
    arms, train = parse_settings(["train.max_steps=2"], ("none", "noisytune"))

    def plan(names: str) -> Plan:
        wanted = [str(path) for path in paths if path.parent.name in names]
        return Plan.create(wanted, str(encoder), arms, [0], train_settings=train)

    return plan, trained


def test_tasks_of_a_users_own_share_a_training_and_the_ledger_says_so(twins, tmp_path):
    plan, trained = twins
    effort = make_runs(plan("ab"), tmp_path / "out")
    assert [one.name for one in trained] == [
        "mine/a + mine/b, none, seed 0",
        "mine/a + mine/b, noisytune, seed 0",
    ]
    assert (effort.runs, effort.trainings) == (4, 2)
    assert str(effort).startswith("4 runs (2 trainings) in ")
    with Ledger.read(tmp_path / "out") as ledger:
        results = list(ledger.results(predictions=True))
    assert count_trainings(results) == 2
    assert [len(one.predictions["validation"]) for one in results[:2]] == [12, 10]
    assert results[0].training == results[1].training
    assert RunResult.from_json(results[0].to_json()) == results[0]
    assert look(tmp_path / "out").complete
    make_runs(plan("ab"), tmp_path / "out")
    assert len(trained) == 2


def test_a_task_added_later_trains_once_more_and_says_so(twins, tmp_path, caplog):
    plan, trained = twins
    make_runs(plan("a"), tmp_path / "out")
    assert caplog.messages == []
    make_runs(plan("ab"), tmp_path / "out")
    assert [one.name.partition(",")[0] for one in trained] == 2 * ["mine/a"] + 2 * ["mine/b"]
    assert caplog.messages == [
        "2 trainings are made once more, for mine/b: other tasks' runs that stand on the same trainings are "
        "recorded already, and no trained model is kept"
    ]
    comparison = look(tmp_path / "out")
    assert len({one.training["id"] for one in comparison.results}) == 2
    assert not any("DETERMINISTIC" in text for text in comparison.warnings)


def test_a_training_made_once_more_with_other_losses_is_told(twins, tmp_path):
    plan, _ = twins
    plan = plan("ab")
    first, second = [next(run_together(replace(one, also=()))) for one in list(plan.requests())[::2][:2]]
    other = [{**row, "loss": 9.0} if "loss" in row else {**row, "train_loss": 9.0} for row in second.history]
    second = replace(second, history=other, started="2026-01-31T12:00:00+00:00")
    with Ledger.create_or_resume(tmp_path / "out", plan.experiment("compare")) as ledger:
        ledger.add(first)
        ledger.add(second)
    (warning,) = [text for text in look(tmp_path / "out").warnings if "DETERMINISTIC" in text]
    assert "mine/b, none, seed 0 stands on the same training as mine/a, which was made once more" in warning
    assert "the losses differ from step 2 on" in warning


def test_an_error_in_one_evaluation_names_its_task_and_keeps_the_others(twins, monkeypatch):
    plan, _ = twins
    real = module.evaluate

    def evaluate(request, *others):
        if request.spec.task == "mine/a":
            raise MemoryError("too many labels")
        return real(request, *others)

    monkeypatch.setattr(module, "evaluate", evaluate)
    request = plan("ab").trainings()[0]
    outcome = run_for_sending(request)
    assert [one.spec.task for one in outcome.results] == ["mine/b"]
    assert (outcome.broken.spec.task, str(outcome.broken)) == ("mine/a", "MemoryError: too many labels")
    assert "in evaluate" in outcome.broken.trace
    monkeypatch.setattr(processes, "in_processes", lambda *_: (one for one in [outcome]))
    results = run_in_processes([request], 1)
    assert next(results).spec.task == "mine/b"
    with pytest.raises(RunError, match=r"run \(mine/a, none, seed 0\) failed with MemoryError: .*goes on"):
        next(results)


def test_bad_data_of_one_task_are_found_before_the_training(twins, tmp_path, monkeypatch):
    plan, _ = twins
    request = plan("ab").trainings()[0]
    monkeypatch.setattr(encoding, "_ENCODED", {})  # of the tests before
    monkeypatch.setattr(module, "make_trainer", lambda *args, **options: pytest.fail("it trained"))
    path = tmp_path / "b" / "validation.jsonl"
    path.write_text(path.read_text() + json.dumps({"text": "a cat", "label": "none"}) + "\n")
    outcome = worker.run_for_sending(request)
    assert outcome.results == ()
    assert outcome.broken.spec.task == "mine/b"
    assert "validation.jsonl:11" in str(outcome.broken)


def test_runs_that_nobody_made_are_an_error(twins, tmp_path, monkeypatch):
    plan, _ = twins
    monkeypatch.setattr(recording, "run_in_processes", lambda requests, jobs: (run(one) for one in requests))
    with pytest.raises(RunError, match=r"2 runs have no result, the first of them \(mine/b, none, seed 0\)"):
        make_runs(plan("ab"), tmp_path / "out")


def test_runs_without_a_known_training_are_made_alone(twins):
    plan, _ = twins
    requests = [replace(one, training="") for one in plan("ab").requests()]
    assert [one.also for one in together(requests)] == 4 * [()]


def test_real_tasks_that_borrow_a_train_split_have_its_digest(test_data, tmp_path):
    real = test_data / "data" / "xtreme"
    places = {
        "tydiqa/train.en": "tydiqa/train.en",
        "tydiqa/dev.en": "tydiqa/train.en",
        "xquad/test.en": "xquad/test.en",
    }
    for place, file in places.items():  # answers of TyDiQA's own dev split are hidden
        (tmp_path / "xtreme" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "xtreme" / f"{place}.jsonl.gz").symlink_to(real / f"{file}.jsonl.gz")
    tasks = [load_task(f"xtreme/{name}").in_languages(["en"]) for name in ("tydiqa", "xquad_tydiqa")]
    one, other = (load(task, tmp_path) for task in tasks)
    assert one.trained == other.trained
    assert one.digest != other.digest
