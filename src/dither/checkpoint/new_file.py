"""A new file, written piece by piece past the system's cache, and on the disk when it is closed."""

import errno
import fcntl
import mmap
import os
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

PIECE = 2 << 20
"""Bytes that go to the disk at once: a multiple of what any disk takes."""

_SENT = 128 << 20  # bytes after which a file in the cache is sent to the disk: little is left to wait for
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_DIRECT = getattr(os, "O_DIRECT", 0)


class NewFile:
    """Takes bytes of any length; a thread writes them while more come.

    Nobody reads here what was written, so it goes to the disk straight from memory (``O_DIRECT``): the cache
    keeps what it holds, and no page has to be found for what is larger than all of it. Where a file system
    does not do so, the file is written as usual, and sent to the disk while more come.

    Args:
        path: must not exist.
        mode: who may read and write it; None for what the user's new files have.

    Raises:
        OSError: it cannot be made; later, it cannot be written.
    """

    def __init__(self, path: Path, mode: int | None = None) -> None:
        self._descriptor = os.open(path, _FLAGS, 0o666 if mode is None else 0o600)
        if mode is not None:
            os.fchmod(self._descriptor, mode)
        self._direct = _DIRECT != 0 and self._takes(_DIRECT)
        # Pages of memory: a direct write has to begin at one. One is filled while the other is written.
        self._filling, self._other = (memoryview(mmap.mmap(-1, PIECE)) for _ in range(2))
        self._filled = self._unsent = 0
        self._writing: Future[None] | None = None
        self._worker = ThreadPoolExecutor(1)

    def __enter__(self) -> "NewFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Bring the rest to the disk, unless something went wrong."""
        try:
            if kind is None:
                self._turn()
                self._finished()
                os.fsync(self._descriptor)
        finally:
            self._worker.shutdown()
            os.close(self._descriptor)

    def write(self, block: bytes | memoryview) -> None:
        """Take all of a block, which may be overwritten afterwards."""
        rest = memoryview(block)
        while rest:
            part = rest[: PIECE - self._filled]
            self._filling[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            rest = rest[len(part) :]
            if self._filled == PIECE:
                self._turn()

    def _turn(self) -> None:
        """Have what is filled written, and fill the other piece."""
        self._finished()
        self._writing = self._worker.submit(self._write, self._filling[: self._filled])
        self._filling, self._other, self._filled = self._other, self._filling, 0

    def _finished(self) -> None:
        """Wait for the piece that is being written, and raise what went wrong with it."""
        if self._writing is not None:
            self._writing.result()

    def _write(self, piece: memoryview) -> None:
        if len(piece) < PIECE:
            self._leave_direct()  # the end of a file fills no block of a disk
        rest = piece
        while rest:
            rest = rest[self._write_some(rest) :]
        if not self._direct:
            self._unsent += len(piece)
            if self._unsent >= _SENT:
                os.fdatasync(self._descriptor)
                self._unsent = 0

    def _write_some(self, rest: memoryview) -> int:
        try:
            return os.write(self._descriptor, rest)
        except OSError as error:
            if not (self._direct and error.errno == errno.EINVAL):
                raise
            self._leave_direct()  # the system took the flag, and cannot do it
            return os.write(self._descriptor, rest)

    def _leave_direct(self) -> None:
        """Write as usual from here on."""
        self._direct = self._direct and not self._takes(0)

    def _takes(self, direct: int) -> bool:
        """Set or clear the flag of the open file; False where the file system does not know it."""
        flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL) & ~_DIRECT
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags | direct)
        except OSError:
            return False
        return True
