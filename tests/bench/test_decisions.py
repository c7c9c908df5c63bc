"""Runs that end once everything is decided: when they are looked at, when they end, what stays declared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import plan_of, save_encoder, write_task

from dither.bench.compare import look
from dither.bench.executors import group as group_executor
from dither.bench.executors.group import run_in_group
from dither.bench.group import Group
from dither.bench.looks import due_looks, history
from dither.bench.plans.plan import Plan
from dither.bench.recording import make_runs
from dither.bench.runs.request import RunRequest
from dither.results import Ledger, LedgerError, RunResult
from dither.stats import LookedAt

MOST = 12
NOISE = np.random.default_rng(1).normal(size=100)
Made = Callable[[Sequence[RunRequest]], Iterator[RunResult]]


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> Plan:
    folder = tmp_path_factory.mktemp("decisions")
    seeds = tuple(range(MOST))
    plan = plan_of(write_task(folder), save_encoder(folder / "e"), methods=("none", "noisytune"), seeds=seeds)
    return replace(plan, max_seeds=MOST)


def executor(gain: float, *, order: Sequence[int] | None = None, stop: int | None = None) -> Made:
    """Results without runs: the method's differences are `gain` plus noise of spread 1.

    Args:
        gain: points.
        order: of the requests, where they do not end in turn.
        stop: interrupt before so many results.
    """

    def made(requests: Sequence[RunRequest]) -> Iterator[RunResult]:
        for number, at in enumerate(order or range(len(requests))):
            if number == stop:
                raise KeyboardInterrupt
            if at < len(requests):
                spec = requests[at].spec
                extra = gain + NOISE[spec.seed] if spec.method != "none" else 0.0
                yield RunResult(
                    spec=spec, status="finished", score=70.0 + spec.seed % 3 + extra, constant_score=50.0,
                    metrics={"validation": {"accuracy": 0.7}}, predictions={"validation": [1]},
                    environment={}, seconds=1.0, started="2026-01-31T12:00:00+00:00",
                )  # fmt: skip

    return made


def seen(folder: Path) -> list[tuple[int | None, int | None, bool]]:
    with Ledger.read(folder) as ledger:
        return [(one.complete, one.most, one.peek) for one in ledger.looks]


def test_a_great_effect_ends_the_runs_at_the_first_test(plan, tmp_path):
    assert due_looks(plan.experiment("compare")) == (8, 10, 12)
    make_runs(plan, tmp_path, executor=executor(6.0), command="dither compare ...")
    found = look(tmp_path)
    assert (len(found.results), found.complete, found.visible, found.looks) == (16, True, True, 1)
    assert found.analysis.all_runs.macro("noisytune").verdict.kind == "better"
    assert found.warnings == ("ended at 8 of at most 12 seeds: every primary test is decided",)
    assert seen(tmp_path) == [(8, MOST, False)]
    make_runs(plan, tmp_path, executor=executor(6.0, stop=0), command="dither compare ...")
    with Ledger.read(tmp_path) as ledger:
        assert (len(ledger), len(ledger.starts), len(ledger.looks)) == (16, 1, 1)


def test_without_an_effect_all_seeds_are_made_and_every_second_is_looked_at(plan, tmp_path):
    make_runs(plan, tmp_path, executor=executor(0.0))
    found = look(tmp_path)
    assert (len(found.results), found.complete) == (2 * MOST, True)
    assert found.analysis.rule.looks == tuple(LookedAt(n, MOST, until_resolved=True) for n in (8, 10, 12))
    assert found.analysis.rule.overall == 0.05
    verdict = found.analysis.all_runs.macro("noisytune").verdict
    assert verdict.kind == "not resolved"
    assert verdict.text.endswith("; looked at 8, 10 and 12 seeds, error rate over all looks below 0.05")


def test_an_interrupted_comparison_goes_on_to_the_same_end(plan, tmp_path):
    for stop in (3, 15, 4):
        with pytest.raises(KeyboardInterrupt):
            make_runs(plan, tmp_path / "parts", executor=executor(0.3, stop=stop))
    found = look(tmp_path / "parts")
    assert (found.complete, found.visible, len(found.results)) == (False, True, 20)
    assert found.analysis.all_runs.macro("noisytune").verdict.text.startswith(
        "not resolved yet: 10 of at most 12 planned seeds; looked at 8 and 10 seeds"
    )
    for folder in ("parts", "whole"):
        make_runs(plan, tmp_path / folder, executor=executor(0.3))
    parts, whole = (look(tmp_path / name).analysis.to_json() for name in ("parts", "whole"))
    assert parts == whole


def test_seeds_count_in_the_order_of_the_plan_not_of_their_ends(plan, tmp_path):
    """Seed 3 ends last: nothing is looked at until it is there, and then all that is complete."""
    late = [*range(6), *range(8, 20), 6, 7, *range(20, 24)]
    make_runs(plan, tmp_path, executor=executor(0.0, order=late))
    assert seen(tmp_path) == [(10, MOST, False), (12, MOST, False)]  # none at 8


def test_before_the_first_test_effects_are_hidden(plan, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make_runs(plan, tmp_path, executor=executor(6.0, stop=9))
    found = look(tmp_path)
    assert (found.visible, found.complete, seen(tmp_path)) == (False, False, [])
    peeked = look(tmp_path, peek=True)
    assert peeked.analysis.rule.looks == (LookedAt(4, MOST, until_resolved=True),)
    assert seen(tmp_path) == [(4, MOST, True)]


def test_seeds_added_to_the_declared_ones_are_a_plan_of_their_own(plan, tmp_path):
    make_runs(plan, tmp_path, executor=executor(0.0))
    look(tmp_path)
    more = replace(plan, seeds=tuple(range(MOST + 4)), max_seeds=None)
    make_runs(more, tmp_path, executor=executor(0.0))
    found = look(tmp_path)
    assert (found.complete, len(found.results)) == (True, 2 * (MOST + 4))
    assert found.analysis.rule.overall == pytest.approx(0.075)
    with Ledger.read(tmp_path) as ledger:
        assert history(ledger)[-1] == LookedAt(MOST + 4, MOST + 4)


@pytest.mark.parametrize(
    ("there", "now", "words"),
    [
        (MOST, 14, "max_seeds: 12 there, 14 now; what was declared before the first run stays. Go on with "
         "--seeds-until resolved --max-seeds 12, or name all seeds and more: --seeds 0-13"),
        (MOST, 8, "max_seeds: 12 there, 8 now; what was declared"),
        (None, MOST, "max_seeds: none there, 12 now; it must be declared before the first run. To add "
         "seeds to this folder, name them: --seeds 0-12"),
        (None, 14, "name them: --seeds 0-13"),
    ],
)  # fmt: skip
def test_what_was_declared_stays(plan, tmp_path, there, now, words):
    make_runs(replace(plan, max_seeds=there), tmp_path, executor=executor(6.0))
    other = replace(plan, seeds=tuple(range(now)), max_seeds=now)
    with pytest.raises(LedgerError) as caught:
        make_runs(other, tmp_path, executor=executor(6.0))
    assert words in str(caught.value)
    advised = replace(plan, seeds=tuple(range(14)), max_seeds=None)
    make_runs(advised, tmp_path, executor=executor(6.0))
    assert look(tmp_path).complete


def test_an_arm_without_an_effect_to_find_is_not_waited_for(plan, tmp_path):
    arms = {"none": {}, "noisytune": {}, "none-other-seeds": {}}
    make_runs(replace(plan, methods=arms), tmp_path / "both", executor=executor(6.0))
    assert len(look(tmp_path / "both").results) == 3 * 8
    alone = replace(plan, methods={"none": {}, "none-other-seeds": {}})
    make_runs(alone, tmp_path / "alone", executor=executor(0.0))
    assert len(look(tmp_path / "alone").results) == 2 * MOST


def test_processes_that_make_runs_together_end_together(plan, monkeypatch):
    told: dict[str, object] = {}
    monkeypatch.setattr(Group, "tell", lambda self, topic, value: told.__setitem__(topic, value))
    monkeypatch.setattr(group_executor, "_end_with_launcher", lambda: None)
    monkeypatch.setattr(group_executor, "_made", lambda request: iter([request.spec.seed]))
    requests = list(plan.requests())
    runs = run_in_group(requests, Group(0, 2))
    assert [next(runs), next(runs), next(runs)] == [0, 0, 1]
    runs.close()
    assert list(told.values()) == [*([request.spec.id] for request in requests[:3]), None]
