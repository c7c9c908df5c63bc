import fcntl
import os
import signal
import threading

import pytest
from results_samples import NOBODY, experiment, files, fork, in_child, result, spec

from dither.results import Ledger, LedgerError
from dither.results.lock import WriterLock


def test_second_writer_is_refused_at_once_and_told_who_writes(tmp_path):
    with Ledger.create_or_resume(tmp_path, experiment()) as ledger:
        # It is refused while the first one holds the ledger, so it waits for nothing.
        message = in_child(lambda: str(Ledger.create_or_resume(tmp_path, experiment())))
        assert message.startswith(f"LedgerError: {tmp_path} is being written by process {os.getpid()} on ")
        assert os.uname().nodename in message
        assert "wait for it or stop it, or choose another --out" in message
        with pytest.raises(LedgerError, match=f"process {os.getpid()}"):
            Ledger.resume(tmp_path)
        ledger.add(result())  # the refused ones took nothing away
    assert in_child(lambda: str(len(Ledger.resume(tmp_path)))) == "1"


def test_an_unreadable_name_of_the_holder_is_no_obstacle(tmp_path):
    with Ledger.create_or_resume(tmp_path, experiment()):
        (tmp_path / "ledger.sqlite.lock").write_text("")
        with pytest.raises(LedgerError, match="is being written by another process"):
            Ledger.resume(tmp_path)


def test_lock_is_given_back_when_opening_fails(tmp_path):
    Ledger.create_or_resume(tmp_path, experiment()).close()
    for _ in range(2):
        with pytest.raises(LedgerError, match="threads"):
            Ledger.create_or_resume(tmp_path, experiment(threads=2))
    Ledger.create_or_resume(tmp_path, experiment()).close()


def test_a_lock_on_a_removed_file_does_not_count(tmp_path, monkeypatch):
    """The holder may leave, and remove the file, between our open and our lock."""
    path, real, calls = tmp_path / "lock", fcntl.flock, []

    def flock(descriptor, operation):
        if not calls:
            path.unlink()
        calls.append(descriptor)
        real(descriptor, operation)

    monkeypatch.setattr("dither.results.lock.fcntl.flock", flock)
    lock = WriterLock(path)
    with pytest.raises(LedgerError, match="is being written by"):
        WriterLock(path)
    lock.release()
    assert (len(calls), files(tmp_path)) == (3, [])


def test_only_one_of_many_threads_gets_the_lock_at_a_time(tmp_path):
    inside, most = [0], [0]

    def work():
        taken = 0
        while taken < 25:
            try:
                lock = WriterLock(tmp_path / "lock")
            except LedgerError:
                continue
            inside[0] += 1
            taken += 1
            most[0] = max(most[0], inside[0])
            inside[0] -= 1
            lock.release()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most[0], files(tmp_path)) == (1, [])


def test_forked_children_do_not_keep_the_lock_of_a_killed_parent(tmp_path):
    reading, writing = os.pipe()

    parent = fork()
    if parent == 0:
        ledger = Ledger.create_or_resume(tmp_path, experiment())
        ledger.add(result())
        if fork() == 0:
            os.write(writing, str(os.getpid()).encode())
            while True:
                signal.pause()
        while True:
            signal.pause()
    orphan = int(os.read(reading, 20))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    try:
        with Ledger.resume(tmp_path) as ledger:
            assert len(ledger) == 1
    finally:
        os.kill(orphan, signal.SIGKILL)
        os.close(reading)
        os.close(writing)


def test_a_forked_child_may_not_write_and_does_not_close(tmp_path):
    with Ledger.create_or_resume(tmp_path, experiment()) as ledger:

        def work():
            with ledger:
                ledger.add(result())

        assert f"opened for writing by process {os.getpid()}, and this is its child" in in_child(work)
        assert "ledger.sqlite.lock" in files(tmp_path)
        ledger.add(result())
        assert len(ledger) == 1


def test_threads_of_one_process_may_all_add(tmp_path):
    plan = experiment(seeds=tuple(range(40)))
    with Ledger.create_or_resume(tmp_path, plan) as ledger:
        threads = [
            threading.Thread(target=lambda k=k: [ledger.add(result(spec(s))) for s in range(k, 40, 4)])
            for k in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {run.spec.seed for run in ledger.results()} == set(range(40))
    assert len(Ledger.read(tmp_path)) == 40


@pytest.mark.parametrize("user", [None, NOBODY], ids=["same user", "another user"])
def test_readers_see_every_commit_while_the_writer_goes_on(open_folder, user):
    with Ledger.create_or_resume(open_folder, experiment()) as ledger:
        for seed in range(3):
            ledger.add(result(spec(seed)))
            seen = in_child(
                lambda: str([run.spec.seed for run in Ledger.read(open_folder).results()]), user=user
            )
            assert seen == str(list(range(seed + 1)))
    assert files(open_folder) == ["ledger.sqlite"]


def test_a_reader_lives_through_writers(tmp_path):
    with Ledger.create_or_resume(tmp_path, experiment()) as writer:
        reader = Ledger.read(tmp_path)
        writer.add(result(spec(0)))
        runs = reader.results()
        assert next(runs).spec.seed == 0
        assert len(reader) == 1
    assert files(tmp_path) == ["ledger.sqlite"], "an open reader must not keep the log alive"
    with Ledger.resume(tmp_path) as writer:
        writer.add(result(spec(1)))
        assert len(reader) == 2
    assert len(reader) == 2


def test_a_program_that_keeps_reading_makes_the_writer_warn_and_loses_nothing(tmp_path, monkeypatch):
    import sqlite3

    monkeypatch.setattr("dither.results.database._LEAVE_SECONDS", 0.1)
    ledger = Ledger.create_or_resume(tmp_path, experiment())
    ledger.add(result())
    other = sqlite3.connect(ledger.path)
    other.execute("BEGIN")
    other.execute("SELECT * FROM journal").fetchone()
    with pytest.warns(UserWarning, match=r"keeps its log ledger.sqlite-wal beside it for now .*keep the two"):
        ledger.close()
    assert len(Ledger.read(tmp_path)) == 1
    other.close()
    Ledger.resume(tmp_path).close()
    assert files(tmp_path) == ["ledger.sqlite"]
