import hashlib
import json
import math
import random
from dataclasses import asdict, replace

import pytest
from results_samples import failed, result, spec

from dither.results import LedgerError, RunResult, RunSpec, count_trainings

LATER = ("processes", "training_seed")  # they stand in no document where they say nothing


def test_identity_is_sha256_of_sorted_json_without_the_typed_model():
    one = spec(3, "noisytune")
    document = {key: value for key, value in asdict(one).items() if key not in ("model", *LATER)}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    assert one.id == hashlib.sha256(text.encode()).hexdigest()[:32]
    assert replace(one, model="./some/folder").id == one.id
    assert one.id == "7d058ee0ac159bc6acac9a5c1df6e46c", "an identity is for years"


def test_identity_does_not_depend_on_the_order_of_settings():
    items = [(f"setting{i}", {"b": i, "a": [i, i / 3]}) for i in range(20)]
    ids = set()
    for seed in range(10):
        random.Random(seed).shuffle(items)
        ids.add(spec(method_settings=dict(items), train_settings={"x": dict(items)}).id)
    assert len(ids) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"task": "other"},
        {"task_digest": "t2"},
        {"data_digest": "d2"},
        {"model_digest": "m2"},
        {"method": "pats"},
        {"method_settings": {"noise_lambda": 0.15}},
        {"train_settings": {"learning_rate": 3.0000000000000004e-05, "epochs": 3}},
        {"seed": 1},
        {"threads": 2},
        {"processes": 2},
        {"training_seed": 2**31},
        {"dtype": "bfloat16"},
        {"recipe_version": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_everything_else_is_part_of_the_identity(change):
    assert replace(spec(), **change).id != spec().id


def test_identities_of_nearby_settings_differ():
    values = [0.1, 0.1 + 2**-56, 0.30000000000000004, 0.3, "0.3", None, True, [0.3], {"a": 0.3}, [], {}]
    assert len({spec(method_settings={"x": value}).id for value in values}) == len(values)


def test_spec_comes_back_from_json():
    one = spec(3, "pats", method_settings={"noise_lambda": 0.1 + 0.2, "include": ["é*", "\ud800"]})
    back = RunSpec.from_json(one.to_json())
    assert back == one
    assert back.id == one.id


def test_runs_of_one_process_are_what_they_were_before_there_were_several():
    one = spec(3, "noisytune")
    assert one.id == "7d058ee0ac159bc6acac9a5c1df6e46c"
    assert "processes" not in one.to_json()
    assert "processes" not in result(one).to_json()
    assert RunSpec.from_json(one.to_json()).processes == 1


def test_the_number_of_processes_comes_back_from_json():
    two = spec(processes=2)
    assert RunSpec.from_json(two.to_json()) == two
    assert RunResult.from_json(result(two).to_json()).spec == two


def test_spec_owns_its_settings():
    settings = {"nested": {"x": 1}}
    one = spec(method_settings=settings)
    before = one.id
    settings["nested"]["x"] = 2
    assert one.id == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"train_settings": {"lr": {"max": float("nan")}}},
            r"RunSpec.train_settings.lr.max is nan; it must be a fin",
        ),
        ({"method_settings": {"a": [1, float("inf")]}}, r"RunSpec.method_settings.a\[1\] is inf"),
        ({"method_settings": {"a": {1, 2}}}, r"method_settings.a is a builtins.set, which JSON cannot hold"),
        ({"method_settings": {3: 1}}, r"has the key 3, a int; keys must be strings"),
        ({"method_settings": [1]}, r"RunSpec.method_settings is a list; it must be a dict"),
        ({"seed": -1}, r"RunSpec.seed is -1; it must be an integer of at least 0"),
        ({"seed": True}, r"RunSpec.seed is True"),
        ({"processes": 0}, r"RunSpec.processes is 0; it must be an integer of at least 1"),
        ({"threads": 0}, r"RunSpec.threads is 0; it must be an integer of at least 1"),
        ({"task": ""}, r"RunSpec.task is ''; it must be a non-empty string"),
    ],
)
def test_bad_specs_are_refused_by_name(change, message):
    with pytest.raises(LedgerError, match=message):
        spec(**change)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1]", "holds a list instead of a JSON object"),
        ("{", "holds no valid JSON"),
        ('{"task": "x", "sead": 1}', "it lacks data_digest, .* and has the unknown sead"),
    ],
)
def test_bad_json_of_a_spec_is_refused(text, message):
    with pytest.raises(LedgerError, match=message):
        RunSpec.from_json(text)


