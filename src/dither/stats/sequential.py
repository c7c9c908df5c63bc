"""The sign-flip test for results that are looked at more than once: exact for all looks together."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dither.stats.signflip import (
    DRAWS,
    ENUMERATED,
    SignFlip,
    finite_axis,
    one_sided_p,
    sign_flip,
    signed_sums,
)
from dither.stats.spending import Spending

# Fixed, so that the same scores give the same p anywhere. Added pairs leave the signs of earlier ones.
_DRAW_SEED = 20_261_130
# Sums that differ by less, relative to the sum of the sizes, differ by rounding alone and count as equal.
_ROUNDING = 1e-10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Signs:
    """How sign vectors are counted.

    Args:
        enumerated: up to this many untied pairs all of them, 1 to 24.
        draws: beyond, so many drawn ones beside the observed.
        most: before the last look nothing is rejected at levels above this, which nobody tests at; p values
            above it are p values, but larger than they need be.
    """

    enumerated: int = ENUMERATED
    draws: int = DRAWS
    most: float = 0.1


def sequential_flip(
    differences: ArrayLike, spending: Spending, *, one_sided: bool = False, signs: Signs | None = None
) -> SignFlip:
    """Group-sequential sign-flip test: the p value of differences that were looked at as `spending` says.

    At look k all sign vectors of the pairs so far are ordered by the size of their sum. Those that crossed at
    an earlier look stay rejected. Of the others the greatest are rejected too, as many as

        #{rejected at level α by look k} <= α · share_k · 2^n_k

    allows, and no more than leaves room, at every higher level, for what was rejected there earlier: so a
    test that rejects at a level rejects at all higher ones. What ties and the steps of 2^n leave unspent at
    a look is there for the next. p is the least α at which the observed signs are rejected at this or an
    earlier look, so P(p <= α) <= α · share_K under the null hypothesis of `sign_flip`, whatever the looks
    in between. For a single look it is that test's p over the share.

    Early looks reject at levels up to one tenth alone, which is all that is tested at; a p above that may be
    larger than the least level.

    At most 20 untied pairs are enumerated. Beyond, 99,999 sign vectors are drawn with a fixed seed, the
    observed one counts among them, and looks at 20 pairs or fewer stay exact.

    Args:
        differences: shape (n,), in the order of the plan, finite; for a weighted mean the weighted
            differences; 0 where a seed takes no part.
        spending: the looks, at numbers of `differences`; the last at all of them.
        one_sided: whether great sums alone count, for the hypothesis that the sum is 0 or less.
        signs: how many are enumerated and drawn; None for the numbers above.

    Returns:
        The sequential p, its floor (the smallest that these sizes could have given), and how it was found.

    Raises:
        ValueError: a difference is not finite, there is more than one axis, or the last look is not at all
            differences.

    Example:
        >>> gains = [1.2, 0.9, 1.6, 1.1, 0.8, 1.4, 1.3, 0.7]
        >>> sequential_flip(gains, Spending((8,), (1.0,))).p == sign_flip(gains).p == 2 / 2**8
        True
        >>> sequential_flip(gains, Spending((4, 8), (0.5, 1.0))).p  # the first look could not reject anything
        0.0078125
        >>> sequential_flip([*gains, -9.0], Spending((8, 9), (0.7, 1.0))).p  # it was rejected at the first
        0.011160714285714286

    Reference:
        Lan & DeMets (1983), "Discrete sequential boundaries for clinical trials", doi 10.2307/2336502 (the
        spending); Phipson & Smyth (2010), doi 10.2202/1544-6115.1585 (the observed one counts).
    """
    values = finite_axis(differences)
    if spending.seeds[-1] != values.size:
        raise ValueError(
            f"the last look is at {spending.seeds[-1]} differences, but there are {values.size}; a seed that "
            "takes no part is a difference of 0"
        )
    untied = values[values != 0]
    if not untied.size:
        return SignFlip(p=1.0, floor=1.0, exact=True, untied=0)
    # How many untied pairs each look saw.
    sizes = tuple(int((values[:seeds] != 0).sum()) for seeds in spending.seeds)
    if len(sizes) == 1 and signs is None:
        return _single(untied, spending.share, one_sided=one_sided)
    return _tested(untied.tobytes(), sizes, spending.shares, one_sided, signs or Signs())


def _single(untied: Floats, share: float, *, one_sided: bool) -> SignFlip:
    """A single look: the plain test, of which only a part of the level may be spent."""
    plain = sign_flip(untied)
    p, floor = (one_sided_p(untied), plain.floor / 2) if one_sided else (plain.p, plain.floor)
    return replace(plain, p=min(1.0, p / share), floor=min(1.0, floor / share))


@lru_cache(maxsize=4096)
def _tested(
    untied: bytes, sizes: tuple[int, ...], shares: tuple[float, ...], one_sided: bool, signs: Signs
) -> SignFlip:
    """The test, remembered: tables, pages and pictures of one folder ask for the same ones."""
    values = np.frombuffer(untied)
    exact = values.size <= signs.enumerated
    history = _History(values, sizes, shares, one_sided, signs)
    p, floor = _enumerated(history) if exact else _drawn(history)
    return SignFlip(p=p, floor=floor, exact=exact, untied=int(values.size))


@dataclass(frozen=True)
class _History:
    """Untied differences, how many of them each look saw, and what it may have spent by then."""

    values: Floats
    sizes: tuple[int, ...]
    shares: tuple[float, ...]
    one_sided: bool
    signs: Signs

    def reached(self, sums: Floats) -> Floats:
        """What is to be great for a rejection."""
        return sums if self.one_sided else np.abs(sums)

    def tolerance(self, look: int) -> float:
        """By how much equal sums may differ."""
        return float(_ROUNDING * np.abs(self.values[: self.sizes[look]]).sum())

    def levels(self, look: int, sums: Floats, earlier: Floats) -> Floats:
        """The levels from which on vectors with these sums are rejected by a look."""
        return _levels(
            self.reached(sums),
            earlier,
            self.shares[look],
            tolerance=self.tolerance(look),
            most=self.signs.most,
        )

    def last(self, sums: Floats, earlier: Floats) -> tuple[float, float]:
        """At the last look, p of the observed signs, which come first, and the smallest of all."""
        reached, slack, share = self.reached(sums), self.tolerance(-1), self.shares[-1]
        p = min(float(earlier[0]), _new_level(reached, earlier, share, float(reached[0]) - slack))
        best = _new_level(reached, earlier, share, float(reached.max()) - slack)
        return min(1.0, p), min(1.0, float(earlier.min()), best)

    def extended(self, sums: Floats, levels: Floats, start: int, end: int) -> tuple[Floats, Floats]:
        """Vectors of the first `start` signs, each with every choice of the next ones; observed ones first.

        On two sides a vector stands for its reverse too, so the very first sign stays.
        """
        added = self.values[start:end]
        if not start and added.size and not self.one_sided:
            sums, added = sums + added[0], added[1:]
        for value in added:
            sums = np.concatenate([sums + value, sums - value])
        return sums, np.tile(levels, sums.size // levels.size)

    def all_signs(self, looks: int) -> tuple[Floats, Floats]:
        """The sums of all sign vectors after some looks, and the level from which each is rejected."""
        sums, levels, done = np.zeros(1), np.full(1, np.inf), 0
        for look in range(looks):
            sums, levels = self.extended(sums, levels, done, self.sizes[look])
            done = self.sizes[look]
            if done:
                levels = self.levels(look, sums, levels)
        return sums, levels


def _enumerated(history: _History) -> tuple[float, float]:
    """By all sign vectors: p and its floor."""
    last = len(history.sizes) - 1
    sums, levels = history.all_signs(last)
    sums, levels = history.extended(sums, levels, history.sizes[last - 1] if last else 0, history.sizes[last])
    return history.last(sums, levels)


def _drawn(history: _History) -> tuple[float, float]:
    """By drawn sign vectors; what each has from early looks, at few pairs, is exact."""
    last = len(history.sizes) - 1
    early = sum(size <= history.signs.enumerated for size in history.sizes)
    codes = _codes(history.values.size, history.signs.draws)
    levels = np.full(len(codes), np.inf)
    if early and history.sizes[early - 1]:
        table = history.all_signs(early)[1]
        levels = table[_places(codes, history.sizes[early - 1], history.one_sided)]
    for look in range(early, last):
        sums = _sums(codes, history.values[: history.sizes[look]])
        levels = history.levels(look, sums, levels)
    return history.last(_sums(codes, history.values), levels)


def _codes(size: int, draws: int) -> NDArray[np.uint8]:
    """Sign vectors, eight signs a byte, shape (1 + draws, bytes); bits are flips, in row 0 none."""
    rng = np.random.default_rng(_DRAW_SEED)
    blocks = [rng.integers(0, 256, size=draws, dtype=np.uint8) for _ in range(-(-size // 8))]
    return np.concatenate([np.zeros((1, len(blocks)), dtype=np.uint8), np.stack(blocks, axis=1)])


def _sums(codes: NDArray[np.uint8], values: Floats) -> Floats:
    """The signed sums of the first values."""
    sums = np.zeros(len(codes))
    for at in range(0, values.size, 8):
        table = signed_sums(values[at : at + 8])
        sums += table[codes[:, at // 8] & (table.size - 1)]
    return sums


def _places(codes: NDArray[np.uint8], size: int, one_sided: bool) -> NDArray[np.int64]:
    """Where the first signs of each vector stand among all of them."""
    places = np.zeros(len(codes), dtype=np.int64)
    for block in range(-(-size // 8)):
        places |= codes[:, block].astype(np.int64) << (8 * block)
    everything = (1 << size) - 1
    places &= everything
    if one_sided:
        return places
    return np.where(places & 1, places ^ everything, places) >> 1


def _levels(reached: Floats, earlier: Floats, share: float, *, tolerance: float, most: float) -> Floats:
    """For every sign vector the least level from which on it is rejected by this look.

    Args:
        reached: what each vector reaches at this look; the greatest are rejected first, equal ones together.
        earlier: the level from which on each is rejected before, infinite where there is none.
        share: of the level that may be spent by now.
        tolerance: by how much equal ones may differ.
        most: the highest level.

    Returns:
        The levels, infinite where above that.
    """
    room = share * reached.size
    order = _greatest(reached, int(most * room), tolerance)
    steps = reached[order[:-1]] - reached[order[1:]] > tolerance
    ends = 1 + np.flatnonzero(np.append(steps, True))  # of equal ones
    ends = ends[: np.searchsorted(ends, most * room, side="right")]
    if not ends.size:
        return earlier
    first = order[: ends[-1]]
    now = np.repeat(_new_levels(ends, earlier, first, room), np.diff(ends, prepend=0))
    levels = earlier.copy()
    levels[first] = np.minimum(earlier[first], np.where(now <= most, now, np.inf))
    return levels


def _greatest(reached: Floats, count: int, tolerance: float) -> NDArray[np.int64]:
    """Where the greatest values stand, in falling order: one more than so many, and what equals the last."""
    if count + 1 >= reached.size:
        return np.argsort(-reached, kind="stable")
    least = np.partition(reached, -count - 1)[-count - 1]
    chosen = np.flatnonzero(reached >= least - tolerance)
    return chosen[np.argsort(-reached[chosen], kind="stable")]


def _new_levels(ends: NDArray[np.int64], earlier: Floats, first: NDArray[np.int64], room: float) -> Floats:
    """The least level at which the first `end` vectors, and all rejected before at that level, find room.

        level = sup{α : end + #{i >= end : earlier_i <= α} > α · room}

    It falls with `end`, so one walk down both the vectors and the levels finds all of them.

    Args:
        ends: of groups of vectors that are rejected together, rising.
        earlier: the level from which on each vector is rejected before.
        first: where the vectors of all groups stand, in their order.
        room: for vectors, at level 1.
    """
    steps, counts = np.unique(earlier[np.isfinite(earlier)], return_counts=True)
    if not steps.size:
        return ends / room
    places = np.searchsorted(steps, earlier[first])  # among the steps; beyond the last where there is none
    waiting = (np.append(counts, 0) - np.bincount(places, minlength=steps.size + 1)).tolist()
    at, count = steps.size - 1, sum(waiting[:-1])  # of those rejected before, none of the first
    levels, nexts, own = steps.tolist(), [*steps.tolist(), math.inf], places.tolist()
    found = [0.0] * len(ends)
    for group in range(len(ends) - 1, -1, -1):
        end = int(ends[group])
        while at >= 0 and end + count <= levels[at] * room:
            count -= waiting[at]
            at -= 1
        found[group] = min(nexts[at + 1], (end + count) / room)
        for one in own[int(ends[group - 1]) if group else 0 : end]:
            waiting[one] += 1
            if one <= at:
                count += 1
    return np.array(found)


def _new_level(reached: Floats, earlier: Floats, share: float, least: float) -> float:
    """As `_new_levels`, for the vectors that reach a least value."""
    first = reached >= least
    end, room = int(first.sum()), share * reached.size
    others = np.sort(earlier[~first & np.isfinite(earlier)])
    needed = (end + np.arange(others.size + 1)) / room
    starts, nexts = np.concatenate([[0.0], others]), np.append(others, np.inf)
    return float(np.minimum(nexts, needed)[needed > starts].max())
