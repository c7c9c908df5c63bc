"""kill -9 at any moment: the source is as it was, the target whole or not there, and the next run works."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stored_files import normal, save

from dither.checkpoint import verify_checkpoint

KILLS = 20

# Forks a child for each number on its input. The child noises, and kills itself at the event of that number:
# events are the blocks, and what is done to the disk, before and after. Number 0 lets it live and counts, and
# number -1 ends it when the target has its name.
ZYGOTE = """
import os, signal, sys, threading, dither
from dither.checkpoint import new_file, perturb_checkpoint

source, target = sys.argv[1:]
passed, end, counting = 0, 0, threading.Lock()

def tick(*_):
    global passed
    with counting:  # several threads do the work
        passed += 1
        if passed == end:
            os.kill(os.getpid(), signal.SIGKILL)

def watched(function):
    def call(*arguments, **options):
        tick()
        try:
            return function(*arguments, **options)
        finally:
            tick()
            if end < 0 and os.path.exists(target):
                os.kill(os.getpid(), signal.SIGKILL)
    return call

def noise():
    for name in ("mkdir", "open", "write", "fdatasync", "fsync", "rename"):
        setattr(os, name, watched(getattr(os, name)))
    new_file.PIECE, new_file._SENT = 1 << 14, 1 << 16
    perturb_checkpoint(source, target, dither.NoisyTune(seed=1), names="file", block=16384, progress=tick)

for line in sys.stdin:
    end = int(line)
    child = os.fork()
    if child == 0:
        noise()
        print("lived", passed, flush=True)
        os._exit(0)
    if os.WIFSIGNALED(os.waitpid(child, 0)[1]):
        print("killed", flush=True)
"""

Runs = Callable[[int], list[str]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two shards, their index, and files beside them."""
    folder = tmp_path / "s"
    folder.mkdir()
    shards = {f"{name}.safetensors": [f"{name}.{at}" for at in range(3)] for name in "ab"}
    for shard, names in shards.items():
        save(folder / shard, {name: normal((200, 100), len(name)) for name in names})
    places = {name: shard for shard, names in shards.items() for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    (folder / "config.json").write_text("{}")
    (folder / "vocab.txt").write_text("a\nb\n")
    return folder


@pytest.fixture
def runs(source: Path) -> Iterator[Runs]:
    """Run once in a fresh process, to be killed at the event of a number; says how it ended."""
    command = [sys.executable, "-c", ZYGOTE, str(source), str(source.with_name("t"))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def run(number: int) -> list[str]:
        print(number, file=stdin, flush=True)
        return stdout.readline().split()

    yield run
    process.communicate()


def bits(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_twenty_kills_lose_nothing_and_publish_nothing_half(source: Path, runs: Runs) -> None:
    target, partial = source.with_name("t"), source.with_name(".t.dither-partial")
    before = bits(source)
    lived, events = runs(0)
    whole, count, dice, ends = bits(target), int(events), random.Random(0), []
    assert lived == "lived"
    assert count > 5 * KILLS
    for number in range(KILLS):
        shutil.rmtree(target, ignore_errors=True)
        moment = 1 + int((number + dice.random()) * count / KILLS)
        assert runs(moment) == ["killed"], f"event {moment} of {count}"
        ends.append((partial.exists(), target.exists()))
        assert bits(source) == before
        assert not target.exists() or bits(target) == whole
        assert {*os.listdir(source.parent)} <= {"s", "t", partial.name}
    assert (True, False) in ends  # in the middle of writing
    assert (False, False) in ends  # while measuring


def test_a_run_after_a_kill_removes_what_it_left(source: Path, runs: Runs) -> None:
    count = int(runs(0)[1])
    target, partial = source.with_name("t"), source.with_name(".t.dither-partial")
    whole = bits(target)
    target.rename(source.with_name("kept"))
    assert runs(2 * count // 3) == ["killed"]
    assert partial.exists()
    assert runs(0)[0] == "lived"
    assert not partial.exists()
    assert bits(target) == whole
    assert verify_checkpoint(source, target).ok


def test_a_kill_after_the_rename_has_published_all(source: Path, runs: Runs) -> None:
    target = source.with_name("t")
    assert runs(0)[0] == "lived"
    whole = bits(target)
    target.rename(source.with_name("kept"))
    assert runs(-1) == ["killed"]  # before the command could say that it is done
    assert bits(target) == whole
