"""The plan and the looks as entries of the journal, in the order in which they happened."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from dither.results import archive
from dither.results import canonical_json as cj
from dither.results.errors import LedgerError
from dither.results.experiment import STATISTICS, Experiment, Extension, Look
from dither.results.journal import Journal
from dither.results.runs import check_time

_PLAN, _LOOK = "experiment", "look"


def begin(journal: Journal, experiment: Experiment) -> None:
    """Write the first plan into an empty journal."""
    _write(journal, experiment, "1")


def current(journal: Journal) -> Experiment:
    """Return the plan with all its extensions."""
    found = list(_plans(journal))
    if not found:
        raise LedgerError("The ledger holds no experiment; another program wrote it. Choose another --out.")
    return found[-1][1]


def check(journal: Journal, experiment: Experiment) -> None:
    """Raise `LedgerError`, naming every difference, if `experiment` cannot go on with the stored plan."""
    lines = current(journal).differences(experiment)
    if lines:
        raise LedgerError(
            f"{journal.path.parent} holds another experiment:\n  "
            + "\n  ".join(lines)
            + "\nChoose another --out for this one, or use the settings of the folder. Only tasks, methods "
            "and seeds may be added to it."
        )


def extend(journal: Journal, experiment: Experiment) -> None:
    """Remember what `experiment` adds to the stored plan, if it adds anything."""
    old = current(journal)
    new = old.extended(experiment)
    if new != old:
        _write(journal, new, str(len(list(_plans(journal))) + 1))


def extensions(journal: Journal) -> list[Extension]:
    """Return how the plan grew, oldest first."""
    found = list(_plans(journal))
    grown = [
        Extension(
            when,
            tuple(name for name in new.tasks if name not in old.tasks),
            tuple(name for name in new.methods if name not in old.methods),
            tuple(seed for seed in new.seeds if seed not in old.seeds),
            looks_before,
        )
        for (_, old, _), (when, new, looks_before) in pairwise(found)
    ]
    return [each for each in grown if each.tasks or each.methods or each.seeds]  # not where doses were found


def looks(journal: Journal) -> list[Look]:
    """Return every recorded look, oldest first."""
    entries = [entry for entry in journal.entries() if entry.kind == _LOOK]
    return [Look.from_document(*_document(journal.body(entry), entry.key)) for entry in entries]


def record_look(
    journal: Journal, *, when: str | None, peek: bool, complete: int | None, most: int | None
) -> Look:
    """Record a look now, or at `when`, and return it."""
    stamp, planned = now() if when is None else check_time(when, "when"), len(current(journal).seeds)
    look = Look(stamp, planned, len(archive.index(journal)), peek, complete, most, STATISTICS)
    journal.append(_LOOK, str(len(looks(journal)) + 1), cj.encode(look.document()))
    return look


def _write(journal: Journal, experiment: Experiment, key: str) -> None:
    journal.append(_PLAN, key, cj.encode({"when": now(), "experiment": experiment.document()}))


def _plans(journal: Journal) -> Iterator[tuple[str, Experiment, int]]:
    """Yield when each plan was written, the plan, and the number of looks before it."""
    looks_before = 0
    for entry in journal.entries():
        if entry.kind == _LOOK:
            looks_before += 1
        elif entry.kind == _PLAN:
            document, where = _document(journal.body(entry), entry.key)
            yield document["when"], Experiment.from_document(document["experiment"], where), looks_before


def _document(body: str, key: str) -> tuple[Any, str]:
    where = f"Entry {key} of the plan"
    return cj.decode(body, where), where


def now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")
