"""Interleaved timing: every candidate in turn, several times over, so that drift hits all alike."""

import statistics
import time
from collections.abc import Callable


def interleaved(candidates: dict[str, Callable[[], object]], repeats: int = 7) -> dict[str, float]:
    """Median seconds of each candidate over `repeats` rounds, after one round of warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for round_number in range(repeats + 1):
        for name, work in candidates.items():
            start = time.perf_counter()
            work()
            if round_number:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}
