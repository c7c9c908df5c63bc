"""The SQLite file under the ledger: made whole, opened for one writer or for any reader."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from dither.results.diagnosis import damaged, explained, foreign, primary_code
from dither.results.errors import LedgerError

APPLICATION_ID = 0x64746872  # "dthr", so that a foreign SQLite file is known as one
SCHEMA_VERSION = 1
_BUSY_SECONDS = 10.0
_LEAVE_SECONDS = 5.0
_BESIDE = ("-wal", "-shm", "-journal")

# Small columns stand before the body: a scan of the index then never walks a body's overflow pages.
_SCHEMA = (
    "CREATE TABLE journal (n INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, "
    "body_sha256 TEXT NOT NULL, attachment_sha256 TEXT NOT NULL, body TEXT NOT NULL, UNIQUE (kind, key))",
    "CREATE TABLE attachments (n INTEGER PRIMARY KEY REFERENCES journal (n), data BLOB NOT NULL)",
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), n INTEGER NOT NULL, chain TEXT NOT NULL)",
    # For people with another SQLite tool; the library itself reads the journal and checks its checksums.
    "CREATE VIEW runs AS SELECT key AS id, json_extract(body, '$.spec.task') AS task, "
    "json_extract(body, '$.spec.method') AS method, json_extract(body, '$.spec.seed') AS seed, "
    "json_extract(body, '$.status') AS status, json_extract(body, '$.score') AS score, "
    "json_extract(body, '$.seconds') AS seconds FROM journal WHERE kind = 'run'",
)


def create(path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
    """Make the database beside `path`, let `fill` write into it, and rename it to `path` when it is whole.

    Args:
        path: where the database is to appear; nothing is there yet, and the caller holds the writer's lock.
        fill: writes the first content, in its own transaction.

    Raises:
        LedgerError: the disk is full or the folder cannot be written; nothing is left at `path`.
    """
    draft = path.with_name(f"{path.name}.new")
    with explained(path, "made"):
        try:
            _remove(draft)  # of a writer that was killed while it made one
            with closing(_connect(draft, "rwc")) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
                for statement in _SCHEMA:
                    connection.execute(statement)
                fill(connection)
            os.rename(draft, path)
            _flush_folder(path.parent)
        finally:
            _remove(draft)


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open the database at `path` for the writer, after a check of its identity and its structure.

    Raises:
        LedgerError: it is no ledger, of another schema version, damaged, or not writable.
    """
    _check_file(path)
    with explained(path, "opened for writing"):
        connection = _connect(path, "rw")
        try:
            _check_identity(connection, path)
            connection.execute("BEGIN IMMEDIATE")  # SQLite opens an unwritable file without a word
            connection.execute("ROLLBACK")
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                raise LedgerError(damaged(path, f"SQLite says: {found}"))
        except BaseException:
            connection.close()
            raise
    return connection


def enter_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Switch to write-ahead logging: readers go on while the writer writes, and a commit is one append."""
    with explained(path, "opened for writing"):
        # Where the file system has no shared memory SQLite stays with its rollback journal: safe as well.
        connection.execute("PRAGMA journal_mode = WAL")
        # Runs take seconds to hours: an fsync per recorded run is cheap, and a power cut loses none.
        connection.execute("PRAGMA synchronous = FULL")


def leave_wal(connection: sqlite3.Connection) -> str | None:
    """Move everything into the one database file and remove the files beside it.

    Returns:
        None, or why it could not be done now; nothing is lost then, the next writer does it.
    """
    deadline = time.monotonic() + _LEAVE_SECONDS
    while True:
        try:
            if connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0] == "delete":
                return None
            reason = "it is being read"
        except sqlite3.Error as error:
            reason = str(error)
            if primary_code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                return reason
        if time.monotonic() > deadline:
            return reason
        time.sleep(0.02)  # SQLite's own busy handler does not wait for this lock


def open_for_reading(path: Path, *, copy: Path | None = None) -> sqlite3.Connection:
    """Open the database for reading: it and its folder may be read-only, a writer may be active.

    Args:
        path: the database.
        copy: a copy of it, made by `copied`, to open in its place.

    Raises:
        LedgerError: it is no ledger or of another schema version.
        sqlite3.Error: SQLite cannot read it; see `diagnosis.wants_copy`.
    """
    _check_file(path)
    connection = _connect(copy or path, "ro")
    try:
        _check_identity(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def copied(path: Path) -> Path:
    """Copy the database and what a killed writer left beside it, and recover the copy.

    Returns:
        The path of the copy, alone in a new temporary folder, which the caller removes.

    Raises:
        LedgerError: a file cannot be read or copied, or keeps changing.
    """
    copy = Path(tempfile.mkdtemp(prefix="dither-ledger-")) / path.name
    try:
        with explained(path, "read"):
            for _ in range(10):
                before = _stamps(path)
                for suffix in before:
                    shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
                if _stamps(path) == before:
                    with closing(_connect(copy, "rw")) as connection:  # recovers it
                        leave_wal(connection)
                    return copy
                _remove(copy)
                time.sleep(0.05)
        raise LedgerError(f"{path} changes faster than it can be copied. Try again when its writer is done.")
    except BaseException:
        shutil.rmtree(copy.parent, ignore_errors=True)
        raise


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,  # the ledger has a lock of its own
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _check_file(path: Path) -> None:
    try:
        size = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError) as error:
        reason = "it is a file" if path.parent.is_file() else f"no {path.name}"
        raise LedgerError(
            f"There is no ledger in {path.parent} ({reason}). Give the folder that --out named when "
            "the runs were made."
        ) from error
    except OSError as error:
        raise LedgerError(
            f"{path} cannot be read ({error.strerror}). Check the permissions of {path.parent}."
        ) from error
    if not path.is_file():
        raise LedgerError(foreign(path, "it is no regular file"))
    if size == 0:
        raise LedgerError(foreign(path, "it is an empty file"))


def _check_identity(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise LedgerError(foreign(path, "it is a SQLite database of another program"))
    if version != SCHEMA_VERSION:
        newer = version > SCHEMA_VERSION
        raise LedgerError(
            f"{path} was written by {'a newer' if newer else 'an older'} version of dither (its schema is "
            f"{version}, this one's is {SCHEMA_VERSION}). "
            f"{'Upgrade dither' if newer else 'Use that version to read it'}, or choose another folder."
        )
    with closing(sqlite3.connect(":memory:")) as model:
        for statement in _SCHEMA:
            model.execute(statement)
        wanted = _objects(model)
    if not wanted <= _objects(connection):
        raise LedgerError(damaged(path, "its tables are not a ledger's"))


def _objects(connection: sqlite3.Connection) -> set[tuple[object, ...]]:
    return set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def _stamps(path: Path) -> dict[str, tuple[int, int]]:
    stamps = {}
    for suffix in ("", "-wal", "-journal"):  # the shared memory is made anew from the write-ahead log
        try:
            status = os.stat(f"{path}{suffix}")
        except FileNotFoundError:
            continue
        stamps[suffix] = (status.st_mtime_ns, status.st_size)
    return stamps


def _remove(path: Path) -> None:
    for suffix in ("", *_BESIDE):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)  # makes the rename survive a power cut
    finally:
        os.close(descriptor)
