"""The plan: every run of it, or every mistake in it, before the first run starts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_encoder import plan_of, save_encoder, sentences, write_task

from dither.bench.plans.plan import Plan
from dither.bench.plans.settings import parse_settings
from dither.methods.registry import create_method, recorded_method

RUN = json.loads((Path(__file__).parents[2] / "earlier_run.json").read_text())
RUN_OF_BEFORE = {"task": "builtin/sentiment", "task_digest": "t1", "data_digest": "d1", "model_digest": "m1"}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("plan") / "encoder")


@pytest.fixture
def task(tmp_path) -> Path:
    return write_task(tmp_path / "task")


def write_train(task: Path, rows: list[dict]) -> None:
    (task.parent / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_runs_are_made_pair_by_pair(task, encoder, unmoved_random_state):
    plan = plan_of(task, encoder, "pats.noise_lambda=0.15", methods=("none", "pats"), seeds=(4, 1))
    runs = [(request.spec.seed, request.spec.method) for request in plan.requests()]
    assert runs == [(4, "none"), (4, "pats"), (1, "none"), (1, "pats")]
    assert len({request.spec.id for request in plan.requests()}) == 4
    assert plan.experiment("compare").seeds == (4, 1)


def test_the_schedule_of_pats_is_part_of_a_run_and_linear_is_the_run_of_before(task, encoder):
    def planned(*assignments):
        methods, _ = parse_settings(("pats.noise_lambda=0.15", *assignments), ("none", "noisytune", "pats"))
        plan = Plan.create([str(task)], str(encoder), methods, [0])
        runs = {request.spec.method: request.spec for request in plan.requests()}
        return runs, plan.experiment("compare").methods

    now, arms = planned()
    before, earlier = planned("pats.schedule=linear")
    assert now["pats"].method_settings == arms["pats"] == before["pats"].method_settings | {"schedule": "run"}
    assert "schedule" not in earlier["pats"]
    assert now["pats"].id != before["pats"].id
    assert {now[name].id == before[name].id for name in ("none", "noisytune")} == {True}
    for runs, schedule in ((now, "run"), (before, "linear")):
        method = recorded_method("pats", runs["pats"].method_settings)
        assert method == create_method("pats", schedule=schedule)
    assert recorded_method("pats", RUN["method_settings"]) == create_method("pats", schedule="linear")
    raw, _ = planned("pats.per_step=true")
    assert "schedule" not in raw["pats"].method_settings
    old = replace(before["pats"], **RUN_OF_BEFORE, method_settings=RUN["method_settings"])
    assert before["pats"].method_settings == RUN["method_settings"]
    assert old.id == RUN["run id"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "--threads is 0; it must be at least 1"),
        ({"dtype": "int8"}, "--dtype is 'int8'; it must be one of float32, bfloat16, float16"),
        ({"data_dir": "/no/such/folder"}, "--data-dir /no/such/folder is no folder"),
    ],
)
def test_options_out_of_range(task, encoder, options, message):
    with pytest.raises(ValueError, match=message):
        plan_of(task, encoder, **options)


@pytest.mark.parametrize("name", ["glue/rta", "glue/rte ", "builtin/sentimental"])
def test_an_unknown_task_gets_the_nearest_one(encoder, name):
    with pytest.raises(ValueError, match=r"unknown task .*; did you mean '(glue/rte|builtin/sentiment)'\?"):
        plan_of(name, encoder)


def test_an_unknown_method_gets_the_nearest_one():
    with pytest.raises(ValueError, match=r"unknown method 'patz'; did you mean 'pats'\?"):
        parse_settings([], ["none", "patz"])


def test_an_unknown_metric_gets_the_nearest_one(encoder, tmp_path):
    task = write_task(tmp_path, metrics=["acuracy"], primary=["acuracy"])
    with pytest.raises(
        ValueError, match=r"films\.toml: .*unknown metric 'acuracy'; did you mean 'accuracy'\?"
    ):
        plan_of(task, encoder)


def test_a_task_stands_once(task, encoder):
    with pytest.raises(ValueError, match="a task stands twice in mine/films, mine/films"):
        Plan.create([str(task), str(task)], str(encoder), {"none": {}}, [0])


def test_a_broken_row_is_named_by_file_and_line(task, encoder):
    path = task.parent / "train.jsonl"
    path.write_text(path.read_text() + '{"text": "a fi\n')
    with pytest.raises(ValueError, match=r"train\.jsonl:25: broken JSON"):
        plan_of(task, encoder)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"sentence": "good", "label": 1}, "no column text .mine/films needs text, label.; found sentence"),
        ({"text": "good", "label": 2}, "column 'label': unknown label 2; allowed: 0 bad, 1 good"),
        ({"text": "good", "label": "fine"}, "unknown label 'fine'"),
        ({"text": None, "label": 1}, "column 'text' holds None"),
    ],
)
def test_a_row_that_does_not_fit_is_named(task, encoder, row, message):
    write_train(task, [*sentences(3), row])
    with pytest.raises(ValueError, match=rf"train\.jsonl:4: .*{message}"):
        plan_of(task, encoder)


def test_a_file_of_another_task_is_recognised(task, encoder):
    write_train(task, [{"tokens": ["a"], "tags": ["O"]}])
    with pytest.raises(
        ValueError, match=r"train\.jsonl:1: no column text, label .*is it another task's file\?"
    ):
        plan_of(task, encoder)


def test_an_empty_split_is_refused(task, encoder):
    write_train(task, [])
    with pytest.raises(ValueError, match=r"train\.jsonl: no rows; mine/films needs one at least"):
        plan_of(task, encoder)


def test_a_missing_split_is_named(encoder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"looked in .*glue/rte for train\.jsonl"):
        plan_of("glue/rte", encoder, "train.max_length=32", data_dir=str(tmp_path))


@pytest.mark.parametrize("method", ["noisytune", "pats"])
@pytest.mark.parametrize("setting", ["include=['*.wieght']", "noise_lambda={'*.wieght'=0.1}"])
def test_a_pattern_that_fits_no_tensor_is_refused(task, encoder, method, setting):
    with pytest.raises(ValueError, match=r"'\*\.wieght' fits none of the \d+ tensors; nearest name"):
        plan_of(task, encoder, f"{method}.{setting}", methods=(method,))


def test_the_models_and_tasks_digests_are_part_of_every_run(task, encoder, tmp_path):
    first = plan_of(task, encoder)
    other = save_encoder(tmp_path / "other", hidden_dropout_prob=0.2)
    second = plan_of(task, other)
    third = plan_of(write_task(tmp_path / "more", train=30), encoder)
    ids = {next(plan.requests()).spec.id for plan in (first, second, third)}
    assert len(ids) == 3
