"""`--watch`: what is seen of runs while they are made, what is hidden, and what a peek costs."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dither.bench.compare import look
from dither.bench.runs.pulse import Pulse
from dither.cli.live_picture import picture
from dither.cli.watch import Place, Watch
from dither.results import Experiment, Ledger, RunResult, RunSpec

FIXED = {"model": "builtin", "model_digest": "m1", "threads": 1, "dtype": "float32", "recipe_version": 1}
DIGESTS = {"task_digest": "t1", "data_digest": "d1"}
METHODS = {"none": {}, "noisytune": {}}
QUICK = ("--set", "train.epochs=1", "--methods", "noisytune")
SEEN = ("--set", "train.epochs=50", "--methods", "noisytune")  # a run lasts for several pictures


def spec(method: str, seed: int) -> RunSpec:
    return RunSpec("rte", **DIGESTS, **FIXED, method=method, method_settings={}, train_settings={}, seed=seed)


def result(method: str, seed: int, score: float | None = None) -> RunResult:
    """A finished run, or a failed one that has no score."""
    score, failure = (71.37 + seed + 2 * (method != "none"), None) if score is None else (None, "diverged")
    return RunResult(
        spec=spec(method, seed),
        status="failed" if failure else "finished",
        failure=failure,
        score=score,
        constant_score=50.0,
        metrics={"validation": {"accuracy": 0.7137}},
        predictions={"validation": [1]},
        environment={},
        seconds=10.0,
        started="2026-01-31T12:00:00+00:00",
    )


class Clock:
    """A clock that only a test moves: what is shown must not hang on how busy the machine is."""

    now = 1_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture(autouse=True)
def clock(monkeypatch) -> Clock:
    clock = Clock()
    for module in ("dither.cli.watch", "dither.bench.runs.pulse"):
        monkeypatch.setattr(f"{module}.time", clock)
    return clock


class Course:
    """A plan of one task, its ledger, and the view of its runs."""

    def __init__(self, folder: Path, seeds: int, *, peek: bool = False, place: Place | None = None) -> None:
        self.out, self.pulses = folder / "out", folder / "pulses"
        self.pulses.mkdir(parents=True)
        self.experiment = Experiment(
            kind="compare",
            tasks={"rte": DIGESTS},
            methods=METHODS,
            train_settings={},
            seeds=range(seeds),
            **FIXED,
        )
        requests = [SimpleNamespace(spec=spec(method, seed)) for seed in range(seeds) for method in METHODS]
        plan = SimpleNamespace(
            source=SimpleNamespace(name="builtin"), tasks=[SimpleNamespace(name="rte")], methods=METHODS,
            seeds=tuple(range(seeds)), trainings=lambda: [SimpleNamespace(runs=[one]) for one in requests],
        )  # fmt: skip
        plan.provisional = lambda doses=None: plan
        self.view = Watch(plan, "compare", place or Place("2 processes", 2), str(self.pulses), peek=peek)

    def make(self, *results: RunResult) -> Course:
        """As `make_runs` does it."""
        with Ledger.create_or_resume(self.out, self.experiment) as ledger:
            self.view.visit(ledger)
            for number, one in enumerate(results, start=1):
                ledger.add(one)
                self.view.progress(one, number, len(results))
                self.view.visit(ledger)
        return self

    def seen(self, width: int = 80) -> str:
        return "\n".join(line.plain.rstrip() for line in picture(self.view.snapshot(), width, 24))

    def looks(self) -> list[tuple[bool, int]]:
        with Ledger.read(self.out) as ledger:
            return [(one.peek, one.runs) for one in ledger.looks]


def pairs(first: int, last: int) -> list[RunResult]:
    return [result(method, seed) for seed in range(first, last + 1) for method in METHODS]


def test_effects_are_hidden_and_no_look_is_recorded(tmp_path):
    course = Course(tmp_path, 9).make(*pairs(0, 7))
    for width in (40, 80, 200):
        text = course.seen(width)
        assert "16 of 18 done" in text.replace("\n", " ")
        assert not re.search(r"\d[.,]\d|[+-]\d", text), text  # no score, no difference
    assert "Effects stay hidden until all runs are done." in course.seen()
    assert course.looks() == []


def test_runs_of_one_training_run_together(tmp_path, clock):
    names, methods = ("rte", "twin"), ("none", "noisytune")
    specs = [[replace(spec(method, 0), task=name) for name in names] for method in methods]
    plan = SimpleNamespace(
        source=SimpleNamespace(name="builtin"), tasks=[SimpleNamespace(name=name) for name in names],
        methods=METHODS, seeds=(0,),
        trainings=lambda: [SimpleNamespace(runs=[SimpleNamespace(spec=one) for one in own]) for own in specs],
    )  # fmt: skip
    plan.provisional = lambda: plan
    view = Watch(plan, "compare", Place("1 process", 1), str(tmp_path), peek=False)
    for one in specs[0]:
        Pulse(clock.now, step=3, steps=9).write(tmp_path, one.id)
    now = view.snapshot()
    assert [(one.task, one.method) for one in now.running] == [("rte + twin", "none")]
    assert [now.states.get((name, "none", 0)) for name in names] == ["running", "running"]
    view.progress(replace(result("none", 0), spec=specs[0][0]), 1, 4)
    now = view.snapshot()
    assert [one.task for one in now.running] == ["twin"]
    assert now.left == pytest.approx(30.0), "what is running, then a training of two runs"


def test_failed_runs_are_marked_and_counted(tmp_path):
    text = Course(tmp_path, 3).make(result("none", 0), result("noisytune", 0, score=0.0)).seen()
    assert "2 of 6 done, 1 failed; 2 processes" in text
    assert "rte none      ✓ · ·\nrte noisytune ✗ · ·" in text


def test_running_runs_tell_their_steps_and_losses_until_they_are_done(tmp_path, clock):
    course = Course(tmp_path, 3).make(result("none", 0))
    Pulse(clock.now - 4.2, 20, 40, 0.6931).write(course.pulses, spec("noisytune", 0).id)
    Pulse(clock.now, 0, 0).write(course.pulses, "0" * 32)  # of nobody
    text = course.seen()
    assert "1 of 6 done, 1 running; 2 processes; 0 s so far, about 26 s left" in text
    assert "▶ rte noisytune seed 0  step 20/40, loss 0.693, 4 s" in text
    course.make(result("noisytune", 0))
    assert "running;" not in course.seen()
    assert not (course.pulses / f"{spec('noisytune', 0).id}.json").exists()


def test_what_was_recorded_before_is_there_from_the_start(tmp_path):
    Course(tmp_path / "first", 3).make(*pairs(0, 1))
    again = Course(tmp_path / "second", 3, peek=True)
    again.out = tmp_path / "first" / "out"
    text = again.make().seen()
    assert "4 of 6 done; 2 processes; 0 s so far, about 10 s left" in text
    assert "Too few seeds are left for a peek before then." in text.replace("\n", " ")
    assert again.looks() == []  # being started again is no reason to look


def test_a_peek_comes_when_complete_seeds_have_doubled_and_is_recorded_before_it_is_seen(tmp_path):
    course = Course(tmp_path, 9, peek=True).make(*pairs(0, 0))
    text = course.seen().replace("\n", " ")
    assert "hidden but for peeks, at 2, 4, 8 complete seeds. Each is a look, and after all of them" in text
    assert "the verdict's own test is at p < 0.0349." in text
    assert "+2.00" not in text
    course.make(*pairs(1, 2))
    text = course.seen()
    assert "Effects at 2 of 9 complete seeds: points against plain, 99.95 % intervals." in text
    flowing = text.replace("\n", " ")
    assert "Looks so far: 1. Each update is a look: after all of them the verdict's own" in flowing
    assert "test is at p < 0.0349." in flowing
    assert re.search(r"rte noisytune +\+2\.00 +\+2\.00 … \+2\.00  2 pairs", text)
    assert course.looks() == [(True, 4)]
    course.make(*pairs(3, 7))
    assert "Looks so far: 3. Each update is a look: after all of them" in course.seen()
    assert "96.82 % intervals" in course.seen()
    assert course.looks() == [(True, 4), (True, 8), (True, 16)]
    course.make(*pairs(8, 8))
    final = look(course.out)
    assert (final.looks, round(final.analysis.rule.level, 4)) == (4, 0.0349)


def test_tests_until_resolved_are_announced_and_cost_no_more_when_they_are_watched(tmp_path):
    for peek, words in ((False, "Effects stay hidden until the end."), (True, "Effects are shown then.")):
        course = Course(tmp_path / str(peek), 10, peek=peek)
        course.experiment = replace(course.experiment, max_seeds=10)
        text = course.make(*pairs(0, 6)).seen().replace("\n", " ")
        assert (
            f"Tests are made at 8 and 10 complete seeds, and runs end when all are decided. {words}" in text
        )
        assert "7 pairs" not in text
        course.make(*pairs(7, 8))
        assert course.looks() == ([(False, 16)] if peek else [])
        assert ("Effects at 8 of 10 complete seeds" in course.seen()) == peek


def test_a_seed_is_complete_when_all_arms_have_it(tmp_path):
    course = Course(tmp_path, 9, peek=True).make(*[result("none", seed) for seed in range(9)])
    course.make(*[result("noisytune", seed) for seed in (0, 1)])
    assert course.looks() == [(True, 11)]


def test_runs_elsewhere_are_counted_and_their_number_tells_the_time(tmp_path, monkeypatch):
    assert Place.of(1, elsewhere=False) == Place("1 process", 1)
    course = Course(tmp_path, 3, place=Place.of(2, elsewhere=True)).make(result("none", 0))
    assert "on Ray; 0 s so far\n" in course.seen()
    Pulse.now().write(course.pulses, spec("none", 1).id)
    assert "1 of 6 done, 1 running; on Ray; 0 s so far, about 50 s left" in course.seen()
    assert "▶ rte none seed 1  begun, 0 s" in course.seen()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert Place.of(1, elsewhere=False) == Place("2 processes together", 1)


@pytest.mark.usefixtures("in_process")
def test_without_a_terminal_there_are_plain_lines(dither, films, tmp_path):
    task, encoder = films
    words = (
        "compare",
        task,
        "--model",
        encoder,
        *QUICK,
        "--seeds",
        "0",
        "--out",
        tmp_path / "out",
        "--watch",
    )
    status, _, err = dither(*words)
    assert (status, len(err.splitlines())) == (0, 5)
    assert err.startswith("1 seed can resolve nothing: no p can be below 1, and it must be below 0.05.")
    runs = "\nmeasuring the functional dose on mine/films\n[0/2] runs recorded before\n[1/2] mine/films, none"
    assert f"{runs}, seed 0 (" in err


@pytest.mark.parametrize("command", ["compare", "sweep", "reproduce"])
def test_a_peek_that_nobody_would_see_is_refused(dither, films, tmp_path, command):
    words = {
        "compare": ("compare", films[0], "--model", films[1]),
        "sweep": ("sweep", films[0], "--model", films[1], "--method", "pats", "--param", "beta=0.9"),
        "reproduce": ("reproduce", "noisytune-glue"),
    }[command]
    words = (*words, "--out", tmp_path / "out", "--peek")
    assert dither(*words)[2] == "dither: --peek is for --watch: add that, or leave --peek out\n"
    status, _, err = dither(*words, "--watch")
    assert (status, err.count("\n")) == (2, 1)
    assert "--peek shows effects on the terminal, and standard error is not one: nobody would see them" in err
    assert not (tmp_path / "out").exists()


def on_terminal(command: list[str], width: int, height: int) -> tuple[int, str]:
    """The exit status of a command and all that its terminal got."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    left_out = ("COLUMNS", "LINES", "CI", "NO_COLOR")
    environment = {key: value for key, value in os.environ.items() if key not in left_out} | {"TERM": "xterm"}
    with subprocess.Popen(command, stdout=follower, stderr=follower, env=environment) as process:
        os.close(follower)
        pieces = []
        while True:
            try:
                pieces.append(os.read(leader, 65536))
            except OSError:  # the other end is closed: all is read
                break
    os.close(leader)
    return process.returncode, b"".join(pieces).decode()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["compare", "sensitivity"])
def test_a_terminal_sees_the_runs_and_is_left_clean(films, tmp_path, command):
    words = [command, str(films[0]), "--model", str(films[1]), *SEEN, "--seeds", "0-2", "--jobs", "1"]
    words += ["--watch", *(["--peek"] if command == "compare" else ["--batches", "1"])]
    start = [sys.executable, "-m", "dither"]
    status, sent = on_terminal([*start, *words, "--out", str(tmp_path / "out")], 60, 20)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", sent)
    assert status == 0, plain
    assert "1 task × 2 arms × 3 seeds = 6 runs" in " ".join(plain.split())
    assert "▶ mine/films noisytune seed" in plain
    assert sent.rindex("\x1b[?25h") > sent.rindex("\x1b[?25l")  # the cursor is back
    table = plain[plain.rindex("Effects ") :]
    assert "mine/films" in table
    with Ledger.read(tmp_path / "out") as ledger:
        assert [one.peek for one in ledger.looks] == ([True, False] if command == "compare" else [])
