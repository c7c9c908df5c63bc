"""The simulation of looking finds what it must in a few experiments."""

from __future__ import annotations

import numpy as np
from benchmarks.looking import followed, followed_halving, until

from dither.stats.spending import LookedAt, planned_once, spent


def test_great_effects_end_early_and_none_ends_late() -> None:
    rng = np.random.default_rng(1)
    great = followed(rng.normal(3.0, 1.0, size=(20, 24)), until(24))
    assert (great.resolved.mean(), great.seeds.mean()) == (1.0, 8.0)
    nothing = followed(rng.normal(size=(20, 24)), until(24))
    assert nothing.resolved.mean() < 0.2
    assert nothing.seeds.mean() > 20
    assert str(great) == "1.000 (8.0); signs alone 1.000"


def test_halving_the_level_finds_less_than_spending() -> None:
    samples = np.random.default_rng(2).normal(1.0, 1.0, size=(100, 9))
    peeked = followed(samples, spent(LookedAt(n, 9) for n in (2, 4, 8, 9))).resolved.mean()
    once = followed(samples, planned_once(9)).resolved.mean()
    assert followed_halving(samples, (2, 4, 8, 9), early=False).resolved.mean() + 0.2 < peeked <= once
