"""Interleaved timing: every candidate in turn, several rounds, so that drift hits all alike."""

import random
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

Work = Callable[[], object]
Clock = Callable[[], float]

SHORTEST = 0.005
"""Seconds that one sample lasts at least: shorter work is repeated within it."""


def interleaved(
    candidates: Mapping[str, Work],
    repeats: int,
    *,
    device: str = "cpu",
    shortest: float = SHORTEST,
    clock: Clock = time.perf_counter,
) -> dict[str, dict[str, Any]]:
    """Time each candidate once a round, in another order each round, after a round of warm-up.

    Args:
        candidates: work by name.
        repeats: rounds.
        device: "cuda" waits for the device before and after each sample.
        shortest: seconds that a sample lasts at least.
        clock: that tells the seconds.

    Returns:
        For each candidate {"median", "q1", "q3", "rounds"} in seconds, or {"error": ...} where it fails.
    """
    loops: dict[str, int] = {}
    failures: dict[str, str] = {}
    for name, work in candidates.items():
        try:
            seconds = sample(work, 1, device, clock)
            if seconds < 10 * shortest:  # the first call may have done more than the work
                seconds = sample(work, 1, device, clock)
            loops[name] = max(1, round(shortest / max(seconds, 1e-9)))
        except Exception as error:  # a candidate that cannot do the work is a result, too
            failures[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    rounds: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(repeats):
        for name in random.Random(number).sample(list(loops), len(loops)):
            rounds[name].append(sample(candidates[name], loops[name], device, clock) / loops[name])
    return {
        name: {"error": failures[name]} if name in failures else summary(rounds[name]) for name in candidates
    }


def sample(work: Work, loops: int, device: str, clock: Clock = time.perf_counter) -> float:
    """Seconds that `loops` calls take together."""
    synchronize(device)
    start = clock()
    for _ in range(loops):
        work()
    synchronize(device)
    return clock() - start


def synchronize(device: str) -> None:
    """Wait until a GPU has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def summary(rounds: list[float]) -> dict[str, Any]:
    """Median, quartiles and the rounds themselves (ratios are taken round by round)."""
    low, middle, high = statistics.quantiles(
        rounds * 2 if len(rounds) == 1 else rounds, n=4, method="inclusive"
    )
    return {
        "median": significant(middle),
        "q1": significant(low),
        "q3": significant(high),
        "rounds": [significant(value) for value in rounds],
    }


def significant(value: float, digits: int = 5) -> float:
    """A number with as many digits as were measured.

    Example:
        >>> significant(0.123456789)
        0.12346
    """
    return float(f"{value:.{digits}g}")
