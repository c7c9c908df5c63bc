"""How often an average over tasks is called better or worse where it is not: by seeds, and by (task, seed).

python -m benchmarks.seed_unit                 the tables of docs/comparing.md, about a minute
python -m benchmarks.seed_unit --studies 500   a coarser look

All tasks of a seed share its noise, its data order and often its training, so the differences of one seed
correlate over tasks. Every study here is drawn with such a correlation; nothing is trained.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from dither.stats.signflip import exact_p

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ALPHA = 0.05
CORRELATIONS = (0.0, 0.1, 0.25, 0.5, 0.9)
DESIGNS = ((9, 4), (9, 9), (12, 4), (8, 3), (6, 4))
"""Seeds and tasks."""
LAWS = {
    "normal": "normal scores",
    "heavy": "Student's t with 2 degrees of freedom, cut off at 45 points",
    "ties": "scores on a grid as wide as their spread",
    "failures": "a tenth of the runs of either arm fall by 10 standard deviations",
}
"""Of arms that can be exchanged within a seed; what a study draws its scores from."""
SKEWED = {
    "exponential": "differences from an exponential law, shifted to mean 0",
    "one arm fails": "5 % of the method's runs alone fall by 10 points, and it gains 0.5 otherwise",
}
"""Of differences with mean 0 that no exchange of arms leaves as they are."""
_SIGNS = 4_000  # drawn for the older rule


@dataclass(frozen=True)
class Outcome:
    """What a rule says of many studies.

    Attributes:
        resolved: shape (studies,), whether it calls the average better or worse.
        covered: shape (studies,), whether its 95 % interval holds the truth.
    """

    resolved: Bools
    covered: Bools


def arms(law: str, correlation: float, shape: tuple[int, int, int, int], rng: np.random.Generator) -> Floats:
    """Scores of arms that can be exchanged within a seed.

    Args:
        law: one of `LAWS`.
        correlation: of a seed's scores in one arm over the tasks, in [0, 1].
        shape: studies, arms, tasks, seeds.
        rng: source of randomness.

    Returns:
        Points of that shape; differences of two arms have a standard deviation of about 1, if they have one.
    """
    if law == "heavy":
        return np.clip(_shared(lambda size: rng.standard_t(2, size=size), correlation, shape), -45, 45)
    scores = _shared(rng.standard_normal, correlation, shape) / np.sqrt(2)
    if law == "ties":
        return np.round(scores / np.sqrt(0.5)) * np.sqrt(0.5)
    if law == "failures":
        return scores - 10 * _failing(0.1, correlation, shape, rng)
    return scores


def skewed(law: str, correlation: float, shape: tuple[int, int, int], rng: np.random.Generator) -> Floats:
    """Differences with mean 0 that are not symmetric.

    Args:
        law: one of `SKEWED`.
        correlation: of a seed's differences over the tasks, about.
        shape: studies, tasks, seeds.
        rng: source of randomness.
    """
    if law == "exponential":
        return _shared(lambda size: rng.exponential(size=size) - 1, correlation, shape)
    return (
        _shared(rng.standard_normal, correlation, shape) + 0.5 - 10 * _failing(0.05, correlation, shape, rng)
    )


def _shared(draw, correlation: float, shape: tuple[int, ...]) -> Floats:
    """A part that all tasks of a seed share, and one of each task's own."""
    common: Floats = draw((*shape[:-2], 1, shape[-1]))
    return np.sqrt(correlation) * common + np.sqrt(1 - correlation) * draw(shape)


def _failing(rate: float, correlation: float, shape: tuple[int, ...], rng: np.random.Generator) -> Bools:
    """Which runs fail: by the correlation a whole seed of an arm together, else each on its own."""
    together = rng.random((*shape[:-2], 1, shape[-1])) < rate
    return np.where(rng.random(shape) < correlation, together, rng.random(shape) < rate)


def by_seed(differences: Floats, truth: float = 0.0) -> Outcome:
    """The rule: whole seeds are flipped, and the interval has n − 1 degrees of freedom.

    Args:
        differences: shape (studies, tasks, seeds).
        truth: the true average.
    """
    values = np.round(differences.mean(axis=1), 9)
    n = values.shape[-1]
    return _outcome(
        values.mean(axis=1), values.std(axis=1, ddof=1) / np.sqrt(n), n - 1, exact_p(values), truth
    )


def by_task_and_seed(differences: Floats, truth: float = 0.0) -> Outcome:
    """The older rule: each (task, seed) is flipped alone, and variances of tasks add up (Satterthwaite)."""
    studies, tasks, n = differences.shape
    cells = np.round(differences, 9).reshape(studies, -1)
    signs = np.random.default_rng(20221207).choice((-1.0, 1.0), size=(cells.shape[1], _SIGNS))
    hits = np.zeros(studies)
    for part in np.array_split(signs, 8, axis=1):  # a part at a time, for the memory
        hits += (np.abs(cells @ part) >= np.abs(cells.sum(axis=1, keepdims=True)) - 1e-9).sum(axis=1)
    squares = differences.var(axis=2, ddof=1) / n
    total = squares.sum(axis=1)
    shares = squares / np.where(total > 0, total, 1.0)[:, None]
    df = (n - 1) / np.maximum((shares**2).sum(axis=1), 1e-12)
    p = (1 + hits) / (1 + _SIGNS)
    return _outcome(cells.mean(axis=1), np.sqrt(total) / tasks, df, p, truth)


