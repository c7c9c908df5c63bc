"""The starts of commands that made runs, as entries of the journal: when, what was typed, which dither."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version

from dither.results import canonical_json as cj
from dither.results.journal import Journal
from dither.results.plans import now

KIND = "start"


@dataclass(frozen=True)
class Start:
    """One start of a command that made runs of a folder.

    Args:
        when: ISO 8601 in UTC.
        command: as it was typed, quoted for a shell, without what is nobody's business.
        version: of dither.
    """

    when: str
    command: str
    version: str


def starts(journal: Journal) -> list[Start]:
    """Return every recorded start, oldest first; ledgers from before there were any have none."""
    found = []
    for entry in journal.entries():
        if entry.kind == KIND:
            where = f"Start {entry.key}"
            found.append(Start(**cj.keywords(Start, cj.decode(journal.body(entry), where), where)))
    return found


def record(journal: Journal, command: str) -> Start:
    """Record that `command` starts now, and return the start."""
    start = Start(now(), cj.check_text(command, "command"), version("dither"))
    number = 1 + sum(entry.kind == KIND for entry in journal.entries())
    journal.append(KIND, str(number), cj.encode(asdict(start)))
    return start
