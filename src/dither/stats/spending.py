"""How much of the error rate each look at the results may have spent by then: the four rules of looking."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class LookedAt:
    """One look at results, as it is remembered.

    Args:
        seeds: complete seeds at that time: the longest prefix of the plan of which every run was there, >= 1.
        planned: the planned number of seeds at that time, >= seeds.
        until_resolved: whether the runs were to stop once everything is decided, and `planned` was their
            maximum, declared before the first of them.

    Raises:
        ValueError: a number out of range.
    """

    seeds: int
    planned: int
    until_resolved: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.seeds <= self.planned:
            raise ValueError(
                f"a look at {self.seeds} complete seeds of {self.planned} planned ones is not possible; "
                "there must be at least one, and at most as many as planned"
            )


@dataclass(frozen=True)
class Spending:
    """The looks of one question, and the share of the error rate that each may have spent by then.

    By look k, at ``seeds[k]`` complete seeds, at most ``alpha * shares[k]`` of the null experiments may have
    been called a difference.

    Args:
        seeds: complete seeds at each look, rising; the last is the look that is asked about.
        shares: cumulative shares, > 0, never falling.

    Raises:
        ValueError: no look, or numbers that do not rise.

    Example:
        >>> Spending((4, 8, 9), (0.0878, 0.7023, 1.0)).share
        1.0
    """

    seeds: tuple[int, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.seeds or len(self.seeds) != len(self.shares):
            raise ValueError(f"each look needs one share, got {len(self.seeds)} looks and {self.shares!r}")
        rising = all(a < b for a, b in pairwise((0, *self.seeds)))
        if not rising or self.shares[0] <= 0 or any(a > b for a, b in pairwise(self.shares)):
            raise ValueError(
                f"looks must be at more and more seeds with shares above 0 that never fall, got seeds "
                f"{self.seeds!r} and shares {self.shares!r}"
            )

    @property
    def share(self) -> float:
        """What may be spent by the last look, as a share of alpha; above 1 after seeds were added."""
        return self.shares[-1]

    @property
    def plain(self) -> bool:
        """Whether this is a single look with the whole error rate."""
        return self.shares == (1.0,)


def planned_once(seeds: int) -> Spending:
    """One look, when all planned seeds are there: it may spend everything.

    Args:
        seeds: of the plan, >= 1.

    Example:
        >>> planned_once(9)
        Spending(seeds=(9,), shares=(1.0,))
    """
    return Spending((seeds,), (1.0,))


def spent(history: Iterable[LookedAt]) -> Spending:
    """The spending that a history of looks stands for.

    A *plan* of N seeds is looked at once, at N: the whole of alpha is there. A *peek* at n < N seeds may
    spend little, so that the plan keeps nearly all of its power; *until resolved* spends evenly, since
    stopping early is its purpose. Seeds that are *added after a verdict* get half of what the verdict had,
    the next ones half of that:

        peeks:           α(n) = α · (n/N)³
        until resolved:  α(n) = α · n/N
        added:           α(N_2) = α + α/2,  α(N_3) = α + α/2 + α/4, ...  < 2α;   peeks among the n added
                         seeds of m: the added part times (n/m)³

    A number of seeds that was looked at before tells nothing new. A look at fewer seeds than an earlier one
    (tasks or methods came later) is a peek of its plan, and the earlier one has no results yet: it is left
    out.

    Args:
        history: the looks in the order in which they happened, the present one last.

    Returns:
        The looks by rising number of seeds, up to the present one.

    Raises:
        ValueError: there is no look.

    Example:
        >>> spent([LookedAt(4, 9), LookedAt(9, 9)]).seeds
        (4, 9)
        >>> [round(share, 3) for share in spent([LookedAt(n, 9) for n in (2, 4, 8, 9)]).shares]
        [0.011, 0.088, 0.702, 1.0]
        >>> spent([LookedAt(n, 24, until_resolved=True) for n in (6, 12)]).shares
        (0.25, 0.5)
        >>> spent([LookedAt(9, 9), LookedAt(18, 18), LookedAt(20, 20)]).shares
        (1.0, 1.5, 1.75)

    Reference:
        Lan & DeMets (1983), "Discrete sequential boundaries for clinical trials", doi 10.2307/2336502;
        Kim & DeMets (1987), doi 10.2307/2336029 (powers of the share of the data).
    """
    shares: dict[int, float] = {}
    present = 0
    base, floor, budget = (
        0,
        0.0,
        1.0,
    )  # seeds at the last verdict; what was spent by then; what is left to spend
    for look in history:
        present = look.seeds
        power = 1 if look.until_resolved else 3
        if look.seeds in shares and look.seeds < look.planned:
            continue
        if look.seeds <= base:
            shares.setdefault(look.seeds, (look.seeds / look.planned) ** power)
            continue
        part = ((look.seeds - base) / (look.planned - base)) ** power
        shares[look.seeds] = floor + budget * part
        if look.seeds == look.planned:
            base, floor, budget = look.seeds, floor + budget, budget / 2
    rising, most = {}, 0.0
    for seeds in sorted(number for number in shares if number <= present):
        most = rising[seeds] = max(most, shares[seeds])
    return Spending(tuple(rising), tuple(rising.values()))


def looks_until_resolved(most: int, alpha: float, tests: int = 1) -> tuple[int, ...]:
    """Where a comparison that runs until resolved is looked at: at every second seed, once they can tell.

    With all differences on one side, a first look at n seeds has p = 2^(1−n) · N/n, which must be below
    alpha / tests. The last look is at N, and the others are an even number of seeds before it.

    Args:
        most: N, the declared maximum of seeds, >= 1.
        alpha: the error rate.
        tests: in the family; Holm's first step has alpha / tests.

    Returns:
        Numbers of complete seeds, rising; empty where N seeds resolve nothing.

    Example:
        >>> looks_until_resolved(24, 0.05)
        (8, 10, 12, 14, 16, 18, 20, 22, 24)
        >>> looks_until_resolved(11, 0.05, tests=3), looks_until_resolved(5, 0.05)
        ((9, 11), ())
    """
    able = (n for n in range(1, most + 1) if 2.0 ** (1 - n) * most / n < alpha / tests)
    return tuple(n for n in able if (most - n) % 2 == 0)
