"""What is declared before the data are seen: the error rate, the margin, and how often one has looked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """The declared rule of decision, the same for every comparison of an analysis.

    A verdict is for the planned number of seeds. Whoever extends the plan after a look, or looks before it is
    complete, tests again, so look ``k`` is made at

        level_k = alpha * 2^-(k-1)        and        sum over k of level_k < 2 alpha.

    This is the union bound: it asks for nothing about the data or about the reason for which the plan was
    extended, and whoever looks once (the design) keeps the full ``alpha``. Spending ``alpha * 2^-k`` would
    hold the total at ``alpha``, at the price that every honest single look is halved; an anytime-valid
    interval would widen the first look as well. The bound that is paid is printed with every verdict after
    the first look.

    Args:
        alpha: error rate of the first look, in (0, 0.5).
        margin: differences within ±margin points are of no interest (declared, not chosen afterwards); > 0,
            or None when no claim of equivalence is wanted.
        looks: how many times verdicts have been read, this time included; >= 1.

    Raises:
        ValueError: a value outside its range.

    Example:
        >>> rule = Rule(alpha=0.05, looks=2)
        >>> rule.level, rule.confidence, round(rule.overall, 3)
        (0.025, 0.975, 0.075)
    """

    alpha: float = 0.05
    margin: float | None = None
    looks: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 0.5:
            raise ValueError(f"alpha must lie in (0, 0.5), got {self.alpha!r}; 0.05 is usual")
        if self.margin is not None and not 0 < self.margin < float("inf"):
            raise ValueError(
                f"margin must be a positive number of points, got {self.margin!r}; "
                "leave it out when no equivalence is to be tested"
            )
        if isinstance(self.looks, bool) or not isinstance(self.looks, int) or self.looks < 1:
            raise ValueError(f"looks must be an integer >= 1 that counts this look, got {self.looks!r}")

    @property
    def level(self) -> float:
        """The error rate of this look."""
        return self.alpha * 0.5 ** (self.looks - 1)

    @property
    def confidence(self) -> float:
        """The confidence of the intervals that are printed at this look."""
        return 1 - self.level

    @property
    def overall(self) -> float:
        """The bound on the error rate over all looks so far."""
        return self.alpha * (2 - 0.5 ** (self.looks - 1))

    @property
    def cost_of_looks(self) -> str:
        """What earlier looks cost this one, in a sentence; "" at the first.

        Example:
            >>> Rule(looks=2).cost_of_looks  # doctest: +NORMALIZE_WHITESPACE
            'These results were looked at 2 times, this time included, so a difference counts below p = 0.025;
            the chance of any false alarm over all looks is below 0.075.'
        """
        if self.looks == 1:
            return ""
        return (
            f"These results were looked at {self.looks} times, this time included, so a difference counts "
            f"below p = {self.level:g}; the chance of any false alarm over all looks is below "
            f"{self.overall:.3g}."
        )
