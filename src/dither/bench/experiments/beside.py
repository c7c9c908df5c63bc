"""Published scores beside ours: what a paper has, what our runs gave. Neither is a test of the other."""

import math
from dataclasses import dataclass

from dither.bench.compare import BASELINE
from dither.bench.experiments.reproduction import Published, comparable
from dither.stats import Analysis


@dataclass(frozen=True)
class Beside:
    """One arm on one task, in points; NaN where a paper or our runs have no number.

    Attributes:
        task: ours.
        method: the arm.
        published_plain: the paper's plain fine-tuning.
        published_score: the paper's score of the arm.
        plain: ours.
        score: ours.
        difference: ours, paired by seed.
        interval: of it.
    """

    task: str
    method: str
    published_plain: float
    published_score: float
    plain: float
    score: float
    difference: float
    interval: tuple[float, float]

    @property
    def published_difference(self) -> float:
        """The paper's difference of means, from its rounded numbers."""
        return self.published_score - self.published_plain


def beside(published: Published, analysis: Analysis) -> list[Beside]:
    """The published figures of one model with ours of the same tasks and arms, whatever model ours is.

    A figure without runs of ours is left out. Another recipe makes no other task here, a part of the train
    split does.
    """
    rows = []
    for ours in analysis.all_runs.comparisons:
        figures = published.scores.get(comparable(ours.task), published.scores.get(ours.task, {}))
        if ours.method == BASELINE or ours.method not in figures:
            continue
        rows.append(
            Beside(
                ours.task,
                ours.method,
                figures.get(BASELINE, math.nan),
                figures[ours.method],
                ours.baseline_mean,
                ours.method_mean,
                ours.difference,
                ours.interval,
            )
        )
    return rows
