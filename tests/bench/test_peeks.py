"""Effects that are looked at before the plan is complete: what a look sees, what it costs, what is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dither.bench.compare import look
from dither.bench.looks import history
from dither.bench.plans.prospect import prospect
from dither.results import Experiment, Ledger, LedgerBusyError, LedgerError, Look, RunResult, RunSpec
from dither.stats import LookedAt

FIXED = {"model": "m", "model_digest": "m1", "threads": 1, "dtype": "float32", "recipe_version": 1}
TASK = {"task_digest": "t1", "data_digest": "d1"}


def plan(seeds: int = 3) -> Experiment:
    methods = {"none": {}, "pats": {}}
    return Experiment(
        kind="compare", tasks={"a": TASK}, methods=methods, train_settings={}, seeds=range(seeds), **FIXED
    )


def made(method: str, seed: int, score: float) -> RunResult:
    spec = RunSpec("a", **TASK, **FIXED, method=method, method_settings={}, train_settings={}, seed=seed)
    return RunResult(
        spec=spec,
        status="finished",
        score=score,
        constant_score=0.0,
        metrics={},
        predictions={"validation": [0, 1]},
        environment={},
        seconds=1.0,
        started="2026-01-31T12:00:00+00:00",
    )


def add(folder, *runs: tuple[str, int], seeds: int = 3) -> None:
    with Ledger.create_or_resume(folder, plan(seeds)) as ledger:
        for method, seed in runs:
            ledger.add(made(method, seed, 60.0 + seed + (method == "pats") * (1 + seed % 2)))


PAIR, REST = [("none", 0), ("pats", 0)], [("none", 1), ("pats", 1), ("none", 2), ("pats", 2)]


def test_each_state_that_is_peeked_at_is_one_look(tmp_path):
    add(tmp_path, *PAIR)
    assert [look(tmp_path, peek=True).looks for _ in range(2)] == [1, 1]  # the same state, seen twice
    add(tmp_path, *REST[:2])
    second = look(tmp_path, peek=True)
    assert (second.looks, second.analysis.rule.share, second.warnings) == (2, (2 / 3) ** 3, ())
    (row,) = [row for row in second.analysis.all_runs.comparisons if row.method == "pats"]
    assert (row.pairs, row.verdict.kind) == (2, "incomplete")
    assert row.verdict.text.startswith("not resolved yet: 2 of 3 planned seeds; looked at 1 and 2 seeds, ")
    with Ledger.read(tmp_path) as ledger:
        kept = [(one.peek, one.planned, one.runs, one.complete) for one in ledger.looks]
    assert kept == [(True, 3, 2, 1), (True, 3, 4, 2)]


def test_the_verdict_is_at_the_level_that_the_peeks_have_left(tmp_path):
    add(tmp_path, *PAIR)
    look(tmp_path, peek=True)
    add(tmp_path, *REST)
    final = look(tmp_path)
    assert (final.looks, final.complete) == (2, True)
    assert 0.045 < final.analysis.rule.level < 0.05
    verdict = final.analysis.all_runs.comparison("pats", "a").verdict
    assert "looked at 1 and 3 seeds, error rate over all looks below 0.05" in verdict.text
    assert look(tmp_path, peek=True).looks == 2  # complete: no peek
    with Ledger.read(tmp_path) as ledger:
        assert [one.peek for one in ledger.looks] == [True, False]


def test_a_plan_is_told_what_the_peeks_cost(tmp_path):
    add(tmp_path, *[(arm, seed) for seed in range(8) for arm in ("none", "pats")], seeds=9)
    before = prospect(["a"], ["none", "pats"], range(9), tmp_path).in_sd.tasks["a"]
    look(tmp_path, peek=True)
    assert prospect(["a"], ["none", "pats"], range(9), tmp_path).in_sd.tasks["a"] > before


def test_a_state_without_a_pair_shows_no_effect_and_is_no_look(tmp_path):
    add(tmp_path, ("none", 0), ("pats", 1))
    assert look(tmp_path, peek=True).looks == 1
    with Ledger.read(tmp_path) as ledger:
        assert ledger.looks == []


def test_an_incomplete_folder_is_peeked_at_only_when_asked(tmp_path):
    add(tmp_path, *PAIR)
    assert look(tmp_path).looks == 1
    assert look(tmp_path, record=False, peek=True).looks == 1
    with Ledger.read(tmp_path) as ledger:
        assert ledger.looks == []


def test_peeks_and_extensions_add_up(tmp_path):
    add(tmp_path, *PAIR)
    look(tmp_path, peek=True)
    add(tmp_path, *REST)
    look(tmp_path)
    add(tmp_path, ("none", 3), seeds=4)
    assert look(tmp_path, peek=True).looks == 2  # half a seed is not seen
    add(tmp_path, ("pats", 3), seeds=4)
    final = look(tmp_path)
    assert (final.looks, final.analysis.rule.overall) == (3, pytest.approx(0.075))
    with Ledger.read(tmp_path) as ledger:
        assert [one.planned for one in ledger.looks] == [3, 3, 4]


def test_seeds_that_are_complete_out_of_turn_wait(tmp_path):
    add(tmp_path, *PAIR, ("none", 1), ("none", 2), ("pats", 2), seeds=9)
    found = look(tmp_path, peek=True)
    assert found.analysis.planned_seeds == (0,)
    assert {row.spec.seed for row in found.results} == {score.seed for score in found.scores} == {0}
    assert found.warnings == (
        "3 runs of later seeds are not shown: this look sees the first seed of the plan, of which all runs "
        "are there",
    )
    add(tmp_path, ("pats", 1), seeds=9)
    assert look(tmp_path, peek=True).analysis.planned_seeds == (0, 1, 2)


def test_a_peek_that_did_not_store_what_it_saw_counts_for_as_much_as_it_may_have_seen(tmp_path):
    """Seven runs of one task and two arms are three complete seeds at most, whatever arm came later."""
    runs = [(arm, seed) for seed in range(8) for arm in ("none", "pats")]
    add(tmp_path, *runs[:7], seeds=8)
    with Ledger.resume(tmp_path) as ledger:
        ledger.record_look(peek=True)
    later = replace(plan(8), methods={"none": {}, "pats": {}, "noisytune": {}})
    with Ledger.create_or_resume(tmp_path, later) as ledger:
        assert history(ledger) == (LookedAt(3, 8),)
        for arm, seed in runs[7:] + [("noisytune", seed) for seed in range(8)]:
            ledger.add(made(arm, seed, 60.0))
    assert look(tmp_path).analysis.rule.looks == (LookedAt(3, 8), LookedAt(8, 8))


def test_a_peek_while_runs_are_made_is_refused(tmp_path):
    add(tmp_path, *PAIR)
    with Ledger.resume(tmp_path), pytest.raises(LedgerBusyError, match="so a peek cannot be recorded, and"):
        look(tmp_path, peek=True)
    with Ledger.read(tmp_path) as ledger:
        assert list(ledger.looks) == []


def test_a_peek_at_what_cannot_be_written_says_so(tmp_path, monkeypatch):
    add(tmp_path, *PAIR)

    def unwritable(folder):
        raise LedgerError(f"{folder} cannot be written (Read-only file system).")

    monkeypatch.setattr(Ledger, "resume", unwritable)
    told = look(tmp_path, peek=True)
    assert told.looks == 1
    assert told.warnings[-1].startswith("this look is not recorded: ")


def test_a_look_from_another_program_is_refused(tmp_path):
    with pytest.raises(LedgerError, match="Entry 1 is no Look: it has the unknown glance"):
        Look.from_document({"when": "x", "planned": 1, "runs": 1, "glance": True}, "Entry 1")


@pytest.mark.parametrize(
    ("tasks", "margin", "told"), [(("a", "b"), None, True), (("a",), 1.0, True), (("a",), None, False)]
)
def test_verdicts_that_were_read_by_older_rules_are_told(tmp_path, tasks, margin, told):
    folder = Experiment(
        kind="compare",
        tasks=dict.fromkeys(tasks, TASK),
        methods={"none": {}, "pats": {}},
        train_settings={},
        seeds=(0,),
        margin=margin,
        **FIXED,
    )
    with Ledger.create_or_resume(tmp_path, folder) as ledger:
        for task in tasks:
            for method, seed in PAIR:
                row = made(method, seed, 60.0)
                ledger.add(replace(row, spec=replace(row.spec, task=task)))
    assert look(tmp_path).warnings == ()
    assert look(tmp_path).warnings == ()  # the look that is recorded now is by the rules of now
    with Ledger.resume(tmp_path) as ledger, ledger._writing() as journal:
        journal.append("look", "2", '{"when":"2026-01-31T12:00:00+00:00","planned":1,"runs":2}')
    texts = look(tmp_path).warnings
    assert [text.startswith("verdicts were read here by older rules") for text in texts] == [True] * told
