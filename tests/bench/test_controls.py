"""Controls of the measuring itself: what repeats must be identical, other seeds alone find nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench import recording
from dither.bench.compare import look
from dither.bench.controls import determinism, first_difference, other_seeds
from dither.bench.plans.settings import parse_settings
from dither.bench.recording import make_runs
from dither.bench.runs.run import run
from dither.methods.registry import other_seed
from dither.results import Experiment, Ledger, RunResult, RunSpec
from dither.stats import Score, analyse

ARMS = ("none", "none-again", "none-other-seeds", "noisytune")
SAME = {"model": "builtin", "model_digest": "m", "threads": 1, "dtype": "float32", "recipe_version": 1}
DIGESTS = {"task_digest": "t", "data_digest": "d"}


def result(method: str, seed: int, losses: tuple[float, ...] = (0.5, 0.25), **changes) -> RunResult:
    spec = RunSpec("t", method=method, method_settings={}, train_settings={}, seed=seed, **DIGESTS, **SAME)
    values = {
        "spec": spec,
        "status": "finished",
        "score": 80.0 + seed,
        "constant_score": 50.0,
        "metrics": {"validation": {"accuracy": 0.8}},
        "predictions": {"validation": [1]},
        "history": [{"step": 10 * at, "loss": loss} for at, loss in enumerate(losses, 1)],
        "environment": {"torch": "2.13.0"},
        "seconds": 1.0,
        "started": "2026-01-31T12:00:00+00:00",
    }
    return RunResult(**{**values, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Three seeds of plain fine-tuning, of its two controls and of NoisyTune, really made."""
    place = tmp_path_factory.mktemp("controls")
    plan = plan_of(write_task(place / "task"), save_encoder(place / "encoder"), methods=ARMS, seeds=(0, 1, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "run_in_processes", lambda requests, jobs: map(run, requests))
        make_runs(plan, place / "out")
    return place / "out"


def test_plain_again_is_identical_and_no_test(folder):
    comparison = look(folder)
    assert comparison.controls[0] == (
        "none-again (a determinism check, no test): all 3 runs have the same scores and losses as none."
    )
    assert not any("DETERMINISTIC" in text for text in comparison.warnings)
    assert comparison.analysis.methods == ("none", "none-other-seeds", "noisytune")
    assert {row.tests for row in comparison.analysis.all_runs.macros if row.method != "none"} == {2}


def test_plain_under_other_seeds_is_another_training_with_the_seed_of_its_pair(folder):
    with Ledger.read(folder) as ledger:
        runs = {(one.spec.method, one.spec.seed): one for one in ledger.results(predictions=True)}
    for seed in (0, 1, 2):
        other, plain = runs["none-other-seeds", seed], runs["none", seed]
        assert other.spec.training_seed == 2**31 + seed
        assert plain.spec.training_seed is None
        assert "training_seed" not in plain.spec.document(), "old identities stay"
        assert RunSpec.from_json(other.spec.to_json()) == other.spec
        assert first_difference(plain, other) == 10, "order, head and dropout are other ones from the start"
    row = look(folder).analysis.all_runs.comparison("none-other-seeds", "mine/films")
    assert (row.pairs, row.verdict.resolved) == (3, False)


def test_plain_under_other_seeds_is_plain_under_that_seed(folder):
    with Ledger.read(folder) as ledger:
        runs = {(one.spec.method, one.spec.seed): one for one in ledger.results()}
    task, encoder = folder.parent / "task" / "films.toml", folder.parent / "encoder"
    (request,) = plan_of(task, encoder, seeds=(2**31 + 1,)).requests()
    assert first_difference(run(request), runs["none-other-seeds", 1]) is None


def test_the_noise_of_seeds_is_told(folder):
    noise = look(folder).controls[1]
    with Ledger.read(folder) as ledger:
        arms = [
            [one.score for one in ledger.results() if one.spec.method == name]
            for name in ("none", "none-other-seeds")
        ]
    pooled = np.sqrt(np.mean([np.var(scores, ddof=1) for scores in arms]))
    assert noise.endswith(f"in points: {pooled:.2f} on mine/films.")


DIFFERENT = {
    "loss": ({"losses": (0.5, 0.2500001)}, r"t, seed 1 \(losses differ from step 20 on\)\. A part of"),
    "score": ({"score": 81.5}, r"t, seed 1 \(score 81\.5000 instead of 81\.0000\)"),
    "metrics": ({"metrics": {"validation": {"accuracy": 0.9}}}, r"\(other metrics\)"),
    "failed": ({"score": None, "status": "failed", "failure": "x"}, r"\(score none instead of 81\.0000\)"),
    "machine": ({"score": 1.0, "environment": {"torch": "2.9.0"}}, r"differ in torch: 2\.13\.0 \(1 run\), 2"),
    "nan": ({"losses": (0.5, float("nan"))}, "losses differ from step 20 on"),
}


@pytest.mark.parametrize(("changes", "told"), DIFFERENT.values(), ids=DIFFERENT)
def test_a_run_that_does_not_repeat_is_named_loudly(changes, told):
    rows = [result(method, seed) for method in ("none", "none-again") for seed in (0, 2)]
    rows += [result("none", 1), result("none-again", 1, **changes)]
    same, (warning,) = determinism(rows, "none")
    assert same == []
    assert warning.startswith(
        "NOT DETERMINISTIC: none-again must repeat none to the last bit, and 1 of 3 runs"
    )
    assert re.search(told, warning)


def test_losses_that_are_not_finite_repeat_themselves():
    rows = [result(method, 0, (0.5, float("nan"))) for method in ("none", "none-again")]
    assert determinism(rows, "none")[1] == []


def test_many_runs_that_do_not_repeat_are_counted():
    rows = [result("none", seed) for seed in range(5)]
    rows += [result("none-again", seed, score=1.0) for seed in range(5)]
    (warning,) = determinism(rows, "none")[1]
    assert "5 of 5 runs do not" in warning
    assert "seed 2 (score 1.0000 instead of 82.0000); 2 more. " in warning


def test_a_folder_with_the_former_name_is_read_and_checked(tmp_path):
    methods = {"none": {}, "aa": {}}
    plan = Experiment(
        kind="compare", tasks={"t": dict(DIGESTS)}, methods=methods, train_settings={}, seeds=(0,), **SAME
    )
    with Ledger.create_or_resume(tmp_path, plan) as ledger:
        ledger.add(result("none", 0))
        ledger.add(result("aa", 0, (0.5, 0.26)))
    comparison = look(tmp_path)
    assert comparison.analysis.methods == ("none",)
    assert comparison.warnings[0].startswith("NOT DETERMINISTIC: aa must repeat none")


def test_the_former_name_is_told_the_new_one_and_works(caplog):
    assert parse_settings([], ("none", "aa"))[0] == {"none": {}, "aa": {}}
    assert caplog.messages == [
        "method aa is called none-again now; write none-again for new folders (the old name is for those "
        "that have it)"
    ]


def test_what_other_seeds_resolve_is_called_a_false_alarm():
    scores = [Score("none", "t", seed, 60.0 + seed % 3) for seed in range(9)]
    scores += [Score("none-other-seeds", "t", seed, 61.0 + seed % 3 + seed % 2) for seed in range(9)]
    told = other_seeds(analyse(scores, planned_seeds=range(9)))
    assert told[1].startswith("FALSE ALARM: none-other-seeds is resolved on t, and both arms are plain")
    quiet = [
        replace(one, score=60.0 + (one.seed * 5) % 9 + (one.method != "none") * (-1) ** one.seed)
        for one in scores
    ]
    assert len(other_seeds(analyse(quiet, planned_seeds=range(9)))) == 1


@pytest.mark.parametrize("seed", [2**31, 2**32 - 1])
def test_seeds_that_the_arm_has_for_its_own_are_refused(tmp_path, seed):
    task, encoder = write_task(tmp_path / "task"), save_encoder(tmp_path / "encoder")
    with pytest.raises(
        ValueError, match=rf"--seeds has {seed}: none-other-seeds trains under seeds from 2\^31"
    ):
        plan_of(task, encoder, methods=("none", "none-other-seeds"), seeds=(0, seed))
    with pytest.raises(ValueError, match=rf"seed {seed} has no other seed"):
        other_seed(seed)
    assert json.dumps([other_seed(seed) for seed in (0, 2**31 - 1)]) == "[2147483648, 4294967295]"
