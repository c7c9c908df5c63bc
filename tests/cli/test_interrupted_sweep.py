"""A search in a process of its own, killed again and again: no trial is lost, none is made twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dither.results import Ledger

TRIALS = 4
OPTIONS = ("--search", str(TRIALS), "--search-seeds", "100-101", "--seeds", "0", "--jobs", "1")
RECIPE = ("--set", "train.epochs=1", "--held-out", "0.5")
SPACE = ("--method", "noisytune", "--param", "noise_lambda=0.05..0.8,log")


def command(films, out: Path) -> list[str]:
    task, encoder = films
    start = [sys.executable, "-m", "dither", "sweep", str(task), "--model", str(encoder), "--out", str(out)]
    return [*start, "--json", *SPACE, *RECIPE, *OPTIONS]


def killed_after(films, out: Path, lines: int, seconds: float) -> None:
    """Start the search, wait for lines of progress and a little more, and kill it."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command(films, out), start_new_session=True, **pipes) as process:
        try:
            progress = (line for line in process.stderr if line.startswith("["))
            for _ in range(lines):
                next(progress, None)
            time.sleep(seconds)
            process.kill()  # the command alone: its workers must see it themselves
            process.wait()
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def recorded(out: Path) -> list[str]:
    """The ids of the search's runs, every one read whole; none where there is no ledger yet."""
    if not (out / "search" / "ledger.sqlite").exists():
        return []
    with Ledger.read(out / "search") as ledger:
        return [run.id for run in ledger.results(predictions=True)]


def trials_stored(out: Path) -> int:
    import optuna

    storage = optuna.storages.RDBStorage(f"sqlite:///{out}/search/study.sqlite")
    found = optuna.load_study(study_name="search", storage=storage).get_trials()
    storage.remove_session()
    storage.engine.dispose()
    assert all(trial.state.is_finished() for trial in found)
    return len(found)


@pytest.mark.slow
def test_kills_lose_and_repeat_no_trial(films, tmp_path):
    dice, out = random.Random(7), tmp_path / "killed"
    before: list[str] = []
    for lines in (2, 1, 3, 1):
        # However far it is then, perhaps done: the machine may be slow or fast.
        killed_after(films, out, lines, dice.uniform(0.0, 0.3))
        now = recorded(out)
        assert now[: len(before)] == before
        assert len(set(now)) == len(now)
        before = now
    assert len(before) > 0, "two lines of progress were seen, the second of a run that is recorded"
    found = []
    for folder in (out, tmp_path / "whole"):
        done = subprocess.run(command(films, folder), capture_output=True, text=True, check=True)
        found.append(json.loads(done.stdout))
        assert trials_stored(folder) == TRIALS
        assert len(recorded(folder)) == TRIALS * 2
    killed, whole = found
    assert killed["search"] == whole["search"]
    assert killed["all_runs"] == whole["all_runs"]
    assert recorded(out)[: len(before)] == before
