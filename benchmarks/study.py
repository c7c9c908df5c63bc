"""The tables of docs/evidence.md, from the ledgers that are kept beside the plans.

python -m benchmarks.study

Beside each plan, `evidence/NAME.toml`, lies the ledger of its runs, compressed: `evidence/NAME.sqlite.xz`.
What stands between the marks on the page is made anew from them.
"""

import argparse
import lzma
import math
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.tables import NOTHING, table
from dither.bench.tasks.variations import base_of, settings_of
from dither.results import Ledger, RunResult

ROOT = Path(__file__).resolve().parents[1]
EVIDENCE, PAGE = ROOT / "evidence", ROOT / "docs" / "evidence.md"
GAIN = 0.3
"""Points that one more epoch must add to be worth it."""
FEWEST, MOST = 3, 6
"""Epochs that may be chosen."""
TASKS, SEEDS = 4, 5
RATE, RATES = 1e-4, (None, 2e-4)
"""The learning rate of the plan, which tasks do not name, and what was tried beside it."""


def main() -> None:
    """Write the page."""
    argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__).parse_args()
    text = PAGE.read_text(encoding="utf-8")
    for stage in STAGES:
        text = replaced(text, stage, lines_of(stage))
    PAGE.write_text(text, encoding="utf-8")
    print(f"written to {PAGE}")


def lines_of(stage: str) -> list[str]:
    """What the kept ledgers of a stage say."""
    ledgers, made = STAGES[stage]
    kept = [path for name in ledgers if (path := EVIDENCE / f"{name}.sqlite.xz").exists()]
    return made([run for path in kept for run in results_of(path)]) if kept else ["No runs yet."]


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


Scores = Mapping[int, Sequence[RunResult]]
"""Runs of plain fine-tuning by their seed, one for each task."""


def by_epochs(results: Sequence[RunResult], *, learning_rate: float | None = None) -> dict[int, Scores]:
    """The complete seeds of each number of epochs: those that have a run of every task.

    Args:
        results: of plain fine-tuning.
        learning_rate: where it is another than that of the plan.
    """
    found: dict[int, dict[int, list[RunResult]]] = defaultdict(lambda: defaultdict(list))
    for result in results:
        settings = settings_of(result.spec.task)
        if settings.get("learning_rate") == learning_rate:
            found[int(settings["epochs"])][result.spec.seed].append(result)
    return {
        epochs: {seed: runs for seed, runs in sorted(found[epochs].items()) if len(runs) == TASKS}
        for epochs in sorted(found)
    }


def score_of(result: RunResult) -> float:
    """Points; those of the constant predictor for a run whose loss was not finite."""
    return result.constant_score if result.score is None else result.score


def gain(before: Scores, after: Scores) -> float:
    """Points, averaged over tasks and the seeds that both have; infinite where there are none."""
    seeds = before.keys() & after.keys()
    if not seeds:
        return math.inf
    return statistics.fmean(average(after[seed]) - average(before[seed]) for seed in seeds)


def average(runs: Sequence[RunResult]) -> float:
    """Points over all tasks, each counting alike."""
    return statistics.fmean(map(score_of, runs))


def failures(scores: Scores) -> int:
    """How many runs failed."""
    return sum(run.status == "failed" for runs in scores.values() for run in runs)


def chosen_epochs(results: Sequence[RunResult]) -> int | None:
    """The first number of epochs at which no run fails and which adds less than `GAIN` to the one before.

    It has `SEEDS` complete seeds. None where no number that was tried serves; the next to try is then one
    more, up to `MOST`.
    """
    tried = by_epochs(results)
    for epochs, scores in tried.items():
        if epochs < FEWEST or epochs - 1 not in tried or len(scores) < SEEDS or failures(scores):
            continue
        if epochs == MOST or gain(tried[epochs - 1], scores) < GAIN:
            return epochs
    return None


def regime(results: Sequence[RunResult]) -> list[str]:
    """A row for each task, a column for each number of epochs."""
    tried = {epochs: scores for epochs, scores in by_epochs(results).items() if scores}
    names = list(dict.fromkeys(base_of(run.spec.task) for run in results))
    rows = [[name, *(_cell(scores, name) for scores in tried.values())] for name in names]
    rows += [
        [
            "all four",
            *(f"{statistics.fmean(map(average, scores.values())):.2f}" for scores in tried.values()),
        ],
        ["more than an epoch less", *(_gain(tried, epochs) for epochs in tried)],
        ["failed runs", *(f"{failures(scores)} of {TASKS * len(scores)}" for scores in tried.values())],
    ]
    chosen = chosen_epochs(results)
    found = "No number of epochs is chosen yet." if chosen is None else f"**{chosen} epochs** by the rule."
    return [*table(["", *(f"{epochs} epochs" for epochs in tried)], rows), "", found]


def rates(results: Sequence[RunResult]) -> list[str]:
    """A column for each learning rate, at three epochs and the seeds that the higher ones have."""
    found = {rate: by_epochs(results, learning_rate=rate).get(FEWEST, {}) for rate in RATES}
    found = {rate: scores for rate, scores in found.items() if scores}
    seeds = set.intersection(*(set(scores) for scores in found.values()))
    found = {rate: {seed: scores[seed] for seed in sorted(seeds)} for rate, scores in found.items()}
    names = [base_of(run.spec.task) for run in next(iter(found[None].values()))]
    rows = [[name, *(_cell(scores, name) for scores in found.values())] for name in names]
    return table([f"{FEWEST} epochs, {_seeds(seeds)}", *(f"{rate or RATE:g}" for rate in found)], rows)


def _cell(scores: Scores, task: str) -> str:
    points = [score_of(run) for runs in scores.values() for run in runs if base_of(run.spec.task) == task]
    spread = f" ± {statistics.stdev(points):.2f}" if len(points) > 1 else ""
    return f"{_number(points)}{spread}"


def _number(points: Iterable[float]) -> str:
    return f"{statistics.fmean(points):.2f}"


def _gain(tried: Mapping[int, Scores], epochs: int) -> str:
    if epochs - 1 not in tried:
        return NOTHING
    seeds = tried[epochs - 1].keys() & tried[epochs].keys()
    return f"{gain(tried[epochs - 1], tried[epochs]):+.2f} ({_seeds(seeds)})" if seeds else NOTHING


def _seeds(seeds: Collection[int]) -> str:
    return f"{len(seeds)} seed{'' if len(seeds) == 1 else 's'}"


STAGES: dict[str, tuple[tuple[str, ...], Callable[[Sequence[RunResult]], list[str]]]] = {
    "regime": (("regime", "longer"), regime),
    "rates": (("regime", "rates"), rates),
}
"""Which ledgers a part of the page is made from, and how."""


if __name__ == "__main__":
    main()
