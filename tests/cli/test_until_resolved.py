"""`--seeds-until resolved --max-seeds N`: what is asked wrongly, what a plan says, and a whole command."""

from __future__ import annotations

import re

import pytest

from dither.bench import recording
from dither.bench.plans.prospect import prospect
from dither.cli.estimates import prospect_lines
from dither.results import RunResult

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
    assert prospect(tasks, methods, 24).stopping is None
    text = "\n".join(prospect_lines(prospect(tasks, methods, 24, until_resolved=True)))
    assert "until resolved: tests at 8, 10, 12, 14, 16, 18, 20, 22, 24 complete seeds; four times" in text
    assert re.search(r"they find 0\.6\d standard deviations over all tasks", text)
    assert re.search(
        r"ends: 0\.5 SD in 5\d % of cases, .*; 1 SD in 99 % of cases, 11\.\d seeds on average; 1", text
    )
    many = [f"m{number}" for number in range(9)]
    none = "\n".join(prospect_lines(prospect(tasks, ["none", *many], 8, until_resolved=True)))
    assert "until resolved: never, so few seeds resolve nothing" in none


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
