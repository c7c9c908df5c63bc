"""`--seeds-until resolved --max-seeds N`: what is asked wrongly, what a plan says, and a whole command."""

from __future__ import annotations

import re

import pytest

from dither.bench import recording
from dither.bench.plans.prospect import prospect
from dither.cli.estimates import prospect_lines
from dither.results import RunResult
from dither.stats import minimum_detectable_effect

pytestmark = pytest.mark.usefixtures("in_process")
UNTIL = ("--seeds-until", "resolved", "--max-seeds")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--seeds", "0-8", *UNTIL, "9"),
            "--seeds 0-8 and --seeds-until resolved exclude each other: leave one",
        ),
        (("--max-seeds", "9"), "--max-seeds 9 is for --seeds-until resolved: add that, or use --seeds"),
        (
            ("--seeds-until", "resolved"),
            "--seeds-until resolved needs --max-seeds N, which is declared before",
        ),
        (
            (*UNTIL, "6"),
            "--max-seeds is 6, and fewer than 7 seeds resolve nothing (2 averages over tasks are",
        ),
        (
            (*UNTIL, "5", "--methods", "pats"),
            "--max-seeds is 5, and fewer than 6 seeds resolve nothing (one average is tested, with",
        ),
        ((*UNTIL, "0", "--plan"), "--max-seeds is 0, and fewer than 7"),
    ],
)
def test_what_cannot_be_is_told_before_a_run_starts(dither, films, tmp_path, words, message):
    task, encoder = films
    status, _, err = dither("compare", task, "--model", encoder, "--out", tmp_path / "out", *words)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith(f"dither: {message}")
    assert not (tmp_path / "out").exists()


def test_a_plan_says_where_it_may_end():
    tasks, methods = ["glue/rte", "glue/cola"], ["none", "pats"]
    fixed, until = (prospect(tasks, methods, range(24), until_resolved=each) for each in (False, True))
    assert fixed.stopping is None
    assert [row.points / other.points for row, other in zip(until.macros, fixed.macros, strict=True)] == (
        pytest.approx([until.stopping.smallest / minimum_detectable_effect(1.0, 24)] * 2)
    )
    assert 1.05 < until.in_sd.tasks["glue/rte"] / fixed.in_sd.tasks["glue/rte"] < 1.2
    text = "\n".join(prospect_lines(until))
    assert "until resolved: tests at 8, 10, 12, 14, 16, 18, 20, 22, 24 complete seeds, which end it" in text
    assert re.search(
        r"it: 0\.5 SD in 5\d % of cases, .*; 1 SD in 99 % of cases, 11\.\d seeds on average; 1", text
    )


def test_arms_that_say_the_same_end_at_the_first_test(dither, films, tmp_path, strict, monkeypatch):
    def made(requests, jobs):
        for request in requests:
            yield RunResult(
                spec=request.spec, status="finished", score=80.0, constant_score=50.0,
                metrics={"validation": {"accuracy": 0.8}}, predictions={"validation": [1]},
                environment={}, seconds=1.0, started="2026-01-31T12:00:00+00:00",
            )  # fmt: skip

    monkeypatch.setattr(recording, "run_in_processes", made)
    task, encoder = films
    words = ("compare", task, "--model", encoder, "--methods", "noisytune", "--out", tmp_path, *UNTIL, "8")
    status, out, err = dither(*words, "--json")
    found = strict(out)
    assert (status, len(found["runs"]), found["looks"]) == (0, 12, 1)
    assert found["warnings"][0] == "ended at 6 of at most 8 seeds: every primary test is decided"
    assert "[12/16]" in err
    assert "[13/16]" not in err
    again = dither(*words)
    assert "identical scores in all 6 pairs" in " ".join(again[1].split())
    assert "[12/16] runs recorded before" in again[2]
