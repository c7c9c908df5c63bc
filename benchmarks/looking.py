"""What looking at results costs and finds, by simulation: the tables of docs/comparing.md.

python -m benchmarks.looking            about four minutes on one core
python -m benchmarks.looking --quick    a tenth of the experiments: shows that it works

An effect is resolved when the sequential p is below 0.05 and the interval of the look excludes 0, as in a
verdict.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from dither.stats import holm
from dither.stats.boundaries import nominal_level
from dither.stats.sequential import Signs, sequential_flip
from dither.stats.spending import LookedAt, Spending, looks_until_resolved, planned_once, spent
from dither.stats.stopping import ending

ALPHA = 0.05
# Enough signs for the levels of these looks, and few enough for thousands of experiments.
SIGNS = Signs(enumerated=12, draws=2_999, most=0.06)

Floats = NDArray[np.float64]
Law = Callable[[np.random.Generator, tuple[int, ...]], Floats]

LAWS: dict[str, Law] = {
    "normal": lambda rng, shape: rng.normal(size=shape),
    "t with 2 degrees of freedom": lambda rng, shape: rng.standard_t(2, size=shape),
    "ties (rounded)": lambda rng, shape: np.round(1.2 * rng.normal(size=shape)),
    "skew (exponential, mean 0)": lambda rng, shape: rng.exponential(size=shape) - 1,
}


@dataclass(frozen=True)
class Ends:
    """Where experiments ended: at which seeds, and whether resolved by signs and interval, or signs alone."""

    seeds: Floats
    resolved: NDArray[np.bool_]
    by_signs: NDArray[np.bool_]

    def __str__(self) -> str:
        return f"{self.resolved.mean():.3f} ({self.seeds.mean():.1f}); signs alone {self.by_signs.mean():.3f}"


def followed(samples: Floats, looks: Spending, *, level: float = ALPHA, early: bool = True) -> Ends:
    """Look at experiments as a spending says; those that are resolved end there.

    Args:
        samples: shape (experiments, seeds).
        looks: at all seeds in the end.
        level: of one test.
        early: whether an experiment ends at an early look; else only the last one counts.
    """
    count = len(samples)
    seeds, signs_found = np.full(count, float(looks.seeds[-1])), np.zeros(count, dtype=bool)
    found = np.zeros(count, dtype=bool)
    for at in range(1, len(looks.seeds) + 1):
        if not early and at < len(looks.seeds):
            continue
        part = Spending(looks.seeds[:at], looks.shares[:at])
        crossed = _p(samples[:, : part.seeds[-1]], part, level) <= level
        signs_found |= crossed
        now = ~found & crossed & _excludes_zero(samples[:, : part.seeds[-1]], nominal_level(part, level))
        seeds[now] = part.seeds[-1]
        found |= now
    return Ends(seeds, found, signs_found)


def _p(samples: Floats, looks: Spending, level: float) -> Floats:
    """Sequential p values; 1 where the plain p of every look is far above what it may spend."""
    signs = np.random.default_rng(7).choice([-1.0, 1.0], size=(1_000, samples.shape[1]))
    near = np.zeros(len(samples), dtype=bool)
    for seeds, share in zip(looks.seeds, looks.shares, strict=True):
        sums = np.abs(signs[:, :seeds] @ samples[:, :seeds].T)
        beyond = (sums >= np.abs(samples[:, :seeds].sum(axis=1)) - 1e-9).mean(axis=0)
        near |= beyond <= 2 * level * share + 0.004
    p = np.ones(len(samples))
    for at in np.flatnonzero(near):
        p[at] = sequential_flip(samples[at], looks, signs=SIGNS).p
    return p


def _excludes_zero(samples: Floats, level: float) -> NDArray[np.bool_]:
    n = samples.shape[1]
    t = samples.mean(axis=1) / np.maximum(samples.std(axis=1, ddof=1) / math.sqrt(n), 1e-300)
    return np.abs(t) > float(special.stdtrit(n - 1, 1 - level / 2))


def halving(seeds: Sequence[int]) -> Iterator[tuple[int, float]]:
    """The rule before: the k-th look at alpha / 2^(k−1), each a plain test."""
    yield from ((n, ALPHA / 2**k) for k, n in enumerate(seeds))


def followed_halving(samples: Floats, seeds: Sequence[int], *, early: bool = True) -> Ends:
    """As `followed`, by the rule before."""
    found = np.zeros(len(samples), dtype=bool)
    ends = np.full(len(samples), float(seeds[-1]))
    for n, level in halving(seeds):
        if early or n == seeds[-1]:
            part = samples[:, :n]
            now = ~found & (_p(part, planned_once(n), level) <= level) & _excludes_zero(part, level)
            ends[now] = n
            found |= now
    return Ends(ends, found, found)


def until(most: int) -> Spending:
    """Every second seed until resolved."""
    return spent(LookedAt(n, most, until_resolved=True) for n in looks_until_resolved(most, ALPHA))


def powers(count: int, rng: np.random.Generator) -> Iterator[str]:
    """How often an effect is resolved, and after how many seeds."""
    yield "power (mean seeds): this rule | the rule before"
    for n in (9, 12):
        ends = followed(rng.normal(1.0, 1.0, size=(2 * count, n)), planned_once(n))
        yield f"  planned once, {n} seeds, 1.0 SD: {ends}"
    for peeks, n in (((2, 4, 8), 9), ((6, 8, 10), 12)):
        samples, seeds = rng.normal(1.0, 1.0, size=(2 * count, n)), (*peeks, n)
        ends = followed(samples, spent(LookedAt(at, n) for at in seeds))
        yield f"  peeks at {peeks} of {n}, 1.0 SD: {ends} | {followed_halving(samples, seeds, early=False)}"
    for effect in (0.5, 1.0, 1.5):
        samples = rng.normal(effect, 1.0, size=(count, 24))
        before = followed_halving(samples, until(24).seeds)
        yield f"  until resolved, at most 24, {effect} SD: {followed(samples, until(24))} | {before}"
    samples = rng.normal(1.0, 1.0, size=(2 * count, 18))
    added = spent([LookedAt(9, 9), LookedAt(18, 18)])
    yield f"  9 seeds, then 9 more, 1.0 SD: {followed(samples, added)} | {followed_halving(samples, (9, 18))}"
    declared = Spending((9, 18), (0.6, 1.0))
    yield f"  the same declared before (0.03, then 0.05): {followed(samples, declared)}"


def alarms(count: int, rng: np.random.Generator) -> Iterator[str]:
    """How often something is resolved where there is no effect, by any look."""
    yield "false alarms, by signs alone at any look"
    rules = {
        "until resolved, at most 24": until(24),
        "peeks at 2, 4, 8 of 9": spent(LookedAt(n, 9) for n in (2, 4, 8, 9)),
        "9 seeds, then 9 more": spent([LookedAt(9, 9), LookedAt(18, 18)]),
    }
    for rule, looks in rules.items():
        for name, law in LAWS.items():
            p = _p(law(rng, (count, looks.seeds[-1])), looks, ALPHA)
            yield f"  {rule}, {name}: {(p <= ALPHA).mean():.3f}"
    for correlation in (0.0, 0.5, 0.9):
        shared = math.sqrt(correlation) * rng.normal(size=(1, count, 24))
        three = shared + math.sqrt(1 - correlation) * rng.normal(size=(3, count, 24))
        p = np.stack([_p(one, until(24), ALPHA / 3) for one in three])
        false = np.mean([min(holm(list(column))) <= ALPHA for column in p.T])
        yield f"  until resolved, any of three methods after Holm, correlation {correlation}: {false:.3f}"


def misses(count: int, rng: np.random.Generator) -> Iterator[str]:
    """How often the interval of any look misses the truth."""
    yield "intervals: any look misses the truth"
    rules = {
        "until resolved, at most 24": until(24),
        "peeks at 2, 4, 8 of 9": spent(LookedAt(n, 9) for n in (2, 4, 8, 9)),
        "peeks at 6, 8, 10 of 12": spent(LookedAt(n, 12) for n in (6, 8, 10, 12)),
        "9 seeds, then 9 more": spent([LookedAt(9, 9), LookedAt(18, 18)]),
    }
    for rule, looks in rules.items():
        samples, missed = rng.normal(size=(40 * count, looks.seeds[-1])), np.zeros(40 * count, dtype=bool)
        for at, n in enumerate(looks.seeds, start=1):
            part = Spending(looks.seeds[:at], looks.shares[:at])
            missed |= _excludes_zero(samples[:, :n], nominal_level(part, ALPHA))
        yield f"  {rule}: {missed.mean():.4f}"


def seeds_for_power(power: float = 0.8) -> Iterator[str]:
    """How many seeds find an effect four times out of five: fixed, and until resolved."""
    yield "seeds for 80 % power: fixed | until resolved: at most (on average)"
    for effect in (1.5, 1.0, 0.5):
        fixed = next(n for n in range(6, 99) if ending(effect, [LookedAt(n, n)]).power >= power)
        for most in range(6, 99):
            looks = [LookedAt(n, most, until_resolved=True) for n in looks_until_resolved(most, ALPHA)]
            if looks and (found := ending(effect, looks)).power >= power:
                yield f"  {effect} SD: {fixed} | {most} ({found.seeds:.1f})"
                break


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.looking",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the experiments")
    parser.add_argument("--experiments", type=int, default=2_000, help="of each case (default: %(default)s)")
    options = parser.parse_args()
    count, rng = options.experiments // (10 if options.quick else 1), np.random.default_rng(20_261_130)
    for lines in (powers(count, rng), seeds_for_power(), misses(count, rng), alarms(count, rng)):
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main()
