"""`dither compare` in a process of its own, interrupted and killed: what is recorded is whole."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from dither.results import Ledger

KILLS = 10
PATIENCE = 300.0  # seconds for what takes one or two when the machine is idle
OPTIONS = ("--methods", "none,noisytune,pats", "--seeds", "0-4", "--jobs", "1", "--set", "train.epochs=2")
RUNS = 15


def command(films, out: Path, *options: str) -> list[str]:
    task, encoder = films
    start = [sys.executable, "-m", "dither", "compare", str(task), "--model", str(encoder)]
    return [*start, "--out", str(out), "--json", *OPTIONS, *options]


def hear_all() -> None:
    """A shell that runs tests in the background has them ignore Ctrl-C, and children inherit that."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def started(films, out: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The command as the leader of a session, to which its workers belong; none is left behind."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    words = command(films, out, *options)
    with subprocess.Popen(words, start_new_session=True, preexec_fn=hear_all, **pipes) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for_lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """The next lines of progress."""
    assert process.stderr is not None
    progress = (line for line in process.stderr if line.startswith("["))
    return list(islice(progress, count))


def session(leader: int) -> list[int]:
    """The processes of a session that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, *fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if state != "Z" and int(fields[2]) == leader:
            found.append(int(entry.name))
    return found


def wait_until_gone(leader: int) -> None:
    """Fail if a process of the session outlives its leader for good."""
    end = time.monotonic() + PATIENCE
    while left := session(leader):
        assert time.monotonic() < end, f"still alive: {left}"
        time.sleep(0.05)


def recorded(out: Path) -> list[str]:
    """The ids of the runs in the ledger, every one read whole; none where there is no ledger yet."""
    if not (out / "ledger.sqlite").exists():
        return []
    with Ledger.read(out) as ledger:
        runs = list(ledger.results(predictions=True))
    assert all(len(run.predictions["validation"]) == 12 for run in runs)
    return [run.id for run in runs]


def result_of(films, out: Path) -> dict[str, Any]:
    """What the finished command prints, without times."""
    done = subprocess.run(command(films, out), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    del found["effort"]
    for row in found["runs"]:
        del row["seconds"], row["step_seconds"]
    return found


@pytest.mark.slow
def test_ten_kills_lose_repeat_and_leave_nothing(films, tmp_path):
    dice, out = random.Random(20), tmp_path / "killed"
    before: list[str] = []
    for number in range(KILLS):
        with started(films, out) as process:
            if lines := (2, 0, 1)[number % 3]:  # none: somewhere in the start
                wait_for_lines(process, lines)
            # However far it is then, perhaps done: the machine may be slow or fast.
            time.sleep(dice.uniform(0.0, 0.1 if lines else 3.0))
            process.kill()  # the command alone: its workers must see it themselves
            process.wait()
            wait_until_gone(process.pid)
        now = recorded(out)
        assert now[: len(before)] == before
        assert len(set(now)) == len(now)
        before = now
    assert len(before) > 0, "two lines of progress were seen, the second of a run that is recorded"
    assert result_of(films, out) == result_of(films, tmp_path / "whole")
    assert recorded(out)[: len(before)] == before
    assert len(recorded(out)) == RUNS


ENDINGS = {
    "while workers start": (1, signal.SIGINT, 130, "interrupted"),
    "between runs": (2, signal.SIGINT, 130, "interrupted"),
    "as a batch system does": (2, signal.SIGTERM, 143, "ended by SIGTERM"),
    "as a terminal that is closed": (1, signal.SIGHUP, 129, "ended by SIGHUP"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("lines", "number", "status", "said"), ENDINGS.values(), ids=ENDINGS)
def test_a_signal_to_all_ends_cleanly_with_a_usable_ledger(films, tmp_path, lines, number, status, said):
    with started(films, tmp_path, "--seeds", "0-199") as process:  # more than it can make meanwhile
        seen = wait_for_lines(process, lines)
        assert re.match(rf"\[{lines - 1}/600\] ", seen[-1])
        os.killpg(process.pid, number)  # to the command and its workers
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out) == (status, "")
        assert err.endswith(f"dither: {said}; finished runs are kept, the same command goes on from there\n")
        assert "Traceback" not in err
        wait_until_gone(process.pid)
    assert lines - 1 <= len(recorded(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.sqlite"]
