"""The search: seeded, resumed exactly, pruned honestly, on a slice that the report never sees."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench import recording
from dither.bench.runs.run import run
from dither.bench.sweeps import study
from dither.bench.sweeps.parameters import parse_parameters
from dither.bench.sweeps.search import Search, check_out, run_search
from dither.bench.sweeps.storage import StorageError
from dither.bench.sweeps.trials import read_selection
from dither.results import Ledger, LedgerError, RunResult

SPACE = ("noise_lambda=0.05..6,log", "beta=0.5..0.995")
SEEDS = (100, 101)


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("search")
    return f"{write_task(folder / 'task', train=60)}@held_out=0.4,epochs=1", save_encoder(folder / "encoder")


@pytest.fixture
def make_runs_by(monkeypatch):
    """Let a function make the runs of searches and comparisons."""

    def install(make):
        def execute(requests):
            return (make(one) for request in requests for one in request.runs)

        monkeypatch.setattr("dither.bench.sweeps.search.process_executor", lambda jobs: nullcontext(execute))
        monkeypatch.setattr(recording, "run_in_processes", lambda requests, jobs: execute(requests))

    return install


@pytest.fixture
def made(make_runs_by) -> list[tuple[str, int]]:
    """Make no run: its score is a smooth function of its settings and its seed. List what was asked for."""
    done = []

    def invented(request):
        spec = request.spec
        done.append((spec.method, spec.seed))
        settings = spec.method_settings
        score = 80 - 4 * abs(math.log(settings["noise_lambda"])) + settings["beta"] + spec.seed % 7
        return RunResult(
            spec=spec,
            status="finished",
            score=score,
            constant_score=50.0,
            metrics={"held_out": {"accuracy": score / 100}},
            predictions={"held_out": [0]},
            environment={"torch": "2"},
            seconds=0.0,
            started="2026-01-31T12:00:00+00:00",
        )

    make_runs_by(invented)
    return done


def search_of(films, trials: int, *space: str, seeds=SEEDS, **options) -> Search:
    plan = plan_of(*films, methods=("pats",), seeds=seeds, **options)
    return Search(plan, parse_parameters(space or SPACE, "pats"), trials, 0.4)


def kept(out: Path) -> dict:
    return json.loads((out / "search" / "trials.json").read_text())


@pytest.fixture
def searches(films) -> tuple[Search, Search]:
    """Two that differ in their seeds."""
    return search_of(films, 3), search_of(films, 3, seeds=(102, 103))


def test_the_same_seeds_search_the_same(searches, tmp_path, made, unmoved_random_state):
    ours, another = searches
    first = run_search(ours, tmp_path / "a")
    assert run_search(ours, tmp_path / "b", jobs=2) == first
    other = run_search(another, tmp_path / "c")
    assert other.trials[0].settings != first.trials[0].settings
    assert len({trial.arm for trial in first.trials}) == 3
    assert [trial.number for trial in first.trials] == [0, 1, 2]


def test_a_search_that_is_done_makes_no_run(films, tmp_path, made):
    first = run_search(search_of(films, 2), tmp_path)
    assert len(made) == 4
    assert run_search(search_of(films, 2), tmp_path) == first
    assert len(made) == 4
    assert read_selection(tmp_path / "search") == first
    assert kept(tmp_path)["chosen"] == first.chosen.arm


@pytest.mark.parametrize("runs", [0, 1, 3, 4])
def test_an_interrupted_search_makes_the_trials_of_one_in_one_go(films, tmp_path, made, runs):
    whole = run_search(search_of(films, 3), tmp_path / "whole")
    made.clear()

    def interrupt(result, done, total):
        if done == runs:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_search(search_of(films, 3), tmp_path / "cut", progress=interrupt)
    assert run_search(search_of(films, 3), tmp_path / "cut") == whole
    assert len(made) == len(set(made)) == 6


def test_a_trial_that_died_before_it_had_its_values_gets_those_it_would_have_had(
    films, tmp_path, made, monkeypatch
):
    whole, suggested = run_search(search_of(films, 2), tmp_path / "whole"), study.Study._suggested

    def dies(self, trial, one, number):
        if (one.setting, number) == ("beta", 1):
            raise KeyboardInterrupt
        return suggested(self, trial, one, number)

    monkeypatch.setattr(study.Study, "_suggested", dies)
    with pytest.raises(KeyboardInterrupt):
        run_search(search_of(films, 2), tmp_path / "cut")
    monkeypatch.setattr(study.Study, "_suggested", suggested)
    assert run_search(search_of(films, 2), tmp_path / "cut") == whole


def test_a_run_of_the_search_is_the_run_of_a_comparison(films, tmp_path, make_runs_by):
    make_runs_by(run)
    chosen = run_search(search_of(films, 1), tmp_path / "search").chosen
    plan = plan_of(*films, methods=("none", chosen.arm), seeds=SEEDS)
    recording.make_runs(plan, tmp_path / "compare")
    with Ledger.read(tmp_path / "compare") as ledger:
        there = {one.id: one for one in ledger.results(predictions=True)}
    with Ledger.read(tmp_path / "search" / "search") as ledger:
        found = list(ledger.results(predictions=True))
    assert len(found) == 2
    assert all(there[one.id].predictions == one.predictions for one in found)
    assert chosen.score == pytest.approx(sum(one.score for one in found) / 2)
    assert all("held_out" in one.predictions for one in found)


def test_a_pruned_trial_has_no_score_and_is_never_chosen(films, tmp_path, made, monkeypatch):
    monkeypatch.setattr(study, "STARTUP", 1)
    monkeypatch.setattr("dither.bench.sweeps.search.STARTUP", 1)
    one, several = (
        run_search(search_of(films, 6, seeds=(100, 101, 102)), tmp_path / str(jobs), jobs=jobs)
        for jobs in (1, 3)
    )
    pruned = [trial for trial in one.trials if trial.state == "pruned"]
    assert pruned
    assert all(trial.score is None and trial.seeds < 3 for trial in pruned)
    assert one.chosen.score == max(trial.score for trial in one.trials if trial.score is not None)
    assert f"(6 trials, {len(pruned)} pruned)" in one.sentence
    assert one == several  # how many run at a time decides nothing
    assert run_search(search_of(films, 6, seeds=(100, 101, 102)), tmp_path / "1") == one


def test_a_study_of_another_search_is_refused_and_nothing_changes(films, tmp_path, made):
    run_search(search_of(films, 1), tmp_path)
    before = (tmp_path / "search" / "ledger.sqlite").read_bytes()
    for changed, line in [
        (search_of(films, 2), "trials: 1 there, 2 now"),
        (search_of(films, 1, "beta=0.5..0.9"), r"space: \['noise_lambda=.* now"),
        (search_of(films, 1, seeds=(100, 101, 102)), r"seeds: \[100, 101\] there, \[100, 101, 102\] now"),
        (search_of(films, 1, threads=2), "threads: 1 there, 2 now"),
    ]:
        with pytest.raises(StorageError, match=f"is of another search:\n  {line}"):
            run_search(changed, tmp_path)
    assert (tmp_path / "search" / "ledger.sqlite").read_bytes() == before
    assert len(made) == 2


def test_a_study_that_is_not_ours_is_refused(films, tmp_path, made):
    url = f"sqlite:///{tmp_path}/theirs.db"
    theirs = optuna.create_study(storage=url, study_name=str(tmp_path.resolve()), direction="maximize")
    theirs.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    theirs._storage._backend.engine.dispose()
    with pytest.raises(StorageError, match="was not made by dither; choose another --out"):
        run_search(search_of(films, 1), tmp_path, storage=url)


def test_a_trial_that_somebody_ended_is_told(films, tmp_path, made):
    url = f"sqlite:///{tmp_path}/study.db"
    run_search(search_of(films, 2), tmp_path, storage=url)
    storage = optuna.storages.RDBStorage(url)
    ours = optuna.load_study(storage=storage, study_name=str(tmp_path.resolve()))
    ours.tell(ours.ask(), state=optuna.trial.TrialState.FAIL)
    attribute = ours.user_attrs["dither"]
    storage.engine.dispose()
    assert attribute["search"]["trials"] == 2
    assert run_search(search_of(films, 2), tmp_path, storage=url).trials  # the surplus one is not ours


def test_a_folder_that_cannot_be_made_and_bad_jobs_are_told(films, tmp_path):
    with pytest.raises(ValueError, match="--jobs is 0; it must be at least 1"):
        run_search(search_of(films, 1), tmp_path / "out", jobs=0)
    assert not (tmp_path / "out").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"file/search cannot be made .*Choose another --out"):
        run_search(search_of(films, 1), tmp_path / "file")


def test_a_lost_storage_is_made_again_from_the_runs(films, tmp_path, made):
    first = run_search(search_of(films, 2), tmp_path)
    (tmp_path / "search" / "study.sqlite").unlink()
    assert run_search(search_of(films, 2), tmp_path) == first
    assert len(made) == 4


def test_a_folder_with_letters_that_urls_use(films, tmp_path, made):
    out = tmp_path / "a?b={c}%20#d"
    run_search(search_of(films, 1), out)
    assert sorted(path.name for path in (out / "search").iterdir()) == [
        "ledger.sqlite", "study.sqlite", "trials.json"
    ]  # fmt: skip


def test_a_run_without_a_score_counts_as_the_constant_predictor(films, tmp_path, make_runs_by):
    lost = {"status": "failed", "failure": "the loss is not finite", "score": None}
    make_runs_by(lambda request: replace(run(request), **lost))
    (trial,) = run_search(search_of(films, 1), tmp_path).trials
    assert (trial.score, trial.failed_runs, trial.state) == (50.0, 2, "complete")


def test_a_folder_that_cannot_take_the_report_is_told_before_the_search(films, tmp_path, made):
    plan = plan_of(*films, methods=("none", "pats"), seeds=(0,))
    check_out(tmp_path, plan)
    with Ledger.create_or_resume(tmp_path, plan.experiment("compare")):
        pass
    with pytest.raises(LedgerError, match="kind: 'compare' there, 'search' now"):
        check_out(tmp_path, plan)
