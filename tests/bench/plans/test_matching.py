"""λ in words: found once before the first run, on rows of the train split alone, and kept."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench import recording
from dither.bench.group import Group
from dither.bench.plans import matching
from dither.bench.plans.matching import doses_of, measure, requests_told
from dither.bench.plans.plan import Plan
from dither.bench.recording import make_runs
from dither.bench.runs.finetune import finetune
from dither.bench.runs.request import RunRequest
from dither.results import Experiment, Ledger, LedgerError, RunResult

ARMS = ("none", "noisytune", "pats", "pats-blind@noise_lambda=energy", "pats@noise_lambda=0.1")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("matching") / "encoder", initializer_range=0.1)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("matching") / "task", train=40)


@pytest.fixture
def calibrated(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """Make up the runs, and list what is measured: the task, and its arms."""
    done: list[tuple[str, list[str]]] = []
    real = matching.calibrate

    def listed(request: Any) -> dict[str, Any]:
        done.append((request.task.name, list(request.arms)))
        return real(request)

    monkeypatch.setattr(matching, "calibrate", listed)
    monkeypatch.setattr(recording, "run_in_processes", lambda requests, jobs: map(made_up, requests))
    return done


def made_up(request: RunRequest) -> RunResult:
    """What a run might have given."""
    when = "2026-01-31T12:00:00+00:00"
    numbers = {"score": 60.0, "constant_score": 50.0, "seconds": 0.0, "started": when}
    found = {"metrics": {"validation": {}}, "predictions": {"validation": [0]}, "environment": {}}
    return RunResult(spec=request.spec, status="finished", **numbers, **found)


def quick(task: Path | str, encoder: Path | str, *settings: str, **options: Any) -> Plan:
    """A plan of one task."""
    return plan_of(task, encoder, "train.max_steps=1", *settings, **options)


def measured(plan: Plan, *arms: str) -> dict[str, Any]:
    """The doses of a plan's one task."""
    (doses,) = measure(plan, {plan.tasks[0].name: arms or list(plan.methods)[1:]}).values()
    return doses


def planned(out: Path) -> Experiment:
    with Ledger.read(out) as ledger:
        return ledger.experiment


def test_arms_have_the_dose_that_their_word_says():
    doses = measured(quick("builtin/tagging", "builtin", methods=ARMS))
    reference, pats, blind, fixed = doses.values()
    assert pats["d"] == pytest.approx(reference["d"], rel=0.05)
    assert pats["noise_lambda"] > 0.15
    assert pats["noise_lambda"] == float(f"{pats['noise_lambda']:.3g}")
    assert blind["energy"] == pytest.approx(pats["energy"], rel=0.01)
    assert blind["d"] > 1.1 * pats["d"]  # blind noise falls where it matters, too
    assert [one["asked"] for one in doses.values()] == [0.15, "matched", "energy", 0.1]
    assert fixed["noise_lambda"] == 0.1
    assert fixed["d"] < pats["d"]
    assert pats["reference"]["method"] == "noisytune"
    assert blind["reference"]["energy"] == pats["energy"]


def test_the_same_is_found_wherever_the_random_state_is(task, encoder):
    plan, threads = quick(task, encoder, methods=("none", "pats")), torch.get_num_threads()
    first = measured(plan)
    with torch.random.fork_rng():
        torch.manual_seed(99)
        before = torch.random.get_rng_state()
        assert measured(plan) == first
        assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("name", ["builtin/question_answering", "builtin/similarity", "builtin/retrieval"])
def test_tasks_of_every_head_can_be_measured(name):
    reference, pats = measured(quick(name, "builtin", methods=("none", "noisytune", "pats"))).values()
    assert pats["d"] == pytest.approx(reference["d"], rel=0.05)
    assert 1.5 < pats["noise_lambda"] / reference["noise_lambda"] < 3.5
    assert reference["noise_lambda"] == (0.1 if name == "builtin/retrieval" else 0.15)


