"""How often looking again and again claims a difference where there is none.

Every test simulates differences without an effect, looks as a rule says, and counts the experiments in which
any look claims something. A rate is compared with its bound plus four binomial standard errors, so a correct
library fails a test in fewer than 1 of 10,000 choices of the seed; the seed is fixed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

from dither.stats import Rule, holm
from dither.stats.boundaries import nominal_level
from dither.stats.comparison import inference
from dither.stats.intervals import mean_estimate
from dither.stats.sequential import Signs, sequential_flip
from dither.stats.spending import LookedAt, Spending, spent

ALPHA = 0.05
EVERY_SECOND = spent(LookedAt(n, 24, until_resolved=True) for n in range(6, 25, 2))
# Few signs keep the level as well as more do, and cost less, as do no levels above those of interest.
FEW = Signs(enumerated=10, draws=1_499, most=0.1)


def slack(rate: float, trials: int) -> float:
    """Four binomial standard errors."""
    return 4 * math.sqrt(rate * (1 - rate) / trials)


def sample(law: str, trials: int, seeds: int, rng: np.random.Generator) -> np.ndarray:
    """Differences without an effect, shape (trials, seeds)."""
    if law == "skew":  # a mean of zero, but not symmetric: no sign-flip test is exact
        return rng.exponential(size=(trials, seeds)) - 1
    if law == "heavy":
        return rng.standard_t(2, size=(trials, seeds))
    differences = rng.normal(size=(trials, seeds))
    return np.round(differences * 1.2) if law == "ties" else differences


def sequential_p(samples: np.ndarray, looks: Spending, level: float = ALPHA, *, one_sided: bool = False):
    """The sequential p values; 1 where no look comes near the level.

    A vector that is rejected at a look has a plain p of at most its share of the level there, so what has
    more than twice that at all looks needs no closer one.
    """
    n, rng = samples.shape[1], np.random.default_rng(99)
    signs = rng.choice([-1.0, 1.0], size=(1_000, n))
    near = np.zeros(len(samples), dtype=bool)
    for seeds, share in zip(looks.seeds, looks.shares, strict=True):
        sums, own = signs[:, :seeds] @ samples[:, :seeds].T, samples[:, :seeds].sum(axis=1)
        beyond = sums >= own - 1e-9 if one_sided else np.abs(sums) >= np.abs(own) - 1e-9
        near |= beyond.mean(axis=0) <= 2 * level * share + 0.005
    p = np.ones(len(samples))
    for at in np.flatnonzero(near):
        p[at] = sequential_flip(samples[at], looks, one_sided=one_sided, signs=FEW).p
    return p


@pytest.mark.parametrize(
    ("law", "low", "high"),
    [("normal", 0.04, 0.05), ("heavy", 0.04, 0.05), ("ties", 0.02, 0.05), ("skew", 0.09, 0.13)],
)
def test_looks_at_every_second_seed_claim_in_five_percent(law, low, high):
    """Ten looks from 6 to 24 seeds, spending evenly. Mean-zero skew is recorded: no such test is exact."""
    trials = 1_200
    samples = sample(law, trials, 24, np.random.default_rng([1, len(law)]))
    rate = float((sequential_p(samples, EVERY_SECOND) < ALPHA).mean())
    assert low - slack(low, trials) < rate < high + slack(high, trials)


@pytest.mark.parametrize("plan", [(2, 4, 8, 9), (6, 8, 10, 12)])
def test_peeks_and_the_verdict_claim_in_five_percent_together(plan):
    trials = 5_000
    samples = sample("normal", trials, plan[-1], np.random.default_rng(plan[-1]))
    rate = float((sequential_p(samples, spent(LookedAt(n, plan[-1]) for n in plan)) < ALPHA).mean())
    assert ALPHA - slack(ALPHA, trials) - 0.005 < rate < ALPHA + slack(ALPHA, trials)


def test_seeds_added_after_verdicts_keep_the_printed_bound():
    """Plans of 7, 9, 11 and 13 seeds, each read: below 1.875 times the level, and not far below."""
    trials, plans = 4_000, (7, 9, 11, 13)
    looks = spent(LookedAt(n, n) for n in plans)
    samples = sample("normal", trials, plans[-1], np.random.default_rng(5))
    rate = float((sequential_p(samples, looks) < ALPHA).mean())
    bound = ALPHA * looks.share
    assert bound == pytest.approx(0.09375)
    assert 0.085 - slack(bound, trials) < rate < bound + slack(bound, trials)


def test_one_sided_looks_keep_the_level_too():
    """As in the test of equivalence: whether the mean is above 0, where it is 0."""
    trials = 2_000
    looks = spent(LookedAt(n, 12, until_resolved=True) for n in (6, 8, 10, 12))
    samples = sample("normal", trials, 12, np.random.default_rng(6))
    rate = float((sequential_p(samples, looks, one_sided=True) < ALPHA).mean())
    assert abs(rate - ALPHA) < slack(ALPHA, trials)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("helping", [0, 1])
def test_holm_on_sequential_p_values_claims_something_false_in_five_percent(correlation, helping):
    """Three methods, one of which may help by 1.5 SD, correlated by their baseline: claims at any look."""
    trials, rng = 900, np.random.default_rng([7, helping, int(10 * correlation)])
    shared = math.sqrt(correlation) * rng.normal(size=(1, trials, 24))
    methods = shared + math.sqrt(1 - correlation) * rng.normal(size=(3, trials, 24))
    methods[:helping] += 1.5
    # Holm's steps test idle methods at a third of the level, and at half of it once the helping one is found.
    idle = [sequential_p(one, EVERY_SECOND, ALPHA / (3 - helping)) for one in methods[helping:]]
    sure = [sequential_p(one[:50], EVERY_SECOND).tolist() for one in methods[:helping]]
    assert all(max(p) < ALPHA / 3 for p in sure)
    p_values = np.stack([*(np.zeros(trials) for _ in range(helping)), *idle])
    false = sum(min(holm(list(p))[helping:]) < ALPHA for p in p_values.T)
    assert 0.02 - slack(0.02, trials) < false / trials < ALPHA + slack(ALPHA, trials)


@pytest.mark.parametrize(
    "looks",
    [
        EVERY_SECOND,
        spent(LookedAt(n, 9) for n in (2, 4, 8, 9)),
        spent(LookedAt(n, 12) for n in (6, 8, 10, 12)),
        spent(LookedAt(n, n) for n in (9, 18)),
    ],
)
def test_the_intervals_of_all_looks_cover_together(looks):
    """Any misses the truth in at most 5 % (7.5 % with seeds added after a verdict), and hardly less."""
    trials, missed, bound = 60_000, False, ALPHA * looks.share
    samples = np.random.default_rng(8).normal(size=(trials, looks.seeds[-1]))
    for k, n in enumerate(looks.seeds, start=1):
        level = nominal_level(Spending(looks.seeds[:k], looks.shares[:k]), ALPHA)
        part = samples[:, :n]
        t = part.mean(axis=1) / (part.std(axis=1, ddof=1) / math.sqrt(n))
        missed = missed | (np.abs(t) > special.stdtrit(n - 1, 1 - level / 2))
    assert 0.93 * bound < missed.mean() < bound + slack(bound, trials)


@pytest.mark.parametrize("law", ["normal", "ties"])
def test_equivalence_at_any_look_is_claimed_in_five_percent_at_the_margin(law):
    """The true difference is the margin itself: "no difference above it" is false at any of four looks."""
    trials, looks = 600, tuple(LookedAt(n, 12, until_resolved=True) for n in (6, 8, 10, 12))
    samples, claimed = 2.0 + sample(law, trials, 12, np.random.default_rng(10)), np.zeros(trials, dtype=bool)
    for at, look in enumerate(looks, start=1):
        rule = Rule(margin=2.0, looks=looks[:at])
        for one in range(trials):
            part = samples[one, : look.seeds]
            estimate = mean_estimate(part)
            if estimate.se > 0 and estimate.value + 1.5 * estimate.se < 2.0:  # else no level of interest
                claimed[one] |= inference(part, estimate, rule, failed=0)["p_equivalence"] < ALPHA
    assert claimed.mean() < ALPHA + slack(ALPHA, trials)
    assert claimed.mean() > 0.02


def test_five_percent_at_every_look_would_claim_far_more():
    """What the spending is for: the plain test at each of ten looks claims in a fifth of experiments."""
    trials, rng = 1_000, np.random.default_rng(9)
    samples, claimed = rng.normal(size=(trials, 24)), np.zeros(trials, dtype=bool)
    signs = rng.choice([-1.0, 1.0], size=(1_000, 24))
    for n in EVERY_SECOND.seeds:
        sums = np.abs(signs[:, :n] @ samples[:, :n].T)
        claimed |= (sums >= np.abs(samples[:, :n].sum(axis=1)) - 1e-9).mean(axis=0) < ALPHA
    assert claimed.mean() > 3 * ALPHA
