"""The errors of the ledger."""

from __future__ import annotations


class LedgerError(ValueError):
    """Something about the ledger of runs, or about what was to be recorded in it, is wrong.

    The message names the file or the value and says what to do next.
    """


class LedgerBusyError(LedgerError):
    """Another process is writing the ledger, and a ledger has one writer."""
