import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from results_samples import NOBODY, experiment, files, in_child, result, spec

from dither.results import Ledger, LedgerError
from dither.results.journal import Journal

RUNS = 300
PLAN = experiment(seeds=tuple(range(RUNS)))
SCRIPT = Path(__file__).with_name("ledger_writer.py")


def start(folder):
    command = [sys.executable, str(SCRIPT), str(folder), str(RUNS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill_after(child, count, seconds):
    """Kill a child after lines and a moment, however far it is then; return the ids that it acknowledged."""
    lines = [child.stdout.readline() for _ in range(count)]
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.read().splitlines()
    child.stdout.close()
    child.wait()
    return [line.strip() for line in lines if len(line.strip()) == 32]


def check(folder, acknowledged):
    """The ledger is readable; what was acknowledged is there, once and whole."""
    runs = list(Ledger.read(folder).results(predictions=True)) if "ledger.sqlite" in files(folder) else []
    ids = [run.id for run in runs]
    assert len(set(ids)) == len(ids)
    assert set(acknowledged) <= set(ids)
    assert runs == [result(run.spec, rows=2000) for run in runs]
    return len(ids)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_killed_at_random_moments_and_resumed(tmp_path, seed):
    rng = random.Random(seed)
    acknowledged: list[str] = []
    counts = []
    for attempt in range(8):
        count = rng.randint(1, 9) if attempt % 4 else 0  # one in four is killed while it starts
        child = start(tmp_path)
        acknowledged += kill_after(child, count, rng.uniform(0, 0.005 if count else 0.15))
        counts.append(check(tmp_path, acknowledged))
    assert counts == sorted(counts)
    assert counts[-1] > 0, "lines were seen, each of a run that is recorded"
    with start(tmp_path) as child:
        acknowledged += child.stdout.read().split()
    assert child.returncode == 0
    assert check(tmp_path, acknowledged) == RUNS
    assert files(tmp_path) == ["ledger.sqlite"]


def add_and_die(folder, runs):
    def work():
        ledger = Ledger.create_or_resume(folder, experiment())
        for seed in range(runs):
            ledger.add(result(spec(seed)))
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(AssertionError):
        in_child(work)


def test_a_killed_writer_blocks_nobody(tmp_path):
    add_and_die(tmp_path, 3)
    assert {"ledger.sqlite-wal", "ledger.sqlite.lock"} <= set(files(tmp_path))
    with Ledger.create_or_resume(tmp_path, experiment()) as ledger:
        assert len(ledger) == 3
    assert files(tmp_path) == ["ledger.sqlite"]


@pytest.mark.parametrize("lost", [[], ["-shm"]], ids=["as left", "after a restart"])
def test_runs_of_a_killed_writer_are_read_in_a_read_only_folder(open_folder, lost):
    add_and_die(open_folder, 3)
    for suffix in lost:
        (open_folder / f"ledger.sqlite{suffix}").unlink()
    for path in open_folder.iterdir():
        path.chmod(0o444)
    copies = open_folder / "copies"
    copies.mkdir()
    copies.chmod(0o777)
    left = files(open_folder)
    open_folder.chmod(0o555)

    def work():
        tempfile.tempdir = str(copies)
        with Ledger.read(open_folder) as ledger:
            return str([run.score for run in ledger.results(predictions=True)])

    assert in_child(work, user=NOBODY) == str([80.0 + seed / 7 for seed in range(3)])
    assert files(open_folder) == left
    assert files(copies) == [], "the copy that was read must go"


def test_a_writer_killed_while_it_makes_the_ledger_leaves_none(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("dither.results.plans.begin", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        with pytest.raises(AssertionError):
            in_child(lambda: str(Ledger.create_or_resume(tmp_path, experiment())))
    assert "ledger.sqlite.new" in files(tmp_path)
    with pytest.raises(LedgerError, match="There is no ledger"):
        Ledger.read(tmp_path)
    Ledger.create_or_resume(tmp_path, experiment()).close()
    assert files(tmp_path) == ["ledger.sqlite"]


@pytest.mark.parametrize("moment", ["_insert", "_index"])
def test_an_interrupted_add_is_undone(tmp_path, monkeypatch, moment):
    real = getattr(Journal, moment)

    def interrupted(journal, *arguments):
        found = real(journal, *arguments)
        if journal._connection.in_transaction:
            raise KeyboardInterrupt
        return found

    with Ledger.create_or_resume(tmp_path, experiment()) as ledger:
        ledger.add(result(spec(0)))
        with monkeypatch.context() as patch:
            patch.setattr(Journal, moment, interrupted)
            with pytest.raises(KeyboardInterrupt):
                ledger.add(result(spec(1)))
        assert ledger.finished_ids() == [spec(0).id]
        ledger.add(result(spec(1)))
    assert len(Ledger.read(tmp_path)) == 2


@pytest.mark.parametrize("cut", ["-journal", ".new", ".new-journal"])
def test_leftovers_of_a_killed_creation_do_not_matter(tmp_path, cut):
    (tmp_path / f"ledger.sqlite{cut}").write_bytes(b"\0" * 700)
    with Ledger.create_or_resume(tmp_path, experiment()) as ledger:
        ledger.add(result())
    assert files(tmp_path) == ["ledger.sqlite"]
    assert len(Ledger.read(tmp_path)) == 1


def test_a_hot_journal_is_rolled_back_for_a_reader_who_may_not_write(open_folder):
    """A writer killed while it switches the journal's mode leaves a rollback journal."""
    Ledger.create_or_resume(open_folder, experiment()).close()
    whole = (open_folder / "ledger.sqlite").read_bytes()

    def work():
        import sqlite3

        connection = sqlite3.connect(open_folder / "ledger.sqlite", isolation_level=None)
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("PRAGMA cache_spill = 1")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE journal SET key = 'x'")
        for n in range(2, 200):
            connection.execute("INSERT INTO attachments VALUES (?, ?)", (n, b"x" * 9000))
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(AssertionError):
        in_child(work)
    assert (open_folder / "ledger.sqlite-journal").stat().st_size > 0
    assert (open_folder / "ledger.sqlite").read_bytes() != whole
    for path in open_folder.iterdir():
        path.chmod(0o444)
    open_folder.chmod(0o555)
    assert in_child(lambda: str(len(Ledger.read(open_folder))), user=NOBODY) == "0"