def test_result_comes_back_from_json_with_nan_and_infinities():
    odd = [float("inf"), -float("inf"), -0.0, 5e-324, 0.1, 2**70, "ключ", "\ud800", None, [True, {"a": []}]]
    one = failed(spec(), predictions={"validation": odd}, history=[{"loss": float("inf")}])
    back = RunResult.from_json(one.to_json())
    assert back == one
    nan = replace(one, metrics={"validation": {"accuracy": float("nan")}})
    value = RunResult.from_json(nan.to_json()).metrics["validation"]["accuracy"]
    assert value != value


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "done"}, r"RunResult.status is 'done'; it must be one of finished, failed"),
        ({"score": None}, r"finished run has score None and failure None"),
        ({"failure": "late"}, r"finished run has score 80.0 and failure 'late'"),
        ({"status": "failed"}, r"RunResult.failure of a failed run is None"),
        ({"score": float("nan")}, r"RunResult.score \(None if there is none\) is nan"),
        ({"constant_score": "50"}, r"RunResult.constant_score is '50'; it must be a finite number"),
        (
            {"training": {"id": "t", "seconds": 1.0}},
            r"RunResult.training.runs is None; it must be an integer",
        ),
        ({"training": {"id": "", "runs": 1, "seconds": 1.0}}, r"RunResult.training.id is ''"),
        ({"seconds": -1.0}, r"RunResult.seconds is -1.0; it must be at least 0"),
        ({"started": "2026-01-31T12:00:00"}, r"RunResult.started is '2026-01-31T12:00:00'; it must be like"),
        ({"started": "2026-01-31T12:00:00+02:00"}, r"ISO 8601, UTC"),
        ({"metrics": {"validation": 0.5}}, r"RunResult.metrics\['validation'\] must map metrics to values"),
        ({"predictions": {"validation": "abc"}}, r"RunResult.predictions\['validation'\] must be a list"),
        ({"history": [0.5]}, r"RunResult.history must be a list of dicts"),
        ({"record": {"$float": "nan"}}, r"has the key '\$float', which the ledger keeps for itself"),
        ({"spec": {}}, r"RunResult.spec is a dict; it must be a RunSpec"),
    ],
)
def test_bad_results_are_refused_by_name(change, message):
    with pytest.raises(LedgerError, match=message):
        replace(result(), **change)


def test_arrays_are_refused_with_the_way_out():
    numpy = pytest.importorskip("numpy")
    assert result(metrics={"validation": {"f1": numpy.float64(0.5)}}).metrics == {"validation": {"f1": 0.5}}
    with pytest.raises(LedgerError, match=r"validation.f1 is a numpy.float32, .* turn it into a plain value"):
        result(metrics={"validation": {"f1": numpy.float32(0.5)}})


def test_measurements_come_back_and_may_be_missing_in_older_results():
    measured = {"norms": [{"type": "head", "change": math.nan}], "sensitivity": {"batches": 16}}
    back = RunResult.from_json(result(measurements=measured).to_json())
    assert math.isnan(back.measurements["norms"][0].pop("change"))
    assert back.measurements["sensitivity"] == {"batches": 16}
    older = json.loads(result().to_json())
    assert older.pop("measurements") is None
    assert RunResult.from_json(json.dumps(older)) == result()


def test_measurements_that_are_no_object_are_refused():
    with pytest.raises(LedgerError, match=r"RunResult\.measurements is a list; it must be a dict"):
        result(measurements=[1])


def test_results_from_before_trainings_were_shared_come_back_with_one_each():
    older = json.loads(result().to_json())
    assert older.pop("training") is None
    assert RunResult.from_json(json.dumps(older)) == result()
    shared = {"training": {"id": "t", "runs": 2, "seconds": 3.0}}
    later = {**shared, "started": "2026-01-31T13:00:00+00:00"}
    runs = [result(), result(**shared), result(**shared), result(**later), result()]
    assert count_trainings(runs) == 4, "the one that was made once more counts"


def test_results_from_before_steps_were_timed_come_back():
    one = result()
    document = json.loads(one.to_json())
    assert document.pop("step_seconds") is None
    assert RunResult.from_json(json.dumps(document)) == one
    timed = result(step_seconds=1.25)
    assert RunResult.from_json(timed.to_json()).step_seconds == 1.25


def test_a_time_below_zero_is_refused():
    with pytest.raises(LedgerError, match=r"RunResult.step_seconds is -1; it must be at least 0"):
        result(step_seconds=-1)
