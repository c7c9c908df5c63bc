"""The phases of a training run, and the steps of each at which something is measured."""

import itertools
from dataclasses import dataclass

PHASES, SAMPLES = 8, 4


@dataclass(frozen=True)
class Phase:
    """A part of a run.

    Attributes:
        first: its first optimizer step, counted from 1.
        last: its last one.
        samples: the steps to be measured, evenly spaced.
    """

    first: int
    last: int
    samples: tuple[int, ...]


def phases_of(total: int) -> tuple[Phase, ...]:
    """Cut a run into 8 phases of equal length, to a step, and choose 4 steps in each, or all there are.

    Args:
        total: the optimizer steps of the run, > 0.

    Example:
        >>> found = phases_of(80)
        >>> len(found), found[0], found[-1].last
        (8, Phase(first=1, last=10, samples=(2, 4, 7, 9)), 80)
        >>> [phase.samples for phase in phases_of(3)]
        [(1,), (2,), (3,)]
    """
    count = min(PHASES, total)
    ends = [total * number // count for number in range(count + 1)]
    return tuple(_phase(first + 1, last) for first, last in itertools.pairwise(ends))


def _phase(first: int, last: int) -> Phase:
    length = last - first + 1
    samples = min(SAMPLES, length)
    # The middles of as many equal parts.
    middles = (first + (2 * number + 1) * length // (2 * samples) for number in range(samples))
    return Phase(first, last, tuple(middles))
