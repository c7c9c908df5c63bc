"""The lock that admits one writer to a ledger.

It is an ``flock`` on a file of its own: it dies with its process, so a killed writer blocks nobody, and no
descriptor of the database is touched (closing one would drop SQLite's own POSIX locks).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import weakref
from pathlib import Path

from dither.results.errors import LedgerBusyError, LedgerError, kind_of

_LIVE: weakref.WeakSet[WriterLock] = weakref.WeakSet()


class WriterLock:
    """The right to write one ledger, held until `release` or the end of the process.

    A forked child does not share it: if the parent is killed, its children do not keep the lock alive.

    Args:
        path: the lock file; it exists while the lock is held.

    Raises:
        LedgerBusyError: another writer has it (named by pid and host).
        LedgerError: the file cannot be made or locked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = _locked_file(path)
        _LIVE.add(self)
        holder = json.dumps({"pid": os.getpid(), "host": os.uname().nodename}).encode()
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, holder, 0)
        except OSError as error:
            self.release()
            raise kind_of(error)(f"{path} cannot be written ({error.strerror}). Free some space.") from error

    def release(self) -> None:
        """Remove the lock file and give the lock back; nothing happens the second time."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            # Removed while still locked: who opened it meanwhile sees that the path leads elsewhere.
            os.unlink(self._path)
        except OSError:
            pass  # the folder went away or became read-only; an unlocked file blocks nobody
        finally:
            os.close(descriptor)

    def _forget(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)  # the parent's copy of the descriptor keeps the lock
            self._descriptor = -1


def _forget_all() -> None:
    for lock in list(_LIVE):
        lock._forget()


os.register_at_fork(after_in_child=_forget_all)


def _locked_file(path: Path) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise kind_of(error)(_unwritable(path, error)) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if leads_to(path, descriptor):
                return descriptor
        except BlockingIOError as error:
            message = _taken(path, descriptor)
            os.close(descriptor)
            raise LedgerBusyError(message) from error
        except OSError as error:
            os.close(descriptor)
            raise LedgerError(
                f"{path} cannot be locked ({error.strerror}). Choose another --out, on a local disk."
            ) from error
        os.close(descriptor)  # the holder removed it between our open and our lock: try the new one


def leads_to(path: Path, descriptor: int) -> bool:
    """Whether a path is still that of an open file: it may have been removed before the file was locked."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _taken(path: Path, descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        who = f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"  # it is just writing its name, or just leaving
    return (
        f"{path.parent} is being written by {who}. A ledger has one writer: wait for it or stop it, "
        "or choose another --out. Reading is possible meanwhile (`dither report`)."
    )


def _unwritable(path: Path, error: OSError) -> str:
    folder = path.parent
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return (
            f"{folder} cannot be written ({error.strerror}). Choose another --out, or change the "
            "permissions; `dither report` can read it as it is."
        )
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{folder} has no space left ({error.strerror}). Free some and run the same command again."
    return f"{path} cannot be opened ({error.strerror}). Choose another --out."
