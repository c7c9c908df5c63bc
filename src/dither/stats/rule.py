"""What is declared before the data are seen: the error rate, the margin, and how often one has looked."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dither.stats.boundaries import nominal_level
from dither.stats.spending import LookedAt, Spending, spent


@dataclass(frozen=True)
class Rule:
    """The declared rule of decision, the same for every comparison of an analysis.

    p values are adjusted for the looks (`dither.stats.sequential.sequential_flip`), so they are compared with
    ``alpha`` at every look. Intervals are made at the look's own nominal level
    (`dither.stats.boundaries.nominal_level`), so that all of them together keep ``alpha`` as well.

    Of looks that are known by their number alone, look ``k`` is made at

        level_k = alpha * 2^-(k-1)        and        sum over k of level_k < 2 alpha,

    the union bound, which needs to know nothing else; its p values are divided by 2^-(k-1).

    Args:
        alpha: error rate of a plan that is looked at once, in (0, 0.5).
        margin: differences within ±margin points are of no interest (declared, not chosen afterwards); > 0,
            or None when no claim of equivalence is wanted.
        looks: every look at the results, the present one last; or how many there were, >= 1, this one
            included.

    Raises:
        ValueError: a value outside its range.

    Example:
        >>> rule = Rule(alpha=0.05, looks=2)
        >>> rule.level, rule.confidence, round(rule.overall, 3)
        (0.025, 0.975, 0.075)
        >>> peeked = Rule(looks=(LookedAt(4, 9), LookedAt(8, 9), LookedAt(9, 9)))
        >>> round(peeked.level, 4), peeked.overall
        (0.0349, 0.05)
    """

    alpha: float = 0.05
    margin: float | None = None
    looks: int | tuple[LookedAt, ...] = 1

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha must lie in (0, 0.5), got {self.alpha!r}; 0.05 is usual")
        if self.margin is not None and not 0 < self.margin < float("inf"):
            raise ValueError(
                f"margin must be a positive number of points, got {self.margin!r}; "
                "leave it out when no equivalence is to be tested"
            )
        if isinstance(self.looks, tuple):
            spent(self.looks)
        elif isinstance(self.looks, bool) or not isinstance(self.looks, int) or self.looks < 1:
            raise ValueError(f"looks must be an integer >= 1 that counts this look, got {self.looks!r}")

    def spending(self, seeds: int) -> Spending:
        """The looks and what each may have spent.

        Args:
            seeds: at the present look; of no matter where the looks say it themselves.
        """
        return spent(self.looks) if isinstance(self.looks, tuple) else Spending((seeds,), (self.share,))

    @property
    def count(self) -> int:
        """How many different looks there were, this one included."""
        return len(spent(self.looks).seeds) if isinstance(self.looks, tuple) else self.looks

    @property
    def present(self) -> LookedAt | None:
        """The present look; None where looks are known by their number alone."""
        return self.looks[-1] if isinstance(self.looks, tuple) else None

    @property
    def interim(self) -> bool:
        """Whether the plan has more seeds than the present look."""
        return self.present is not None and self.present.seeds < self.present.planned

    @property
    def share(self) -> float:
        """What tests may spend by this look, as a share of alpha."""
        return spent(self.looks).share if isinstance(self.looks, tuple) else 0.5 ** (self.looks - 1)

    def level_of(self, tests: int = 1, *, one_sided: bool = False) -> float:
        """The nominal level of this look's own test, where alpha is shared by some tests.

        Args:
            tests: that share it equally, >= 1.
            one_sided: of a test of one side, as in the test of equivalence.
        """
        if isinstance(self.looks, int):
            return self.alpha * self.share / tests
        return nominal_level(spent(self.looks), self.alpha / tests, one_sided=one_sided)

    @property
    def level(self) -> float:
        """The nominal level of this look."""
        return self.level_of()

    @property
    def confidence(self) -> float:
        """The confidence of the intervals that are printed at this look."""
        return 1 - self.level

    @property
    def overall(self) -> float:
        """The bound on the error rate over all looks, those that the present plan still has included."""
        if isinstance(self.looks, int):
            return self.alpha * (2 - 0.5 ** (self.looks - 1))
        halves = 0  # verdicts before the present plan
        while 2 - 0.5**halves < self.share - 1e-12:
            halves += 1
        return self.alpha * (2 - 0.5**halves)

    def after_more_seeds(self) -> Rule:
        """The rule of a second verdict, of whoever adds as many seeds again after this look."""
        if isinstance(self.looks, int):
            return replace(self, looks=self.looks + 1)
        twice = 2 * self.looks[-1].planned
        return replace(self, looks=(*self.looks, LookedAt(twice, twice)))

    @property
    def seen(self) -> str:
        """The looks in words; "" for a single one of a whole plan.

        Example:
            >>> Rule(looks=(LookedAt(4, 9), LookedAt(9, 9))).seen
            'looked at 4 and 9 seeds'
            >>> Rule(looks=2).seen
            'looked 2 times'
        """
        if isinstance(self.looks, int):
            return f"looked {self.looks} times" if self.looks > 1 else ""
        seeds = [str(number) for number in spent(self.looks).seeds]
        if len(seeds) == 1 and self.share == 1:
            return ""
        return f"looked at {' and '.join([', '.join(seeds[:-1]), seeds[-1]] if seeds[1:] else seeds)} seeds"

    @property
    def cost_of_looks(self) -> str:
        """What looking costs, in a sentence; "" for a single look at a whole plan.

        Example:
            >>> Rule(looks=2).cost_of_looks  # doctest: +NORMALIZE_WHITESPACE
            'These results were seen 2 times, this time included. p values and intervals are adjusted for
            that; the chance of any false alarm over all looks is below 0.075.'
        """
        if not self.seen:
            return ""
        many = isinstance(self.looks, int)
        where = f"{self.looks} times, this time included" if many else self.seen.removeprefix("looked ")
        return (
            f"These results were seen {where}. p values and intervals are adjusted for that; the chance of "
            f"any false alarm over all looks is below {self.overall:.3g}."
        )
