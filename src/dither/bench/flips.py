"""The examples that flip most often between a method and plain fine-tuning, paired by seed.

How often they flip between two seeds of plain fine-tuning is counted beside it: that is the yardstick.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dither.bench.compare import BASELINE
from dither.bench.data.examples import Examples, find_examples
from dither.bench.flip_rows import Flip, Flips, FlipSummary
from dither.bench.paired_runs import Pairs, Reading, Recorded, recorded_runs
from dither.bench.scoring.agreement import Judge
from dither.bench.scoring.tallies import Tally, most, totals
from dither.results import Experiment, Ledger, RunResult


def find_flips(
    out: str | Path,
    *,
    top: int = 10,
    data_dir: str | Path | None = None,
    hub: bool = False,
    results: Iterable[RunResult] | None = None,
) -> Flips:
    """Read the predictions of a folder's runs, run by run, and count what flips against plain fine-tuning.

    Gold labels and texts are not in the folder: they are loaded again, and are left out with a reason where
    the definition of the task or its data are not those of the runs.

    Args:
        out: the output folder.
        top: examples of each task and method, at least 1.
        data_dir: folder of local data, for tasks of the Hub.
        hub: load such tasks from the Hub where no folder is given.
        results: the folder's runs, where they have been read already.

    Raises:
        LedgerError: no ledger there, or a damaged one.
        ValueError: `top` is below 1.
    """
    if top < 1:
        raise ValueError(f"top is {top}; it must be at least 1")
    examples: list[Flip] = []
    summaries: list[FlipSummary] = []
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    with Ledger.read(out) as ledger:
        if BASELINE not in ledger.experiment.methods:
            return Flips((), (), (f"{out} has no plain runs ({BASELINE!r}) to compare with",))
        plan, find = ledger.experiment, partial(find_examples, data_dir=data_dir, hub=hub)
        tasks = recorded_runs(plan, ledger.results() if results is None else results)
        with ledger.steady() as predictions:
            for recorded in tasks:
                found = _of_task(plan, recorded, predictions, top=top, find=find)
                summaries += found.summaries
                examples += found.examples
                for reason in found.reasons:
                    reasons[reason].append(recorded.task)
    told = tuple(f"{', '.join(tasks)}: {reason}" for reason, tasks in reasons.items())
    return Flips(tuple(examples), tuple(summaries), told)


def _of_task(
    plan: Experiment, recorded: Recorded, predictions: Reading, *, top: int, find: Callable[..., Examples]
) -> Flips:
    """One task, of whose data only the texts of a few examples stay."""
    task = recorded.task
    found = find(task, plan.tasks[task], recorded.evaluations)
    sizes = {name: len(rows) for name, rows in found.rows.items()}
    pairs = Pairs(plan, recorded, sizes, predictions)
    counts = _Counts(task, pairs, found)
    examples, summaries = tuple(counts.examples(top)), tuple(counts.summaries(planned=len(plan.seeds)))
    return Flips(examples, summaries, (*filter(None, [found.reason]), *pairs.left_out()))


class _Counts:
    """The pairs of one task, counted for each method and evaluation; `BASELINE` is plain under two seeds."""

    def __init__(self, task: str, pairs: Pairs, found: Examples) -> None:
        self._task, self._pairs, self._found = task, pairs, found
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._read, self._failed = Counter[str](), Counter[str]()
        self._judges: dict[str, Judge] = {}
        for pair in pairs:
            self._read[pair.method] += 1
            self._failed[pair.method] += pair.failed
            for evaluation in pair.evaluations:
                self._tally(pair.method, evaluation).add(pair.plain[evaluation], pair.other[evaluation])

    def _tally(self, method: str, evaluation: str) -> Tally:
        if evaluation not in self._judges:
            rows = self._found.rows.get(evaluation, ())
            self._judges[evaluation] = Judge.of(self._found.task, evaluation, rows)
        judge = self._judges[evaluation]
        if method == BASELINE:
            judge = Judge(judge.normal)  # of two seeds of plain neither mends the other
        return self._tallies.setdefault((method, evaluation), Tally(judge))

    def _of(self, method: str) -> dict[str, Tally]:
        return {evaluation: tally for (arm, evaluation), tally in self._tallies.items() if arm == method}

    def _methods(self) -> list[str]:
        return [method for method in self._pairs.methods if method != BASELINE and method in self._read]

    def summaries(self, *, planned: int) -> Iterator[FlipSummary]:
        """A row for each method that has pairs."""
        seeds = totals(self._of(BASELINE).values())
        for method in self._methods():
            tallies = list(self._of(method).values())
            yield FlipSummary(
                task=self._task,
                method=method,
                pairs=self._read[method],
                planned=planned,
                failed=self._failed[method],
                examples=sum(len(tally.pairs) for tally in tallies),
                **totals(tallies),
                seed_pairs=self._read[BASELINE],
                seed_share=seeds["share"],
                seed_distance=seeds["distance"],
            )

    def examples(self, top: int) -> Iterator[Flip]:
        """The examples of each method that flip most often, with what was said about them."""
        chosen = {method: most(self._of(method), top) for method in self._methods()}
        said: defaultdict[tuple[str, str, int], tuple[list[Any], list[Any]]] = defaultdict(lambda: ([], []))
        for pair in self._pairs:  # read again: of all examples they would not fit in memory
            for evaluation, row in chosen.get(pair.method, ()):
                if evaluation in pair.evaluations:
                    plain, other = said[pair.method, evaluation, row]
                    plain.append(pair.plain[evaluation][row])
                    other.append(pair.other[evaluation][row])
        for method, places in chosen.items():
            for place in places:
                yield self._flip(method, *place, *said[method, *place])

    def _flip(self, method: str, evaluation: str, row: int, plain: list[Any], said: list[Any]) -> Flip:
        judge, tally = self._judges[evaluation], self._tallies[method, evaluation]
        gold = None if judge.gold is None else judge.gold[row]
        in_words = partial(self._found.in_words, evaluation)
        return Flip(
            task=self._task,
            method=method,
            evaluation=evaluation,
            row=row,
            pairs=int(tally.pairs[row]),
            flips=_at(tally.flips, row),
            mended=_at(tally.mended, row),
            broken=_at(tally.broken, row),
            distance=float(tally.distance[row] / tally.pairs[row]) if tally.graded else None,
            gold=in_words(gold),
            plain=in_words(judge.usual(plain)),
            said=in_words(judge.usual(said)),
            texts=self._found.texts(evaluation, row),
        )


def _at(counts: np.ndarray | None, row: int) -> int | None:
    return None if counts is None else int(counts[row])
