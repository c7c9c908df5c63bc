"""What stands in the results, looked up without complaint: None where something was not measured."""

import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.candidates import COPY

PASSES = 1.5
"""NoisyTune reads a tensor once to measure it, then reads and writes it: 3 passes. A copy moves 2."""

Case = dict[str, Any]


def sections(document: dict[str, Any], part: str) -> Iterator[dict[str, Any]]:
    """The sections of one part, device by device."""
    return (section for section in document.get("sections", []) if section.get("part") == part)


def cases(document: dict[str, Any], part: str, device: str, **wanted: str) -> Iterator[Case]:
    """The cases of one part on one device with the given values."""
    for section in sections(document, part):
        if section.get("device") == device:
            for case in section.get("cases", []):
                if all(case.get(key) == value for key, value in wanted.items()):
                    yield case


def rounds(case: Case, name: str) -> list[float]:
    """Seconds of a candidate, round by round; empty where it was not measured."""
    found: list[float] = case.get("candidates", {}).get(name, {}).get("rounds", [])
    return found


def ratio(case: Case, name: str, base: str) -> float | None:
    """How many times as long as another candidate one takes: the median over the rounds of both."""
    pairs = list(zip(rounds(case, name), rounds(case, base), strict=False))
    return statistics.median(own / other for own, other in pairs) if pairs else None


def ratio_spread(case: Case, name: str, base: str) -> tuple[float, float] | None:
    """The quartiles of that ratio; None below two rounds."""
    ratios = [own / other for own, other in zip(rounds(case, name), rounds(case, base), strict=False)]
    if len(ratios) < 2:
        return None
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return low, high


def limit_share(case: Case, name: str) -> float | None:
    """The time that the memory alone would need over the candidate's: 1 at the limit."""
    found = ratio(case, COPY, name)
    return None if found is None else PASSES * found


def nanoseconds(case: Case, name: str) -> float | None:
    """Median nanoseconds an element."""
    seconds = rounds(case, name)
    return 1e9 * statistics.median(seconds) / case["elements"] if seconds and "elements" in case else None


def added(case: Case, name: str, base: str) -> float | None:
    """Seconds by which one candidate takes longer than another, median over the rounds."""
    pairs = list(zip(rounds(case, name), rounds(case, base), strict=False))
    return statistics.median(own - other for own, other in pairs) if pairs else None
