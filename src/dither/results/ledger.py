"""The ledger of runs: one file in the output folder, one writer, any number of readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from dither.results import archive, environments, plans, starts
from dither.results.errors import LedgerError
from dither.results.experiment import Experiment, Extension, Look
from dither.results.journal import Entry, Journal
from dither.results.runs import RunResult
from dither.results.starts import Start
from dither.results.storage import FILE_NAME, Reader, Writer, make_folder

_BATCH = 32  # runs read per opening of the file


class Ledger:
    """What was planned in an output folder, what was run, and who looked; opened by one of its class methods.

    Every entry has a checksum and all together have one, so a change or a loss is an error, never a wrong
    number. A recorded run is there whole or not at all, also after ``kill -9``, a full disk or a power cut.

    Example:
        >>> Ledger.read("/nonexistent")
        Traceback (most recent call last):
        ...
        dither.results.errors.LedgerError: There is no ledger in /nonexistent (no ledger.sqlite). Give ...
    """

    def __init__(self, storage: Reader | Writer) -> None:
        self._storage = storage

    @staticmethod
    def exists(folder: str | Path) -> bool:
        """Whether a folder holds a ledger, good or damaged."""
        return (Path(folder) / FILE_NAME).is_file()

    @classmethod
    def create_or_resume(cls, folder: str | Path, experiment: Experiment) -> Ledger:
        """Open the ledger of `folder` as its one writer; make folder and ledger if they are not there.

        Args:
            folder: the output folder.
            experiment: what the folder is for. It may add tasks, methods and seeds to what is stored there,
                which is remembered as an `Extension`.

        Raises:
            LedgerError: the folder belongs to another experiment (each difference is named), another writer
                is there, or the file is damaged, no ledger, or not writable.
        """
        folder = Path(folder)
        make_folder(folder)
        return cls._opened(Writer(folder, lambda journal: plans.begin(journal, experiment)), experiment)

    @classmethod
    def resume(cls, folder: str | Path) -> Ledger:
        """Open the existing ledger of `folder` as its one writer, with the experiment that is stored there.

        Raises:
            LedgerError: as `create_or_resume`, or there is no ledger.
        """
        Reader(Path(folder)).close()  # says what is missing before a lock file is made
        return cls._opened(Writer(Path(folder), None), None)

    @classmethod
    def read(cls, folder: str | Path) -> Ledger:
        """Open the ledger of `folder` for reading.

        Folder and file may be read-only, and a writer may be active: each call then sees what is recorded by
        that time.

        Raises:
            LedgerError: there is no ledger, or it cannot be read.
        """
        return cls(Reader(Path(folder)))

    @classmethod
    def _opened(cls, storage: Writer, experiment: Experiment | None) -> Ledger:
        try:
            with storage.session() as journal:
                journal.verify()
                if experiment is not None:
                    plans.check(journal, experiment)
                storage.enter_wal()
                if experiment is not None:
                    plans.extend(journal, experiment)
        except BaseException:
            storage.close()
            raise
        return cls(storage)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the ledger; a writer leaves one file and no lock."""
        self._storage.close()

    @property
    def path(self) -> Path:
        """The file."""
        return self._storage.path

    @property
    def experiment(self) -> Experiment:
        """What the folder is for, all extensions included."""
        with self._storage.session() as journal:
            return plans.current(journal)

    def require(self, experiment: Experiment) -> None:
        """Raise `LedgerError`, naming each difference, where `experiment` cannot go on with this ledger's."""
        with self._storage.session() as journal:
            plans.check(journal, experiment)

    def record_doses(self, doses: dict[str, dict[str, Any]]) -> None:
        """Add what was found of the doses to the plan: task -> method -> `Experiment.doses`.

        Raises:
            LedgerError: as `record_look`.
        """
        with self._writing() as journal:
            plans.extend(journal, replace(plans.current(journal), doses=doses))

    @property
    def extensions(self) -> list[Extension]:
        """How the plan grew, and how many looks there had been each time."""
        with self._storage.session() as journal:
            return plans.extensions(journal)

    @property
    def looks(self) -> list[Look]:
        """Every recorded look at the results, oldest first."""
        with self._storage.session() as journal:
            return plans.looks(journal)

    def record_look(
        self,
        *,
        when: str | None = None,
        peek: bool = False,
        complete: int | None = None,
        most: int | None = None,
    ) -> Look:
        """Record that somebody saw the results: the planned n and the number of runs at this time.

        Args:
            when: ISO 8601 in UTC; None for now.
            peek: whether the plan is not complete yet.
            complete: as in `Look`, like the next.
            most: likewise.

        Raises:
            LedgerError: the ledger is open for reading only, or cannot be written.
        """
        with self._writing() as journal:
            return plans.record_look(journal, when=when, peek=peek, complete=complete, most=most)

    @property
    def starts(self) -> list[Start]:
        """Every recorded start of a command that made runs, oldest first."""
        with self._storage.session() as journal:
            return starts.starts(journal)

    def record_start(self, command: str) -> Start:
        """Record that a command starts to make runs: now, with this version of dither.

        Raises:
            LedgerError: the command is empty; or as `record_look`.
        """
        with self._writing() as journal:
            return starts.record(journal, command)

    def __bool__(self) -> bool:
        return True  # an empty ledger is one, too

    def __len__(self) -> int:
        return len(self._index())

    def __contains__(self, run_id: object) -> bool:
        return run_id in self._index()

    def finished_ids(self) -> list[str]:
        """Return the ids of all runs, oldest first; failed runs too, which would fail again."""
        return list(self._index())

    def add(self, result: RunResult) -> None:
        """Record a run, whole, in one transaction; it is on the disk when this returns.

        Raises:
            LedgerError: it is there already, is not of the experiment, has no predictions, or cannot be
                written; the ledger is then as it was and can be used on.
        """
        with self._writing() as journal:
            archive.add(journal, result, plans.current(journal))

    def get(self, run_id: str) -> RunResult:
        """Return one run, with its predictions.

        Raises:
            LedgerError: there is no such run, or it is damaged.
        """
        with self._storage.session() as journal:
            return archive.unpacked(journal, archive.entry(journal, run_id), with_predictions=True)

    def predictions(self, run_id: str) -> dict[str, list[Any]]:
        """Return the predictions of one run: evaluation split -> one JSON value per example.

        Raises:
            LedgerError: there is no such run, or it is damaged.
        """
        with self._storage.session() as journal:
            return archive.predictions(journal, archive.entry(journal, run_id))

    @contextmanager
    def steady(self) -> Iterator[Callable[[str], dict[str, list[Any]]]]:
        """As `predictions`, for many runs: the index is read once; what is recorded later is not seen."""
        with self._storage.session() as journal:
            runs = archive.index(journal)
            yield lambda run_id: archive.predictions(journal, runs[run_id])

    def results(self, *, predictions: bool = False) -> Iterator[RunResult]:
        """Yield the runs that are recorded now, oldest first.

        Args:
            predictions: load them too; otherwise they are None.

        Raises:
            LedgerError: a run is damaged.
        """
        entries = list(self._index().values())
        for start in range(0, len(entries), _BATCH):
            with self._storage.session() as journal:
                batch = [
                    archive.unpacked(journal, entry, with_predictions=predictions)
                    for entry in entries[start : start + _BATCH]
                ]
            yield from batch

    def environments(self) -> list[tuple[dict[str, Any], int]]:
        """Return the different environments of the runs, each with its number of runs."""
        return environments.distinct(self.results())

    def mixed_versions(self) -> list[str]:
        """Return a sentence for each version, device, ... that is not the same in all runs."""
        return environments.differences(self.results())

    def _index(self) -> dict[str, Entry]:
        with self._storage.session() as journal:
            return archive.index(journal)

    @contextmanager
    def _writing(self) -> Iterator[Journal]:
        if not isinstance(self._storage, Writer):
            raise LedgerError(
                f"{self.path} is open for reading. To write, open it with create_or_resume or resume."
            )
        with self._storage.session() as journal:
            yield journal
