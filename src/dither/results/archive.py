"""Runs as entries of the journal: the result as JSON, the predictions compressed beside it."""

from __future__ import annotations

import zlib
from dataclasses import fields, replace
from typing import Any

from dither.results import canonical_json as cj
from dither.results.errors import LedgerError
from dither.results.experiment import Experiment
from dither.results.journal import Entry, Journal
from dither.results.runs import RunResult

KIND = "run"


def index(journal: Journal) -> dict[str, Entry]:
    """Return the entries of all runs by run id, oldest first."""
    return {one.key: one for one in journal.entries() if one.kind == KIND}


def entry(journal: Journal, run_id: str) -> Entry:
    """Return the entry of one run; `LedgerError` if there is no such run."""
    runs = index(journal)
    if run_id not in runs:
        raise LedgerError(
            f"There is no run {run_id!r} among the {len(runs)} of {journal.path}. Its id is RunSpec.id, "
            "32 hex digits; finished_ids() lists all."
        )
    return runs[run_id]


def packed(result: RunResult) -> tuple[str, bytes]:
    """Return the text and the attachment of a run's entry.

    Raises:
        LedgerError: it is no `RunResult`, or one without its predictions.
    """
    if not isinstance(result, RunResult):
        raise LedgerError(f"A ledger records a RunResult, not a {type(result).__name__}.")
    if result.predictions is None:
        raise LedgerError(f"The run ({result.spec}) has no predictions; give {{}} if there are none.")
    document = {item.name: getattr(result, item.name) for item in fields(result)}
    document |= {"spec": result.spec.document(), "predictions": None}
    attachment = zlib.compress(cj.encode(result.predictions).encode()) if result.predictions else b""
    return cj.encode(document), attachment


def add(journal: Journal, result: RunResult, plan: Experiment) -> None:
    """Write a run of `plan` that is not there yet.

    Raises:
        LedgerError: it is there, is no part of the plan, or comes without its predictions.
    """
    body, attachment = packed(result)
    plan.check_run(result.spec)
    if result.id in index(journal):
        raise LedgerError(
            f"The run {result.id} ({result.spec}) is recorded in {journal.path} already; finished runs "
            "are not repeated. Ask finished_ids() before a run."
        )
    journal.append(KIND, result.id, body, attachment)


def unpacked(journal: Journal, entry: Entry, *, with_predictions: bool) -> RunResult:
    """Return the run of `entry`; its predictions are None unless asked for.

    Raises:
        LedgerError: it is not as it was recorded.
    """
    result = RunResult.from_json(journal.body(entry), where=f"Run {entry.key}")
    if result.id != entry.key:
        raise LedgerError(
            f"Run {entry.key} holds the specification of {result.id}; another program wrote it."
        )
    return replace(result, predictions=predictions(journal, entry)) if with_predictions else result


def predictions(journal: Journal, entry: Entry) -> dict[str, list[Any]]:
    """Return the predictions of the run of `entry`; `LedgerError` if they are not as they were recorded."""
    attachment = journal.attachment(entry)
    if not attachment:
        return {}
    try:
        text = zlib.decompress(attachment)
    except zlib.error as error:
        raise LedgerError(f"The predictions of run {entry.key} cannot be unpacked ({error}).") from error
    found: dict[str, list[Any]] = cj.decode(text, f"The predictions of run {entry.key}")
    return found
