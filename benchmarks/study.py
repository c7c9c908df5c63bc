"""The tables of docs/evidence.md, from the ledgers that are kept beside the plans.

python -m benchmarks.study

Each stage is `evidence/STAGE.toml` with its ledger, compressed: `evidence/STAGE.sqlite.xz`. What stands
between the marks of a stage on the page is made anew; a stage without a ledger is left as it is.
"""

import argparse
import lzma
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.tables import table
from dither.bench.tasks.variations import base_of, settings_of
from dither.results import Ledger, RunResult

ROOT = Path(__file__).resolve().parents[1]
EVIDENCE, PAGE = ROOT / "evidence", ROOT / "docs" / "evidence.md"
GAIN = 0.3
"""Points that one more epoch must add to be worth it."""
FEWEST, MOST = 3, 6
"""Epochs that may be chosen."""


def main() -> None:
    """Write the page."""
    argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__).parse_args()
    text = PAGE.read_text(encoding="utf-8")
    for stage, lines in STAGES.items():
        kept = EVIDENCE / f"{stage}.sqlite.xz"
        if kept.exists():
            text = replaced(text, stage, lines(results_of(kept)))
    PAGE.write_text(text, encoding="utf-8")
    print(f"written to {PAGE}")


def results_of(kept: Path) -> list[RunResult]:
    """The runs of a compressed ledger."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "ledger.sqlite").write_bytes(lzma.decompress(kept.read_bytes()))
        with Ledger.read(folder) as ledger:
            return list(ledger.results())


def replaced(text: str, stage: str, lines: Sequence[str]) -> str:
    """The page with other lines between the marks of a stage.

    Raises:
        ValueError: the page has no such marks.
    """
    begin, end = f"<!-- {stage}: made by python -m benchmarks.study -->\n", f"<!-- end of {stage} -->\n"
    if begin not in text or end not in text:
        raise ValueError(f"{PAGE.name} needs the lines {begin.strip()} and {end.strip()}")
    before, rest = text.split(begin, 1)
    return before + begin + "\n" + "\n".join(lines) + "\n\n" + end + rest.split(end, 1)[1]


def by_epochs(results: Sequence[RunResult]) -> dict[int, dict[str, list[RunResult]]]:
    """Plain runs: epochs -> task without its variation -> runs."""
    found: dict[int, dict[str, list[RunResult]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        task = result.spec.task
        found[int(settings_of(task)["epochs"])][base_of(task)].append(result)
    return {epochs: dict(found[epochs]) for epochs in sorted(found)}


def score_of(result: RunResult) -> float:
    """Points; those of the constant predictor for a run whose loss was not finite."""
    return result.constant_score if result.score is None else result.score


def average(tasks: Mapping[str, Sequence[RunResult]]) -> float:
    """Points over all tasks, each counting alike."""
    return statistics.fmean(statistics.fmean(map(score_of, runs)) for runs in tasks.values())


def chosen_epochs(results: Sequence[RunResult]) -> int | None:
    """The first number of epochs at which no run fails and which adds less than `GAIN` to the one before.

    None where no number that was tried serves; the next to try is then one more, up to `MOST`.
    """
    tried = by_epochs(results)
    for epochs, tasks in tried.items():
        failed = any(run.status == "failed" for runs in tasks.values() for run in runs)
        if epochs < FEWEST or epochs - 1 not in tried or failed:
            continue
        if epochs == MOST or average(tasks) - average(tried[epochs - 1]) < GAIN:
            return epochs
    return None


def regime(results: Sequence[RunResult]) -> list[str]:
    """A row for each task, a column for each number of epochs."""
    tried = by_epochs(results)
    names = list(next(iter(tried.values())))
    rows = [
        [name, *(_spread([score_of(run) for run in tried[epochs][name]]) for epochs in tried)]
        for name in names
    ]
    failed = [
        str(sum(run.status == "failed" for runs in tasks.values() for run in runs))
        for tasks in tried.values()
    ]
    rows += [
        ["all four", *(f"{average(tasks):.2f}" for tasks in tried.values())],
        ["failed runs", *failed],
    ]
    chosen = chosen_epochs(results)
    found = "No number of epochs serves yet." if chosen is None else f"**{chosen} epochs** by the rule."
    return [*table(["", *(f"{epochs} epochs" for epochs in tried)], rows), "", found]


def _spread(points: Sequence[float]) -> str:
    return f"{statistics.fmean(points):.2f} ± {statistics.stdev(points):.2f}"


STAGES: dict[str, Callable[[Sequence[RunResult]], list[str]]] = {"regime": regime}


if __name__ == "__main__":
    main()
