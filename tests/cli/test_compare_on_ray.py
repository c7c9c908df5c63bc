"""`dither compare --executor ray` with its own Ray: nothing is left behind, mistakes are told at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from dither.results import Ledger

PATIENCE = 120  # seconds for what takes one or two when the machine is idle
OPTIONS = ("--methods", "none,noisytune", "--seeds", "0-199", "--jobs", "1", "--json")  # without end


@pytest.fixture
def surroundings() -> Iterator[dict[str, str]]:
    """An environment with a home of its own, where Ray keeps a token, and a short path for its sockets."""
    folder = tempfile.mkdtemp(prefix="d-", dir="/tmp")
    (Path(folder) / "home").mkdir()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    yield {**kept, "TMPDIR": folder, "HOME": f"{folder}/home"}
    shutil.rmtree(folder)


def living(surroundings: dict[str, str]) -> list[psutil.Process]:
    """The processes that were started in these surroundings, by whomever."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == surroundings["TMPDIR"]:
                found.append(process)
        except psutil.Error:  # of somebody else, or gone
            continue
    return found


def started(films, out: Path, surroundings: dict[str, str]) -> subprocess.Popen[str]:
    task, encoder = films
    command = [
        sys.executable,
        "-m",
        "dither",
        "compare",
        str(task),
        "--model",
        str(encoder),
        "--out",
        str(out),
    ]
    return subprocess.Popen(
        [*command, *OPTIONS, "--executor", "ray"],
        env=surroundings,
        start_new_session=True,
        # A shell that runs tests in the background has them ignore Ctrl-C, and children inherit that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_interrupt_leaves_nothing_but_the_ledger(films, tmp_path, surroundings):
    with started(films, tmp_path, surroundings) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("measuring the functional dose")
        assert [process.stderr.readline()[:6] for _ in range(2)] == ["[0/400", "[1/400"]
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("dither: interrupted; finished runs are kept, the same command goes on from there\n")
    deadline = time.monotonic() + PATIENCE
    while left := living(surroundings):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert [path.name for path in Path(surroundings["TMPDIR"]).iterdir()] == ["home"]
    with Ledger.read(tmp_path) as ledger:
        assert len(ledger) >= 1


@pytest.mark.parametrize(("option", "value"), [("--address", "auto"), ("--gpus-per-run", "0.5")])
def test_an_option_of_ray_without_ray(dither, films, tmp_path, option, value):
    task, encoder = films
    command = ["compare", task, "--model", encoder, "--out", tmp_path / "out", option, value]
    status, _, err = dither(*command)
    assert (status, err) == (
        2,
        f"dither: {option} {value} is for --executor ray: add that, or leave {option} out\n",
    )


def test_a_mistake_about_ray_is_told_before_anything_is_written(dither, films, tmp_path):
    task, encoder = films
    command = ["compare", task, "--model", encoder, "--out", tmp_path / "out", "--executor", "ray"]
    assert dither(*command, "--address", "nowhere")[0] == 2
    status, _, err = dither(*command, "--address", "127.0.0.1:1")
    assert status == 1
    assert err.startswith("dither: nobody answers at --address 127.0.0.1:1 (")
    assert not (tmp_path / "out").exists()