def test_what_was_found_is_planned_before_the_first_run_and_never_found_again(
    task, encoder, tmp_path, calibrated
):
    plan = quick(task, encoder, methods=("none", "noisytune", "pats"), seeds=(0, 1))

    def interrupt(ledger: Ledger) -> None:
        assert ledger.experiment.doses["mine/films"]["pats"]["asked"] == "matched"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_runs(plan, tmp_path, visit=interrupt)
    assert calibrated == [("mine/films", ["noisytune", "pats"])]
    make_runs(plan, tmp_path)
    make_runs(replace(plan, seeds=(0, 1, 2)), tmp_path)
    assert len(calibrated) == 1
    with Ledger.read(tmp_path) as ledger:
        runs, (grown,) = list(ledger.results()), ledger.extensions
    number = planned(tmp_path).doses["mine/films"]["pats"]["noise_lambda"]
    assert [one.spec.method_settings["noise_lambda"] for one in runs if one.spec.method == "pats"] == [
        number
    ] * 3
    assert grown.seeds == (2,)  # what was found is no extension


def test_only_what_is_new_is_found(task, encoder, tmp_path, calibrated):
    make_runs(quick(task, encoder, methods=("none", "pats")), tmp_path)
    before = planned(tmp_path).doses["mine/films"]["pats"]
    several = quick(task, encoder, methods=("none", "pats", "pats-blind"))
    other = quick(
        write_task(tmp_path / "other", name="mine/other", train=40), encoder, methods=("none", "pats")
    )
    both = {"tasks": several.tasks + other.tasks, "data": {**several.data, **other.data}}
    make_runs(several, tmp_path)
    make_runs(replace(several, **both), tmp_path)
    assert calibrated == [("mine/films", ["pats"]), ("mine/films", ["pats-blind"])]
    doses = planned(tmp_path).doses
    assert doses["mine/films"]["pats"] == before
    assert doses["mine/other"] == doses["mine/films"]  # the same rows under the same head: the same training


def test_finished_folders_of_numbers_are_left_alone(task, encoder, tmp_path, calibrated):
    plan = quick(task, encoder, methods=("none", "noisytune"))
    make_runs(plan, tmp_path)
    with Ledger.create_or_resume(tmp_path / "old", replace(planned(tmp_path), doses={})) as ledger:
        for result in Ledger.read(tmp_path).results(predictions=True):
            ledger.add(result)
    make_runs(plan, tmp_path / "old")  # recorded by a dither that knew no doses
    assert len(calibrated) == 1
    assert planned(tmp_path / "old").doses == {}


def test_a_validation_split_changes_nothing(encoder, tmp_path):
    paths = [write_task(tmp_path / str(number), train=40, evaluated=number) for number in (6, 20)]
    (paths[1].parent / "validation.jsonl").write_text(json.dumps({"text": "a cat ?", "label": 0}) + "\n")
    first, second = (measured(quick(path, encoder, methods=("none", "pats"))) for path in paths)
    assert first == second


def test_each_variation_has_its_own_train_split(encoder, tmp_path, calibrated):
    task = write_task(tmp_path / "task", train=64)
    plans = [
        quick(f"{task}{name}", encoder, methods=("none", "pats"))
        for name in ("", "@train_fraction=0.5", "@epochs=3")
    ]
    seen = []
    for plan in plans:
        (request,) = (
            matching._Training.of(plan, one).calibration(plan, {}, matches=False) for one in plan.tasks
        )
        seen.append((len(request.states), len(request.labelled)))
    whole, half, other = (measured(plan)["pats"] for plan in plans)
    assert seen == [(32, 32), (16, 16), (32, 32)]
    assert half["basis"] != whole["basis"] == other["basis"]
    assert (half["rows"], whole["rows"]) == (16, 32)


