"""The picture of running runs: from plain state to lines, in terminals of every size."""

from __future__ import annotations

import pytest

from dither.cli.live_picture import picture
from dither.cli.snapshot import DONE, FAILED, RUNNING, Effect, Running, Snapshot, time_left

TASKS = ["builtin/sentiment", "builtin/entailment", "builtin/question_answering"]
METHODS = ["none", "noisytune", "pats", "pats-magnitude"]
HIDDEN = "Effects stay hidden until all runs are done."


def snapshot(ended: int, tasks=TASKS, methods=METHODS, seeds=range(9), **changes) -> Snapshot:
    """The first runs of a plan have ended, each seventh of them badly; the next two are being made."""
    runs = [(task, method, seed) for seed in seeds for task in tasks for method in methods]
    states = {run: FAILED if number % 7 == 3 else DONE for number, run in enumerate(runs[:ended])}
    running = [
        Running((task,), method, seed, step=30, steps=120, loss=0.4146, seconds=12.0)
        for task, method, seed in runs[ended : ended + 2]
    ]
    states |= dict.fromkeys(runs[ended : ended + 2], RUNNING)
    values = {"place": "2 processes", "elapsed": 75.0, "left": 130.0, "notes": [HIDDEN], **changes}
    return Snapshot("compare, ./my-encoder", tasks, methods, seeds, states, running, **values)


def text(now: Snapshot, width: int = 80, height: int = 24, **options) -> list[str]:
    return [line.plain.rstrip() for line in picture(now, width, height, **options)]


def test_a_plan_that_fits_is_shown_whole_in_its_order():
    assert text(snapshot(4, TASKS[:1], METHODS[:3], range(8, 11))) == [
        "compare, ./my-encoder: 1 task × 3 arms × 3 seeds = 9 runs",
        "━" * 35 + "╌" * 45,
        "4 of 9 done, 1 failed, 2 running; 2 processes; 1 min 15 s so far,",
        "about 2 min 10 s left",
        "",
        "                       seed  8  9 10",
        "builtin/sentiment none       ✓  ✗  ·",
        "builtin/sentiment noisytune  ✓  ▶  ·",
        "builtin/sentiment pats       ✓  ▶  ·",
        "· planned  ▶ running  ✓ done  ✗ failed",
        "",
        "▶ builtin/sentiment noisytune seed 9  step 30/120, loss 0.415, 12 s",
        "▶ builtin/sentiment pats seed 9       step 30/120, loss 0.415, 12 s",
        "",
        HIDDEN,
    ]


def test_rows_with_running_runs_come_first_where_not_all_fit():
    lines = text(snapshot(43))
    rows = [line for line in lines if line.startswith("builtin/")]
    assert ["▶" in row for row in rows] == [True, True, *[False] * (len(rows) - 2)]
    (rest,) = [line for line in lines if line.startswith("and ") and "more rows" in line]
    shown = sum(line.startswith("builtin/") for line in lines)
    assert rest.startswith(f"and {12 - shown} more rows: ")


def test_what_is_left_out_is_counted():
    lines = text(snapshot(43), 80, 16)
    counts = dict.fromkeys("✓✗▶·", 0)
    for line in lines:
        if line.startswith("builtin/"):
            counts = {sign: count + line.count(sign) for sign, count in counts.items()}
        elif "more rows" in line:
            for word in line.partition(": ")[2].split():
                counts[word[-1]] += int(word[:-1])
    assert counts == {"✓": 37, "✗": 6, "▶": 2, "·": 63}


def test_many_seeds_stand_close_and_too_many_are_counts():
    close = text(snapshot(85, METHODS[:1], METHODS[:2], range(60)))
    assert next(line for line in close if line.startswith("none none")).count("✓") > 30
    counted = text(snapshot(85, METHODS[:1], METHODS[:2], range(600)))
    assert "none none      37✓ 6✗ 1▶ 556·" in counted


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 20), (40, 12), (20, 6), (10, 3), (200, 60)])
@pytest.mark.parametrize("seeds", [1, 9, 40])
def test_every_terminal_is_enough(width, height, seeds, ascii_only):
    effects = [Effect(task, method, -12.5, (-30.0, 5.0), 4) for task in TASKS for method in METHODS[1:]]
    for ended in (0, 5, 12 * seeds):
        now = snapshot(ended, seeds=range(seeds), effects=effects)
        lines = picture(now, width, height, ascii_only=ascii_only)
        assert 0 < len(lines) < height
        assert max(line.cell_len for line in lines) <= width
        assert all(line.plain.isascii() for line in lines) or not ascii_only


def test_signs_differ_without_colours_also_in_ascii():
    for ascii_only, legend in (
        (False, "· planned  ▶ running  ✓ done  ✗ failed"),
        (True, ". planned  > running  + done  x failed"),
    ):
        assert legend in text(snapshot(5), ascii_only=ascii_only)
    assert "compare, ./my-encoder: 3 tasks x 4 arms x 9 seeds = 108 runs" in text(
        snapshot(5), ascii_only=True
    )


def test_a_narrow_terminal_has_the_numbers_below_the_names():
    lines = text(snapshot(5), 40, 30)
    at = lines.index("▶ builtin/entailment noisytune seed 0")
    assert lines[at + 1] == "  step 30/120, loss 0.415, 12 s"


@pytest.mark.parametrize(
    ("step", "steps", "loss", "told"),
    [
        (0, 0, None, "begun, 12 s"),
        (0, 9, None, "step 0/9, 12 s"),
        (9, 9, 0.5, "evaluates, loss 0.500, 12 s"),
        (3, 9, float("nan"), "step 3/9, loss nan, 12 s"),
    ],
)
def test_how_far_a_run_is(step, steps, loss, told):
    now = snapshot(0)
    now = Snapshot(**{**vars(now), "running": [Running(("rte",), "none", 0, step, steps, loss, 12.0)]})
    assert f"▶ rte none seed 0  {told}" in text(now)


def test_effects_stand_below_what_they_cost():
    effects = [Effect("rte", "pats", 0.5, (-1.25, 2.25), 4), Effect("rte", "aa", -10.0, (-21.0, 1.0), 4)]
    lines = text(snapshot(5, effects=effects, notes=["Looks so far: 1."]))
    assert lines[lines.index("Looks so far: 1.") + 1 :][:2] == [
        "rte pats    +0.50      -1.25 … +2.25  4 pairs",
        "rte aa     -10.00     -21.00 … +1.00  4 pairs",
    ]


def running(task: str, seconds: float) -> Running:
    return Running((task,), "none", 0, 1, 9, None, seconds)


@pytest.mark.parametrize(
    ("waiting", "now", "done", "lanes", "left"),
    [
        (["a"], [], {}, 1, None),  # nothing is known yet
        (["a"], [], {"a": [10.0]}, None, None),
        ([], [], {"a": [10.0]}, 2, 0.0),
        (["a", "b"], [], {"a": [10.0, 20.0], "b": [40.0]}, 1, 55.0),
        (["a", "b"], [], {"a": [10.0, 20.0], "b": [40.0]}, 2, 40.0),
        (["c"], [], {"a": [10.0], "b": [30.0, 50.0]}, 1, 30.0),  # like the others
        (["a"], [running("a", 4.0), running("b", 100.0)], {"a": [10.0], "b": [40.0]}, 2, 10.0),
    ],
)
def test_the_time_left_is_from_the_runs_of_each_task(waiting, now, done, lanes, left):
    assert time_left([(task,) for task in waiting], now, done, lanes) == left
