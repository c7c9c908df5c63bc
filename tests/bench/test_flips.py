"""What flips: counted as a slow loop counts it, for every head, and told where something is missing."""

from __future__ import annotations

import json
import math
from random import Random

import pytest
from tiny_encoder import plan_of
from written_runs import digests_of, write_runs

from dither.bench import recording
from dither.bench.compare import look
from dither.bench.data.loading import load
from dither.bench.flips import find_flips
from dither.bench.recording import make_runs
from dither.bench.runs.run import run
from dither.bench.scoring.scores import score
from dither.bench.tasks.files import load_task
from dither.results import LedgerError

SEEDS = range(5)
METHODS = ("none", "noisytune", "pats")


def labels(said: dict[tuple[str, int], list]) -> dict:
    """Predictions of runs with one evaluation."""
    return {run: {"validation": values} for run, values in said.items()}


def drawn(examples: int, choices: int, methods=METHODS, seeds=SEEDS) -> dict[tuple[str, int], list[int]]:
    """Label ids of every run, some of them of another kind than the others."""
    random = Random(7)
    usual = [random.randrange(choices) for _ in range(examples)]
    return {
        (method, seed): [random.randrange(choices) if random.random() < 0.3 else label for label in usual]
        for seed in seeds
        for method in methods
    }


@pytest.fixture(scope="module")
def entailment():
    task = load_task("builtin/entailment")
    return task, load(task).splits["validation"], digests_of("builtin/entailment")


def test_counts_are_those_of_a_slow_loop(entailment, tmp_path):
    task, rows, digests = entailment
    said = drawn(len(rows), 3)
    found = find_flips(write_runs(tmp_path, labels(said), task=task.name, digests=digests), top=len(rows))
    assert found.reasons == ()
    for method in METHODS[1:]:
        listed = {one.row: one for one in found.examples if one.method == method}
        assert list(listed) == sorted(listed, key=lambda row: (-listed[row].flips, row))
        for at, row in enumerate(rows):
            pairs = [(said["none", seed][at], said[method, seed][at]) for seed in SEEDS]
            flips = sum(plain != other for plain, other in pairs)
            assert (at in listed) == (flips > 0)
            if flips:
                mended = sum(plain != row["label"] == other for plain, other in pairs)
                broken = sum(other != row["label"] == plain for plain, other in pairs)
                one = listed[at]
                assert (one.flips, one.mended, one.broken, one.pairs) == (flips, mended, broken, 5)
                assert one.gold == task.labels[row["label"]]
                assert one.texts == {name: row[name] for name in ("premise", "hypothesis")}


def test_the_whole_and_the_yardstick_are_those_of_a_slow_loop(entailment, tmp_path):
    task, rows, digests = entailment
    said = drawn(len(rows), 3)
    found = find_flips(write_runs(tmp_path, labels(said), task=task.name, digests=digests))
    assert [row.method for row in found.summaries] == ["noisytune", "pats"]
    between = [
        said["none", seed][at] != said["none", seed + 1][at] for seed in range(4) for at in range(len(rows))
    ]
    for row in found.summaries:
        flips = [said["none", s][at] != said[row.method, s][at] for s in SEEDS for at in range(len(rows))]
        assert row.share == sum(flips) / (5 * len(rows))
        assert row.seed_share == sum(between) / (4 * len(rows))
        assert (row.pairs, row.planned, row.failed, row.seed_pairs) == (5, 5, 0, 4)
        assert (row.examples, row.compared, row.distance) == (len(rows), 5 * len(rows), None)


def test_mended_less_broken_is_the_difference_in_accuracy(entailment, tmp_path):
    task, rows, digests = entailment
    runs = labels(drawn(len(rows), 3))
    found = find_flips(write_runs(tmp_path, runs, task=task.name, digests=digests))
    points = {run: score(task, said, {"validation": rows}, constant=0.0).score for run, said in runs.items()}
    for row in found.summaries:
        difference = sum(points[row.method, seed] - points["none", seed] for seed in SEEDS) / 5
        assert 100 * (row.mended - row.broken) / row.compared == pytest.approx(difference)


def test_the_most_flips_come_first_and_of_equals_the_first(tmp_path):
    runs = labels(
        {
            ("none", 0): [0, 0, 0, 0],
            ("pats", 0): [0, 1, 1, 1],
            ("none", 1): [0, 0, 0, 0],
            ("pats", 1): [0, 0, 1, 0],
        }
    )
    found = find_flips(write_runs(tmp_path, runs), top=2)
    assert [(one.row, one.flips, one.pairs) for one in found.examples] == [(2, 2, 2), (1, 1, 2)]


def test_of_an_arm_with_missing_seeds_the_pairs_that_are_there_count(tmp_path):
    said = drawn(20, 2)
    del said["pats", 1], said["none", 3]
    found = find_flips(write_runs(tmp_path, labels(said)))
    by_method = {row.method: row for row in found.summaries}
    assert {method: row.pairs for method, row in by_method.items()} == {"noisytune": 4, "pats": 3}
    assert {row.seed_pairs for row in found.summaries} == {3}  # 0-1, 1-2 and, without 3, 2-4
    pairs = [(said["none", seed], said["pats", seed]) for seed in (0, 2, 4)]
    flips = sum(a != b for plain, other in pairs for a, b in zip(plain, other, strict=True))
    assert by_method["pats"].share == flips / 60
    assert {one.pairs for one in found.examples if one.method == "pats"} == {3}


