"""How a ledger reaches its file: the one `Writer`, or any number of `Reader`s."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from dither.results import database
from dither.results.diagnosis import explained, wants_copy
from dither.results.errors import LedgerError, kind_of
from dither.results.journal import Journal
from dither.results.lock import WriterLock

FILE_NAME = "ledger.sqlite"


def make_folder(folder: Path) -> None:
    """Make an output folder if it is not there.

    Raises:
        LedgerError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise kind_of(error)(
            f"The folder {folder} cannot be made ({error.strerror}). Choose another --out."
        ) from error


class Reader:
    """Reads a ledger; each session opens the file anew, so that a writer can close it at any time.

    Where SQLite cannot read in place (a killed writer left its log in a folder that is read-only now), a copy
    in a temporary folder is recovered and read: the state at that moment.

    Args:
        folder: the output folder.

    Raises:
        LedgerError: there is no readable ledger.
    """

    writable = False

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._copy: Path | None = None
        self._tidy: Callable[[], object] | None = None
        with self.session() as journal:
            journal.entries()

    @contextmanager
    def session(self) -> Iterator[Journal]:
        """Open the journal as it is now."""
        with explained(self.path, "read"), closing(self._open()) as connection:
            yield Journal(connection, self.path)

    def close(self) -> None:
        """Remove the temporary copy, if there is one."""
        if self._tidy is not None:
            self._tidy()
        self._copy, self._tidy = None, None

    def _open(self) -> sqlite3.Connection:
        if self._copy is None:
            try:
                return database.open_for_reading(self.path)
            except sqlite3.Error as error:
                if not wants_copy(error):
                    raise
            self._copy = database.copied(self.path)
            self._tidy = weakref.finalize(self, shutil.rmtree, self._copy.parent, ignore_errors=True)
        return database.open_for_reading(self.path, copy=self._copy)


class Writer:
    """Writes a ledger, alone; made and closed in one process, usable from all its threads.

    Args:
        folder: the output folder; it exists.
        fill: writes the first entries of a new ledger; None if there must be one already.

    Raises:
        LedgerError: another writer is there, or the ledger is missing, damaged or not writable.
    """

    writable = True

    def __init__(self, folder: Path, fill: Callable[[Journal], None] | None) -> None:
        self.path = folder / FILE_NAME
        self._mutex = threading.RLock()
        self._process = os.getpid()
        self._open = False
        self._lock = WriterLock(folder / f"{FILE_NAME}.lock")
        try:
            if fill is not None and not os.path.lexists(self.path):
                database.create(self.path, lambda connection: fill(Journal(connection, self.path)))
            self._connection = database.open_for_writing(self.path)
        except BaseException:
            self._lock.release()
            raise
        self._open = True
        self._journal = Journal(self._connection, self.path)

    def enter_wal(self) -> None:
        """Switch to write-ahead logging; before this, nothing but a recovery has touched the file."""
        database.enter_wal(self._connection, self.path)

    @contextmanager
    def session(self) -> Iterator[Journal]:
        """Have the journal to oneself, among the threads."""
        with self._mutex:
            if not self._open:
                raise LedgerError(f"{self.path} is closed. Open it again to go on.")
            if os.getpid() != self._process:
                raise LedgerError(
                    f"{self.path} was opened for writing by process {self._process}, and this is its child "
                    f"{os.getpid()}. Hand the result to the parent and let it write."
                )
            yield self._journal

    def close(self) -> None:
        """Leave one file and no lock; warn if the log must stay for now. Nothing happens the second time."""
        with self._mutex:
            if not self._open or os.getpid() != self._process:
                return  # in a forked child: the ledger is the parent's
            self._open = False
            try:
                left = database.leave_wal(self._connection)
                self._connection.close()
            finally:
                self._lock.release()
        if left is not None and os.path.exists(f"{self.path}-wal"):
            warnings.warn(
                f"{self.path} keeps its log {self.path.name}-wal beside it for now ({left}). Every run "
                "is safe; keep the two together: the next command that writes there merges them.",
                stacklevel=2,
            )
