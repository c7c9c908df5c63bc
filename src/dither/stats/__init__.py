"""Paired comparison of training methods over seeds: intervals, exact tests, power, verdicts.

The seed is the unit: run seed ``s`` of a method is paired with run seed ``s`` of the baseline. Importing this
package loads neither numpy nor scipy; a name loads what it needs when it is first used.

Example:
    >>> from dither.stats import Score, analyse
    >>> plain = [61.0, 63.5, 62.2, 60.4, 64.1, 62.9]
    >>> gains = [1.2, 0.9, 1.6, 1.1, 0.8, 1.4]
    >>> scores = [Score("none", "rte", seed, score) for seed, score in enumerate(plain)]
    >>> scores += [Score("pats", "rte", seed, s + g) for seed, (s, g) in enumerate(zip(plain, gains))]
    >>> analysis = analyse(scores, planned_seeds=range(6))
    >>> analysis.all_runs.comparison("pats", "rte").verdict.text
    'resolved: better'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dither.stats.analysis import analyse as analyse
    from dither.stats.effect import Verdict as Verdict
    from dither.stats.intervals import equivalence_p as equivalence_p
    from dither.stats.intervals import t_interval as t_interval
    from dither.stats.multiplicity import holm as holm
    from dither.stats.power import minimum_detectable_effect as minimum_detectable_effect
    from dither.stats.power import pairs_needed as pairs_needed
    from dither.stats.rank_correlation import RankCorrelation as RankCorrelation
    from dither.stats.rank_correlation import partial_spearman as partial_spearman
    from dither.stats.rank_correlation import spearman as spearman
    from dither.stats.rule import Rule as Rule
    from dither.stats.scores import Score as Score
    from dither.stats.sequential import sequential_flip as sequential_flip
    from dither.stats.signflip import SignFlip as SignFlip
    from dither.stats.signflip import sign_flip as sign_flip
    from dither.stats.spending import LookedAt as LookedAt
    from dither.stats.spending import Spending as Spending
    from dither.stats.tables import Analysis as Analysis
    from dither.stats.tables import Comparison as Comparison
    from dither.stats.tables import MacroAverage as MacroAverage
    from dither.stats.tables import Table as Table

_HOMES = {
    "Analysis": "tables",
    "Comparison": "tables",
    "LookedAt": "spending",
    "MacroAverage": "tables",
    "RankCorrelation": "rank_correlation",
    "Rule": "rule",
    "Score": "scores",
    "SignFlip": "signflip",
    "Spending": "spending",
    "Table": "tables",
    "Verdict": "effect",
    "analyse": "analysis",
    "equivalence_p": "intervals",
    "holm": "multiplicity",
    "minimum_detectable_effect": "power",
    "pairs_needed": "power",
    "partial_spearman": "rank_correlation",
    "sequential_flip": "sequential",
    "sign_flip": "signflip",
    "spearman": "rank_correlation",
    "t_interval": "intervals",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