def test_states_and_sensitivities_are_of_different_rows(encoder, tmp_path):
    task = write_task(tmp_path / "task", train=400)
    rows = [{"text": f"film {number}", "label": number % 2} for number in range(400)]
    (task.parent / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan = quick(task, encoder, methods=("none", "pats"))
    training = matching._Training.of(plan, plan.tasks[0])
    states, labelled = ({row["text"] for row in part} for part in (training.states, training.labelled))
    assert (len(states), len(labelled), states & labelled) == (128, 64, set())
    assert sum(row["label"] for row in training.states) == 64  # labels keep their proportions


def test_a_train_split_that_is_too_small_is_told_with_what_to_do(encoder, tmp_path, calibrated):
    task = write_task(tmp_path / "task", train=6)
    plan = quick(task, encoder, methods=("none", "noisytune", "pats"))
    with pytest.raises(
        ValueError, match="trains on 6 rows, and the functional dose of 'pats' is measured on 8"
    ) as told:
        make_runs(plan, tmp_path / "out")
    advice = str(told.value).partition("give λ a number: --set ")[2]
    said: list[str] = []
    make_runs(
        quick(task, encoder, advice, methods=("none", "noisytune", "pats")), tmp_path / "new", say=said.append
    )
    assert [text.partition(" is measured")[0] for text in said] == [
        f"no functional dose: task 'mine/films' trains on 6 rows, and the functional dose of {name!r}"
        for name in ("noisytune", "pats")
    ]
    assert planned(tmp_path / "new").doses == {}
    assert calibrated == []


def test_a_dose_that_nothing_reaches_is_told_with_what_to_do(task, encoder):
    plan = quick(task, encoder, "pats.include=['head:*weight']", methods=("none", "pats"))
    with pytest.raises(
        ValueError, match=r"task 'mine/films', method 'pats': .*moves nothing at any noise_lambda"
    ) as told:
        measured(plan)
    advice = str(told.value).partition("give λ a number: --set ")[2]
    fixed = quick(task, encoder, "pats.include=['head:*weight']", advice, methods=("none", "pats"))
    assert next(iter(fixed.arms(fixed.tasks[0])["pats"].items())) == ("noise_lambda", 0.15)


def test_the_reference_is_noisytune_as_the_plan_has_it(task, encoder, tmp_path, calibrated):
    plain = measured(quick(task, encoder, methods=("none", "pats")))["pats"]
    stronger = quick(task, encoder, "noisytune.noise_lambda=0.3", methods=("none", "noisytune", "pats"))
    assert measured(stronger, "pats")["pats"]["noise_lambda"] == pytest.approx(
        2 * plain["noise_lambda"], rel=0.1
    )
    make_runs(quick(task, encoder, methods=("none", "pats")), tmp_path)
    with pytest.raises(
        ValueError, match=r"matched to noisytune with noise_lambda 0\.15, and now .* 0\.3: leave"
    ):
        make_runs(stronger, tmp_path)
    word = quick(task, encoder, "noisytune.noise_lambda=matched", methods=("none", "noisytune", "pats"))
    with pytest.raises(
        ValueError, match="noisytune is what other methods are matched to, so its λ is a number"
    ):
        measured(word)


def test_strength_0_is_no_dose_and_costs_nothing(task, encoder, calibrated):
    doses = measured(quick(task, encoder, "pats.noise_lambda=0", methods=("none", "pats")))
    assert (doses["pats"]["d"], doses["pats"]["energy"], calibrated) == (0.0, 0.0, [])


def test_a_run_without_a_number_is_not_made(task, encoder):
    plan = quick(task, encoder, methods=("none", "pats"))
    with pytest.raises(ValueError, match="noise_lambda of pats on mine/films is 'matched' still"):
        list(plan.requests())
    assert [one.spec.method for one in plan.provisional().requests()] == ["none", "pats"]


def test_a_number_is_never_matched(task, encoder, tmp_path, calibrated):
    plan = quick(task, encoder, "pats.noise_lambda=0.2", methods=("none", "pats"))
    make_runs(plan, tmp_path)
    dose = planned(tmp_path).doses["mine/films"]["pats"]
    assert (dose["asked"], dose["noise_lambda"], "reference" in dose) == (0.2, 0.2, False)
    with Ledger.read(tmp_path) as ledger:
        assert [one.id for one in ledger.results()] == [one.spec.id for one in plan.requests()]


def test_a_folder_with_a_number_goes_on_by_the_set_that_its_refusal_names(
    task, encoder, tmp_path, calibrated
):
    make_runs(quick(task, encoder, "pats.noise_lambda=0.15", methods=("none", "pats")), tmp_path)
    with pytest.raises(LedgerError, match=r"0\.15 there, 'matched' now") as told:
        make_runs(quick(task, encoder, methods=("none", "pats")), tmp_path)
    (advice,) = re.findall(r"--set (\S+) goes on as before", str(told.value))
    plan = quick(task, encoder, advice, methods=("none", "pats"), seeds=(0, 1))
    make_runs(plan, tmp_path)
    with Ledger.read(tmp_path) as ledger:
        assert len(ledger) == 4


def test_finetune_matches_too(task, encoder, tmp_path):
    plan = quick(task, encoder, methods=("pats",))
    result = finetune(plan, tmp_path)
    assert result is not None
    number = planned(tmp_path).doses["mine/films"]["pats"]["noise_lambda"]
    assert result.spec.method_settings["noise_lambda"] == number
    assert result.record is not None
    assert result.record["pats"]["dose"] == planned(tmp_path).doses["mine/films"]["pats"]
    assert finetune(plan, tmp_path) == result


def test_the_others_of_a_group_are_told(task, encoder, monkeypatch):
    plan = quick(task, encoder, methods=("none", "pats"))
    doses = {"mine/films": {"pats": {"noise_lambda": 0.3, "d": 0.1}}}
    monkeypatch.setattr(Group, "told", lambda self, topic, wait: json.loads(json.dumps(doses)))
    plain, noisy = requests_told(plan, Group(1, 2))
    assert noisy.spec.method_settings["noise_lambda"] == 0.3
    assert (noisy.dose, plain.dose) == (doses["mine/films"]["pats"], None)


def test_large_models_are_measured_in_processes(task, encoder, monkeypatch):
    here = measured(quick(task, encoder, methods=("none", "pats")))
    asked: list[tuple[Callable[..., Any], int]] = []

    def in_processes(work, requests, jobs):
        asked.append((work, jobs))
        return map(work, requests)

    monkeypatch.setattr(matching, "_SMALL", 0)
    monkeypatch.setattr(matching, "in_processes", in_processes)
    plan = quick(task, encoder, methods=("none", "pats"))
    assert measure(plan, {"mine/films": ["pats"]}, jobs=4) == {"mine/films": here}
    assert asked == [(matching.calibrate_for_sending, 1)]


def test_rows_of_the_command_have_the_matching_number(task, encoder):
    rows = doses_of(quick(task, encoder, "noisytune.noise_lambda=0.2", methods=ARMS))
    assert [row["method"] for row in rows] == list(ARMS)
    plain, reference, pats, blind, fixed = rows
    assert (plain["d"], plain["matched"], plain["asked"]) == (None, None, None)
    assert reference["matched"] == 0.2
    assert pats["matched"] == pats["noise_lambda"] == fixed["matched"]
    assert blind["matched"] < blind["noise_lambda"]
    assert pats["d_low"] < pats["d"] < pats["d_high"]


def test_small_splits_come_round_again(encoder, tmp_path):
    task = write_task(tmp_path / "task", train=8)
    dose = measured(quick(task, encoder, methods=("none", "pats")))["pats"]
    assert (dose["rows"], dose["sensitivity_batches"]) == (4, 8)
