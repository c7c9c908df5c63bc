"""Runs in processes: results as they come, errors and deaths by name, nobody left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_encoder import requests_of, save_encoder, write_task

from dither.bench.executors import RunError
from dither.bench.executors.processes import run_in_processes


@pytest.fixture(scope="module")
def requests(tmp_path_factory):
    folder = tmp_path_factory.mktemp("executors")
    task, encoder = write_task(folder / "task"), save_encoder(folder / "encoder")
    return requests_of(task, encoder, methods=("none", "noisytune"), seeds=(0, 1))


OTHERS: set[int] = set()


@pytest.fixture(scope="module", autouse=True)
def others() -> None:
    """Processes that other modules' tests keep are none of ours."""
    OTHERS.update(children())


def children() -> set[int]:
    """The living processes below this one that these tests started, however deep."""
    parents = {}
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, NotADirectoryError):
            continue
        if entry.name.isdigit() and fields[0] != "Z":
            parents[int(entry.name)] = int(fields[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid for pid in found - OTHERS - {os.getpid()} if b"spawn_main" in read(pid, "cmdline")}


def read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def kill_next_child() -> None:
    """As the kernel does when memory runs out: once a process loads torch, which takes a while."""
    while not (found := [pid for pid in children() if b"libtorch" in read(pid, "maps")]):
        time.sleep(0.01)
    for pid in found:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_out_of_range(jobs):
    with pytest.raises(ValueError, match=f"--jobs is {jobs}; it must be at least 1"):
        next(run_in_processes([], jobs))


def test_no_requests_start_no_process():
    assert list(run_in_processes([], 2)) == []
    assert children() == set()


def test_results_before_an_error_are_kept_and_the_run_is_named(requests):
    bad = replace(requests["none", 1], spec=replace(requests["none", 1].spec, data_digest="other"))
    results = run_in_processes([requests["none", 0], bad, requests["noisytune", 1]], 1)
    assert next(results).spec.seed == 0
    message = r"run \(mine/films, none, seed 1\) failed with ValueError: the data of .* changed.*goes on"
    with pytest.raises(RunError, match=message) as raised:
        next(results)
    assert "in encode" in "".join(str(note) for note in chain_of(raised.value))
    assert children() == set()


def chain_of(error: BaseException | None):
    while error is not None:
        yield error
        error = error.__cause__


def test_a_killed_process_is_named(requests):
    threading.Thread(target=kill_next_child).start()
    with pytest.raises(RunError, match=r"the process of run \(mine/films, none, seed 0\) died, .* --jobs"):
        list(run_in_processes([requests["none", 0], requests["none", 1]], 1))
    assert children() == set()


def test_closing_ends_the_processes(requests):
    results = run_in_processes([requests["none", 0]] * 3, 1)
    next(results)
    assert len(children()) == 1
    results.close()
    assert children() == set()