def test_an_arm_without_pairs_is_left_out(tmp_path):
    said = {("none", 0): [0, 1], ("noisytune", 0): [1, 1], ("pats", 1): [0, 0]}
    found = find_flips(write_runs(tmp_path, labels(said)))
    (row,) = found.summaries
    assert (row.method, row.pairs, row.planned, row.seed_share) == ("noisytune", 1, 2, None)


def test_failed_runs_count_and_those_without_predictions_are_told(tmp_path):
    runs = labels(drawn(10, 2))
    runs["pats", 2] = {}
    failed = {("pats", 2), ("pats", 3), ("none", 4)}
    found = find_flips(write_runs(tmp_path, runs, failed=failed))
    assert [(row.pairs, row.failed) for row in found.summaries] == [(5, 1), (4, 2)]
    assert "mine/films: 1 run has no predictions (pats, seed 2): left out" in found.reasons


def test_another_number_of_predictions_is_told_and_left_out(entailment, tmp_path):
    task, rows, digests = entailment
    said = drawn(len(rows), 3)
    said["none", 0].pop()
    said["pats", 1].append(0)
    found = find_flips(write_runs(tmp_path, labels(said), task=task.name, digests=digests))
    assert {row.method: row.pairs for row in found.summaries} == {"noisytune": 4, "pats": 3}
    assert found.reasons == (
        "builtin/entailment: validation: 2 runs have another number of predictions than the split's 480 "
        "(none, seed 0: 479; pats, seed 1: 481); it is damaged or of another split: left out",
    )


def test_where_the_size_is_not_known_the_first_run_tells_it(tmp_path):
    said = {("none", 0): [0, 1], ("pats", 0): [0, 1, 1], ("none", 1): [0, 1], ("pats", 1): [1, 1]}
    found = find_flips(write_runs(tmp_path, labels(said)))
    assert found.summaries[0].pairs == 1
    assert "validation: 1 run has another number of predictions than the split's 2" in found.reasons[1]


def test_an_evaluation_that_a_run_lacks_is_told(tmp_path):
    runs = {
        ("none", 0): {"en": [0, 1], "de": [1, 1]},
        ("pats", 0): {"en": [0, 0]},
        ("none", 1): {"en": [0, 1], "de": [1, 1]},
        ("pats", 1): {"en": [1, 1], "de": [0, 0]},
    }
    found = find_flips(write_runs(tmp_path, runs))
    assert (found.summaries[0].pairs, found.summaries[0].compared) == (2, 6)
    assert "de: 1 run has another number of predictions than the split's 2 (pats, seed 0: 0)" in str(
        found.reasons
    )
    assert [(one.evaluation, one.row, one.pairs) for one in found.examples] == [
        ("en", 0, 2),
        ("en", 1, 2),
        ("de", 0, 1),
        ("de", 1, 1),
    ]


def test_regression_goes_by_distance_and_leaves_out_what_is_not_finite(tmp_path):
    nan = math.nan
    runs = labels(
        {
            ("none", 0): [1.0, 2.0, 3.0, nan],
            ("pats", 0): [1.5, 2.0, nan, nan],
            ("none", 1): [1.0, 2.0, 3.0, 4.0],
            ("pats", 1): [0.0, 2.0, 3.25, nan],
        }
    )
    found = find_flips(write_runs(tmp_path, runs, failed={("pats", 0)}))
    assert [(one.row, one.flips, one.distance, one.pairs) for one in found.examples] == [
        (0, None, 0.75, 2),
        (2, None, 0.25, 1),
    ]
    assert [(one.plain, one.said) for one in found.examples] == [(1.0, 0.75), (3.0, 3.25)]
    (row,) = found.summaries
    assert (row.share, row.mended, row.distance, row.compared) == (None, None, 1.75 / 5, 5)
    assert (row.seed_distance, row.seed_share) == (0.0, None)
    json.dumps(found.to_json(), allow_nan=False)


def test_a_folder_without_plain_runs_says_so(tmp_path):
    found = find_flips(write_runs(tmp_path, labels({("pats", 0): [0, 1]})))
    assert found.summaries == found.examples == ()
    assert found.reasons == (f"{tmp_path} has no plain runs ('none') to compare with",)


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ValueError, match="top is 0; it must be at least 1"):
        find_flips(tmp_path, top=0)
    with pytest.raises(LedgerError, match="There is no ledger in"):
        find_flips(tmp_path)


def test_real_runs_have_their_gold_labels_and_plain_again_flips_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "run_in_processes", lambda requests, jobs: map(run, requests))
    settings = ("train.epochs=1", "noisytune.noise_lambda=3")
    methods = ("none", "none-again", "noisytune")
    plan = plan_of("builtin/sentiment", "builtin", *settings, methods=methods, seeds=(0, 1))
    make_runs(plan, tmp_path)
    found = find_flips(tmp_path)
    assert found.reasons == ()
    again, noisy = found.summaries
    assert (again.method, again.share, again.mended) == ("none-again", 0.0, 0)
    assert noisy.share > 0
    row = look(tmp_path).analysis.all_runs.comparison("noisytune", "builtin/sentiment")
    assert 100 * (noisy.mended - noisy.broken) / noisy.compared == pytest.approx(row.difference)
    assert {one.gold for one in found.examples} <= {"negative", "positive"}
