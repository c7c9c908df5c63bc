"""The errors of the ledger."""

from __future__ import annotations

import errno


class LedgerError(ValueError):
    """Something about the ledger of runs, or about what was to be recorded in it, is wrong.

    The message names the file or the value and says what to do next.
    """


class LedgerDiskError(LedgerError):
    """The disk is full, or failed: no fault of what was asked for."""


class LedgerBusyError(LedgerError):
    """Another process is writing the ledger, and a ledger has one writer."""


def kind_of(error: OSError) -> type[LedgerError]:
    """The error that tells of one of the system's.

    Example:
        >>> kind_of(OSError(errno.ENOSPC, "No space left on device")).__name__
        'LedgerDiskError'
    """
    return LedgerDiskError if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else LedgerError