def _outcome(mean: Floats, se: Floats, df: Floats | float, p: Floats, truth: float) -> Outcome:
    half = special.stdtrit(df, 1 - ALPHA / 2) * se
    return Outcome((p < ALPHA) & (np.abs(mean) > half), np.abs(mean - truth) <= half + 1e-9)


def without_dropped(differences: Floats, kept: Bools, truth: float = 0.0) -> Outcome:
    """The rule where cells are missing: a seed counts with the tasks that it has.

    Args:
        differences: shape (studies, tasks, seeds).
        kept: likewise, which of them are there; at least one of each task.
        truth: the true average.
    """
    tasks, n = differences.shape[1:]
    weights = n / kept.sum(axis=2, keepdims=True)
    cells = np.where(kept, differences, 0.0)
    means = cells.sum(axis=2, keepdims=True) / kept.sum(axis=2, keepdims=True)
    values = (weights * cells).sum(axis=1) / tasks
    residuals = (weights * np.where(kept, differences - means, 0.0)).sum(axis=1) / tasks
    se = np.sqrt((residuals**2).sum(axis=1) / (n - 1) / n)
    return _outcome(values.mean(axis=1), se, n - 1, exact_p(values), truth)


def outcomes(studies: int) -> Iterator[tuple[str, list[tuple[Outcome, Outcome]]]]:
    """What both rules say where nothing is to be found: a row of a table, a column for each correlation."""
    for law in LAWS:
        for n, tasks in DESIGNS if law == "normal" else DESIGNS[:1]:
            drawn = (_arms(law, rho, studies, tasks, n) for rho in CORRELATIONS)
            yield f"| {law} | {n} × {tasks} |", [_both(row[:, 1] - row[:, 0]) for row in drawn]
    for law in SKEWED:
        rows = (skewed(law, rho, (studies, 4, 9), _rng(9, 4, rho)) for rho in CORRELATIONS)
        yield f"| {law} | 9 × 4 |", [_both(d) for d in rows]


def _arms(law: str, rho: float, studies: int, tasks: int, n: int) -> Floats:
    return arms(law, rho, (studies, 2, tasks, n), _rng(n, tasks, rho))


def _rng(n: int, tasks: int, rho: float) -> np.random.Generator:
    return np.random.default_rng([n, tasks, int(100 * rho)])


def _both(differences: Floats) -> tuple[Outcome, Outcome]:
    return by_task_and_seed(differences), by_seed(differences)


def false_alarms(studies: int) -> Iterator[str]:
    """Two tables, the older rule before the slash: how often it resolves nothing, how often it covers 0."""
    rows = list(outcomes(studies))
    for title, part in (("resolved", "resolved"), ("interval holds the truth", "covered")):
        yield f"| {title} | seeds × tasks | {' | '.join(f'ρ = {rho:g}' for rho in CORRELATIONS)} |"
        yield f"| --- | --- |{' ---: |' * len(CORRELATIONS)}"
        for name, pairs in rows:
            cells = (" / ".join(f"{getattr(x, part).mean():.3f}"[1:] for x in pair) for pair in pairs)
            yield f"{name} {' | '.join(cells)} |"
        yield ""


def power(studies: int) -> Iterator[str]:
    """A table: what the seed as the unit costs where tasks are independent, and what dropped runs cost."""
    yield "| effect of 3 standard errors at 9 × 4, tasks independent | resolved |"
    yield "| --- | ---: |"
    effect = 3 / np.sqrt(36)
    for n in (9, 10, 11, 12):
        d = np.random.default_rng(n).normal(effect, 1, size=(studies, 4, n))
        old = f" (older rule {by_task_and_seed(d).resolved.mean():.3f})" if n == 9 else ""
        yield f"| {n} seeds | {by_seed(d).resolved.mean():.3f}{old} |"
    for truth in (0.0, 0.5):
        rng = np.random.default_rng(3)
        d = rng.normal(truth, 1, size=(studies, 9, 9))
        kept = rng.random(d.shape) >= 0.05
        whole = kept.all(axis=1)
        some = whole.sum(axis=1)
        alone = np.array([_whole_seeds(row[:, seeds]) for row, seeds in zip(d, whole, strict=True)])
        weighted = without_dropped(d, kept, truth)
        yield (
            f"| 9 × 9, 5 % of the pairs dropped, true difference {truth:g}: seeds with the tasks that they "
            f"have (covers {weighted.covered.mean():.3f}) | {weighted.resolved.mean():.3f} |"
        )
        yield f"| the same, whole seeds alone ({some.mean():.1f} are left) | {alone.mean():.3f} |"


def _whole_seeds(differences: Floats) -> bool:
    return differences.shape[1] > 1 and bool(by_seed(differences[None]).resolved[0])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.seed_unit",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--studies", type=int, default=10_000, help="of each row (default: %(default)s)")
    studies = parser.parse_args().studies
    for table in (false_alarms, power):
        print(*table(studies), "", sep="\n", flush=True)


if __name__ == "__main__":
    main()
