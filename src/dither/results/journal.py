"""An append-only journal in a SQLite database; checksums make any change or loss of an entry known."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dither.results.canonical_json import sha256
from dither.results.diagnosis import damaged, explained
from dither.results.errors import LedgerError


@dataclass(frozen=True)
class Entry:
    """The line of the journal's index for one entry.

    Args:
        n: its number, from 1, without gaps.
        kind: what it is: "experiment", "run", "look" or "start"; readers pass over a kind that they do not
            know.
        key: its name, once per kind.
        body_sha256: checksum of its text.
        attachment_sha256: checksum of its attachment; empty if it has none.
    """

    n: int
    kind: str
    key: str
    body_sha256: str
    attachment_sha256: str

    def link(self, chain: str) -> str:
        """Return the checksum of everything up to this entry; `chain` is that of everything before."""
        return sha256(
            "\n".join([chain, str(self.n), self.kind, self.key, self.body_sha256, self.attachment_sha256])
        )


class Journal:
    """The journal over an open connection (autocommit mode), which the caller closes.

    The head holds the number of entries and the checksum chained over the whole index, so that an entry that
    is missing, doubled or moved is found as surely as one that changed.

    Args:
        connection: the database.
        path: its file, for messages.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path
        self._known: tuple[list[Entry], str] | None = None

    def entries(self) -> list[Entry]:
        """Return the index, verified; read once, then kept up by `append`."""
        return list(self._index()[0])

    def body(self, entry: Entry) -> str:
        """Return the text of `entry`, verified."""
        row = self._one("SELECT body FROM journal WHERE n = ?", entry)
        if not isinstance(row, str) or sha256(row.encode("utf-8", "surrogatepass")) != entry.body_sha256:
            raise self._damaged(f"{entry.kind} {entry.key} does not match its checksum")
        return row

    def attachment(self, entry: Entry) -> bytes:
        """Return the attachment of `entry`, verified; empty if it has none."""
        if not entry.attachment_sha256:
            return b""
        row = self._one("SELECT data FROM attachments WHERE n = ?", entry)
        if not isinstance(row, bytes) or sha256(row) != entry.attachment_sha256:
            raise self._damaged(f"the predictions of {entry.kind} {entry.key} do not match their checksum")
        return row

    def verify(self) -> None:
        """Read everything once; raise `LedgerError` at the first entry that is not as it was written."""
        for entry in self.entries():
            self.body(entry)
            self.attachment(entry)

    def append(self, kind: str, key: str, body: str, attachment: bytes = b"") -> None:
        """Write one entry in one transaction: it is there whole, or not at all.

        Raises:
            LedgerError: it could not be written; the journal is as before and can be used on.
        """
        with explained(self.path, "written"):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                known, chain = self._index()
                entry = Entry(
                    len(known) + 1, kind, key, sha256(body), sha256(attachment) if attachment else ""
                )
                self._insert(entry, body, attachment, entry.link(chain))
                self._connection.execute("COMMIT")
            except BaseException:
                self._known = None  # an interrupt may come after the commit: read the index anew
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        self._known = ([*known, entry], entry.link(chain))

    def _insert(self, entry: Entry, body: str, attachment: bytes, chain: str) -> None:
        execute = self._connection.execute
        row = (entry.n, entry.kind, entry.key, entry.body_sha256, entry.attachment_sha256, body)
        execute("INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)", row)
        if attachment:
            execute("INSERT INTO attachments VALUES (?, ?)", (entry.n, attachment))
        execute("INSERT OR REPLACE INTO head VALUES (1, ?, ?)", (entry.n, chain))

    def _index(self) -> tuple[list[Entry], str]:
        if self._known is None:
            with explained(self.path, "read"), self._one_moment():
                self._known = self._read_index()
        return self._known

    def _read_index(self) -> tuple[list[Entry], str]:
        head = self._connection.execute("SELECT n, chain FROM head").fetchall()
        count, wanted = head[0] if head else (0, "")
        entries: list[Entry] = []
        chain = ""
        for row in self._connection.execute(
            "SELECT n, kind, key, body_sha256, attachment_sha256 FROM journal ORDER BY n"
        ):
            entry = Entry(*row)
            if entry.n != len(entries) + 1 or not all(isinstance(item, str) for item in row[1:]):
                raise self._damaged(f"entry {len(entries) + 1} is missing or misplaced")
            chain = entry.link(chain)
            entries.append(entry)
        if len(entries) != count or chain != wanted:
            raise self._damaged(
                f"its index of {len(entries)} entries does not match its checksum over {count!r}"
            )
        return entries, chain

    @contextmanager
    def _one_moment(self) -> Iterator[None]:
        """Let all statements of the block see the same state while a writer goes on."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    def _one(self, query: str, entry: Entry) -> object:
        with explained(self.path, "read"):
            row = self._connection.execute(query, (entry.n,)).fetchone()
        return None if row is None else row[0]

    def _damaged(self, detail: str) -> LedgerError:
        return LedgerError(damaged(self.path, detail))
