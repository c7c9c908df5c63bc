import os
import random
import shutil

import pytest
from results_samples import closed_ledger, experiment, files, in_child, result, spec, sql

from dither.results import Ledger, LedgerError


def write_foreign(path):
    sql(path, "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)")


NO_LEDGER = {
    "another database": (
        write_foreign,
        "is not a ledger of dither: it is a SQLite database of another program",
    ),
    "text": (
        lambda path: path.write_text("hello " * 500),
        "is not a ledger of dither: it is no SQLite database",
    ),
    "empty": (lambda path: path.touch(), "is not a ledger of dither: it is an empty file"),
    "a folder": (lambda path: path.mkdir(), "is not a ledger of dither: it is no regular file"),
}


@pytest.mark.parametrize("what", NO_LEDGER)
def test_what_is_no_ledger_is_refused_and_left_alone(tmp_path, what):
    path = tmp_path / "ledger.sqlite"
    make, message = NO_LEDGER[what]
    make(path)
    before = None if path.is_dir() else path.read_bytes()
    for open_ledger in (
        Ledger.read,
        Ledger.resume,
        lambda folder: Ledger.create_or_resume(folder, experiment()),
    ):
        with pytest.raises(LedgerError) as caught:
            open_ledger(tmp_path)
        assert str(caught.value).startswith(f"{path} {message}. Choose another folder")
    assert files(tmp_path) == ["ledger.sqlite"]
    assert path.is_dir() or path.read_bytes() == before


@pytest.mark.parametrize(
    ("version", "message"), [(2, "a newer version .*Upgrade"), (0, "an older version .*Use")]
)
def test_other_schema_versions_are_refused(tmp_path, version, message):
    path = closed_ledger(tmp_path)
    sql(path, f"PRAGMA user_version = {version}")
    for open_ledger in (Ledger.read, Ledger.resume):
        with pytest.raises(LedgerError, match=f"{message}.*another folder"):
            open_ledger(tmp_path)


MEDDLING = [
    "UPDATE journal SET body = replace(body, '80.0', '90.0') WHERE n = 2",
    "UPDATE journal SET key = 'x' WHERE n = 2",
    "DELETE FROM journal WHERE n = 3",
    "DELETE FROM journal WHERE n = 2",
    "UPDATE head SET n = 2",
    "UPDATE head SET chain = 'x'",
    "DELETE FROM head",
    "INSERT INTO journal SELECT 4, kind, 'y', body_sha256, attachment_sha256, body FROM journal WHERE n = 3",
    "DELETE FROM attachments WHERE n = 2",
    "UPDATE attachments SET data = x'00' WHERE n = 2",
    "UPDATE attachments SET data = (SELECT data FROM attachments WHERE n = 3) WHERE n = 2",
    "UPDATE journal SET body = x'ff' WHERE n = 2",
    "DROP TABLE attachments",
    "DROP VIEW runs",
]


@pytest.mark.parametrize("statement", MEDDLING)
def test_changes_by_other_programs_are_found(tmp_path, statement):
    sql(closed_ledger(tmp_path), statement)
    with pytest.raises(LedgerError, match=r"ledger.sqlite is damaged or was changed .*backup.*another --out"):
        list(Ledger.read(tmp_path).results(predictions=True))
    with pytest.raises(LedgerError, match=r"is damaged or was changed"):
        Ledger.create_or_resume(tmp_path, experiment())
    assert files(tmp_path) == ["ledger.sqlite"]


def read_all(folder):
    ledger = Ledger.read(folder)
    return list(ledger.results(predictions=True)), ledger.experiment, ledger.looks, ledger.extensions


def write_more(folder):
    with Ledger.create_or_resume(folder, experiment()) as ledger:
        ledger.add(result(spec(8)))


def damage(path, rng, whole):
    data = bytearray(whole)
    for _ in range(rng.choice([1, 1, 4, 64])):
        # Half of the flips go where pages and cells are described.
        page = 4096 * rng.randrange(len(data) // 4096)
        at = page + rng.randrange(100) if rng.random() < 0.5 else rng.randrange(len(data))
        data[at] ^= rng.randrange(1, 256)
    path.write_bytes(data)


@pytest.mark.parametrize("part", range(4))
def test_flipped_bytes_give_our_error_or_the_right_data(tmp_path, part):
    path = closed_ledger(tmp_path, runs=6)
    with Ledger.resume(tmp_path) as ledger:
        ledger.record_look()
    truth, whole = read_all(tmp_path), path.read_bytes()
    messages = []
    for trial in range(50):
        damage(path, random.Random(1000 * part + trial), whole)
        try:
            assert read_all(tmp_path) == truth
        except LedgerError as error:
            messages.append(str(error))
        try:
            write_more(tmp_path)
            assert read_all(tmp_path)[0] == [*truth[0], result(spec(8))]
        except LedgerError:
            pass
        for name in files(tmp_path):
            os.unlink(tmp_path / name)
    assert len(messages) > 15, "the damage did not reach the data"
    assert [message for message in messages if str(path) not in message] == []


def test_truncated_files_are_refused(tmp_path):
    path = closed_ledger(tmp_path, runs=6)
    whole = path.read_bytes()
    rng = random.Random(5)
    for size in [1, 15, 16, 99, 100, 512, 4095, 4096, *(rng.randrange(4096, len(whole)) for _ in range(20))]:
        path.write_bytes(whole[:size])
        with pytest.raises(LedgerError, match=r"ledger\.sqlite"):
            read_all(tmp_path)
        with pytest.raises(LedgerError, match=r"ledger\.sqlite"):
            write_more(tmp_path)


def test_a_damaged_log_leaves_only_right_runs(tmp_path):
    """Flips in the log of a killed writer: SQLite drops what follows; the runs that are left are right."""
    source = tmp_path / "live"
    with Ledger.create_or_resume(source, experiment()) as ledger:
        for seed in range(3):
            ledger.add(result(spec(seed)))
        # By a child: closing the file here would drop the locks of the writer in this process.
        in_child(lambda: str(shutil.copytree(source, tmp_path / "killed")))
    log = tmp_path / "killed" / "ledger.sqlite-wal"
    data = bytearray(log.read_bytes())
    data[len(data) * 2 // 3] ^= 1
    log.write_bytes(data)
    left = list(Ledger.read(tmp_path / "killed").results(predictions=True))
    assert left == [result(spec(seed)) for seed in range(len(left))]
    assert len(left) < 3
