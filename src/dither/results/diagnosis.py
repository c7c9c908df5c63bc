"""What went wrong with the database file, said so that its owner knows what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dither.results.errors import LedgerDiskError, LedgerError, kind_of

_NO_ACCESS = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)


@contextmanager
def explained(path: Path, action: str) -> Iterator[None]:
    """Turn SQLite's and the system's errors inside the block into a `LedgerError` that names `path`.

    What the disk is to blame for is a `LedgerDiskError`.

    Args:
        path: the database.
        action: what was being done to it, as a past participle: "opened", "written".
    """
    try:
        yield
    except sqlite3.Error as error:
        kind = LedgerDiskError if primary_code(error) in _DISK else LedgerError
        raise kind(_explanation(path, action, error)) from error
    except MemoryError as error:  # a damaged length asks for gigabytes
        raise LedgerError(damaged(path, "a row claims more than the memory holds")) from error
    except UnicodeDecodeError as error:
        raise LedgerError(damaged(path, f"a text is no UTF-8: {error.reason}")) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise kind_of(error)(
            f"{path} cannot be {action} ({reason}). Check the permissions, the folder and the disk."
        ) from error


def damaged(path: Path, detail: str) -> str:
    """Return the message that the ledger at `path` is damaged: `detail` and the next step."""
    return (
        f"{path} is damaged or was changed by another program ({detail}). Bring back a copy from a backup; "
        f"or keep it, see what `sqlite3 {path.name} .recover` saves, and run again with another --out."
    )


def foreign(path: Path, reason: str) -> str:
    """Return the message that the file at `path` is no ledger: `reason` and the next step."""
    return (
        f"{path} is not a ledger of dither: {reason}. Choose another folder, or move that file away if "
        "nothing else needs it there."
    )


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code of `error`."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def wants_copy(error: sqlite3.Error) -> bool:
    """Tell whether `error` means that SQLite could not make or recover the files beside the database here."""
    return primary_code(error) in (*_NO_ACCESS, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL)


def _explanation(path: Path, action: str, error: sqlite3.Error) -> str:
    code, says = primary_code(error), str(error)
    if code == sqlite3.SQLITE_FULL:
        return (
            f"{path} cannot be {action}: the disk is full. What was recorded before is safe. Free some space "
            "and run the same command again."
        )
    if code in _NO_ACCESS:
        return (
            f"{path} cannot be {action} ({says}). Check the permissions of the file and its folder, or "
            "choose another --out."
        )
    if code in _LOCKED:
        return f"{path} cannot be {action}: another program keeps it locked ({says}). Try later."
    if code == sqlite3.SQLITE_IOERR:
        return (
            f"{path} cannot be {action}: the disk failed or is full ({says}). What was recorded before is "
            "safe. Check the disk and run the same command again."
        )
    if code == sqlite3.SQLITE_NOTADB:
        return foreign(path, "it is no SQLite database")
    return damaged(path, f"SQLite says: {says}")
