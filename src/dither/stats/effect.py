"""One difference between a method and the baseline: what is known of it, and the verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "better",
    "worse",
    "equivalent",
    "identical",
    "not resolved",
    "out of reach",
    "incomplete",
    "no score",
    "none",
]


@dataclass(frozen=True)
class Verdict:
    """A decision and its wording.

    Args:
        kind: "better" and "worse" are resolved; "equivalent" lies within the declared margin; "identical" has
            the same scores in all pairs; "not resolved" is the default; "out of reach" cannot be resolved
            with so few pairs; "incomplete", "no score" and "none" are no verdicts.
        text: the sentence to print.
    """

    kind: Kind
    text: str

    @property
    def resolved(self) -> bool:
        """Whether a difference was shown."""
        return self.kind in ("better", "worse")


_NAN = math.nan
_NO_INTERVAL = (math.nan, math.nan)
_PENDING = Verdict("none", "no verdict yet")


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One difference between a method and the baseline, and all that bears on it. Scores are in points.

    Args:
        method: the method.
        baseline: the arm it is compared with.
        planned: planned pairs, one a seed.
        pairs: pairs that the numbers rest on, one a seed.
        missing: planned pairs of which a run does not exist.
        scoreless: pairs in which a run has no score; then no mean can be formed and the estimates are NaN.
        dropped: pairs left out because a run of them failed (second table only).
        failed: failed runs of both arms that count with their scores (first table only).
        untied: pairs with different scores; only they have a sign.
        difference: mean paired difference, method minus baseline.
        se: its standard error.
        df: degrees of freedom of the standard error.
        interval: t interval at the confidence of the look.
        p: two-sided sign-flip p.
        p_floor: the smallest p that these differences could have given.
        p_exact: whether p was enumerated (else drawn).
        tests: size of the family that Holm's method adjusts for.
        p_holm: Holm-adjusted p; NaN while runs are missing.
        p_holm_floor: the smallest adjusted p that the family could have given.
        detectable: minimum detectable effect at 80 % power at level / tests; infinite when p cannot get
            there.
        p_equivalence: at the declared margin, the largest p of TOST by t and of both one-sided sign-flip
            tests; NaN without a margin, and where a run failed: nothing is claimed then.
        p_equivalence_holm: the same, Holm-adjusted in the family of the equivalence tests.
        equivalence_interval: the 1 − 2·level interval; inside ±margin whenever p_equivalence < level.
        verdict: the decision in words.
    """

    method: str
    baseline: str
    planned: int
    pairs: int
    missing: int
    scoreless: int
    dropped: int
    failed: int
    untied: int
    difference: float
    se: float
    df: float
    interval: tuple[float, float]
    p: float
    p_floor: float
    p_exact: bool
    tests: int = 0
    p_holm: float = _NAN
    p_holm_floor: float = _NAN
    detectable: float = _NAN
    p_equivalence: float = _NAN
    p_equivalence_holm: float = _NAN
    equivalence_interval: tuple[float, float] = _NO_INTERVAL
    verdict: Verdict = _PENDING

    @property
    def complete(self) -> bool:
        """Whether every planned run exists and has a score, and pairs are left."""
        return self.missing == 0 and self.scoreless == 0 and self.pairs > 0

    @property
    def identical(self) -> bool:
        """Whether all pairs are ties: nothing to test, p is 1 whatever the family."""
        return self.complete and math.isfinite(self.difference) and self.untied == 0

    @property
    def unit(self) -> str:
        """What a pair is: two runs, or where several tasks are averaged, all runs of a seed."""
        return "pair"

    @property
    def runs(self) -> int:
        """How many runs of the method the numbers rest on."""
        return self.pairs

    @property
    def counted(self) -> bool:
        """Whether it takes a place in a family of tests: all do but the baseline itself and all-tied ones.

        Given the sizes of the differences, which the sign-flip test takes as given, an all-tied comparison
        can never be rejected; so leaving it out costs no error and the control arms no power.
        """
        return self.method != self.baseline and not self.identical
