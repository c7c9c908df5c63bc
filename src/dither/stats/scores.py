"""The scores of runs, as they come in, and the checks at the border."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Score:
    """The last evaluation of one run.

    A run without a score (NaN or infinite: it crashed, or its loss did) is a failed run, whatever ``failed``
    says.

    Args:
        method: name of the arm.
        task: name of the task.
        seed: seed of the run, the unit of pairing; an integer.
        score: points in [-100, 100], or NaN for a run that has none.
        failed: the loss was not finite, or the score is not above the constant predictor's.
        n_examples: size of the evaluated split, >= 1, or None when it is not known.

    Raises:
        ValueError: a score outside [-100, 100], a size below 1.
        TypeError: a seed that is not an integer, a score that is not a number.

    Example:
        >>> Score("none", "rte", 0, float("nan")).failed
        True
    """

    method: str
    task: str
    seed: int
    score: float
    failed: bool = False
    n_examples: int | None = None

    def __post_init__(self) -> None:
        where = f"run (method {self.method!r}, task {self.task!r}, seed {self.seed!r})"
        if isinstance(self.seed, bool) or not isinstance(self.seed, Integral):
            raise TypeError(f"{where}: the seed must be an integer, got {type(self.seed).__name__}")
        if not isinstance(self.score, Real):
            raise TypeError(
                f"{where}: the score must be a number, NaN for a run without one, "
                f"got {type(self.score).__name__}"
            )
        object.__setattr__(self, "seed", int(self.seed))
        object.__setattr__(self, "score", float(self.score))
        # The slack is for means of sub-scores that round to just above 100.
        if math.isfinite(self.score) and abs(self.score) > 100 + 1e-6:
            raise ValueError(f"{where}: score {self.score!r} is not in points, -100 to 100; rescale it")
        if self.n_examples is not None and self.n_examples < 1:
            raise ValueError(f"{where}: n_examples must be >= 1 or None, got {self.n_examples!r}")
        object.__setattr__(self, "failed", bool(self.failed) or not self.scored)

    @property
    def scored(self) -> bool:
        """Whether the run has a finite score."""
        return math.isfinite(self.score)


def check_unique(scores: Sequence[Score]) -> None:
    """Refuse two runs of the same method, task and seed.

    Args:
        scores: the runs.

    Raises:
        ValueError: naming the duplicates.

    Example:
        >>> check_unique([Score("none", "rte", 0, 60.0), Score("none", "rte", 1, 61.0)])
    """
    counts = Counter((s.method, s.task, s.seed) for s in scores)
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        shown = "; ".join(
            f"method {m!r}, task {t!r}, seed {s} ({counts[m, t, s]} rows)" for m, t, s in twice[:_SHOWN]
        )
        more = f"; and {len(twice) - _SHOWN} more" if len(twice) > _SHOWN else ""
        raise ValueError(
            f"{len(twice)} run(s) occur more than once: {shown}{more}; "
            "keep one row per run, a repeated run needs a seed of its own"
        )


def check_known(name: str, known: Iterable[str], *, what: str) -> None:
    """Refuse a name that is not among the known ones, with the nearest match and the list.

    Args:
        name: the name asked for.
        known: the names there are.
        what: what the name stands for, for the message.

    Raises:
        ValueError: naming the nearest match and the list.

    Example:
        >>> check_known("none", ["none", "pats"], what="baseline")
    """
    names = list(known)
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise ValueError(f"unknown {what} {name!r}{hint}; there are {', '.join(map(repr, names))}")


def planned(names: Sequence[str] | None, found: Iterable[str], *, what: str) -> tuple[str, ...]:
    """The names of the plan in its order, or those found in order of appearance.

    Args:
        names: the planned names, or None when whatever is found counts as planned.
        found: the names that occur in the scores, repetitions allowed.
        what: "methods" or "tasks", for the message.

    Returns:
        The names, each once.

    Raises:
        ValueError: a repeated name in the plan, or runs of something that is not planned.

    Example:
        >>> planned(None, ["rte", "cola", "rte"], what="tasks")
        ('rte', 'cola')
    """
    seen = tuple(dict.fromkeys(found))
    if names is None:
        return seen
    if isinstance(names, str):
        raise TypeError(f"planned {what} must be a sequence of names, got the string {names!r}")
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"planned {what} repeat {', '.join(map(repr, repeated))}; name each once")
    surplus = [name for name in seen if name not in names]
    if surplus:
        raise ValueError(
            f"runs of {what} that are not planned: {', '.join(map(repr, surplus))}; "
            f"planned are {', '.join(map(repr, names))}. Add them to the plan or leave their runs out"
        )
    return tuple(names)


def split_sizes(scores: Iterable[Score]) -> dict[str, int]:
    """How many examples each task is evaluated on, where it is known.

    Args:
        scores: the runs.

    Returns:
        Task -> number of examples, without the tasks for which no run says it.

    Raises:
        ValueError: two runs of one task with different sizes: they were not evaluated on the same split.

    Example:
        >>> split_sizes([Score("none", "rte", 0, 60.0, n_examples=277), Score("none", "cola", 0, 50.0)])
        {'rte': 277}
    """
    sizes: dict[str, int] = {}
    for s in scores:
        if s.n_examples is not None and sizes.setdefault(s.task, s.n_examples) != s.n_examples:
            raise ValueError(
                f"task {s.task!r} was evaluated on {sizes[s.task]} and on {s.n_examples} examples "
                f"(method {s.method!r}, seed {s.seed}); runs of one task need one evaluation split"
            )
    return sizes
