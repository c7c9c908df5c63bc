"""Pairing by seed: which run is compared with which, and which runs are left over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dither.stats.scores import Score

# Scores that agree to a billionth of a point are one score, summed in another order.
TIE = 1e-9

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pairs:
    """The runs of one method on one task beside the baseline's, paired by seed.

    Args:
        method: name of the method.
        baseline: name of the baseline.
        task: name of the task.
        planned: number of planned pairs.
        seeds: the n paired seeds in the order of the plan.
        method_scores: shape (n,), points; NaN for a run without a score.
        baseline_scores: shape (n,), likewise.
        method_failed: shape (n,), which of the method's runs failed.
        baseline_failed: shape (n,), likewise.
        unpaired: planned seeds that only one arm has.
        unplanned: seeds outside the plan that either arm has; they take no part.
        dropped: seeds whose pair was dropped because a run of it failed.
        plan: the planned seeds in their order.
    """

    method: str
    baseline: str
    task: str
    planned: int
    seeds: tuple[int, ...]
    method_scores: Floats
    baseline_scores: Floats
    method_failed: NDArray[np.bool_]
    baseline_failed: NDArray[np.bool_]
    unpaired: tuple[int, ...] = ()
    unplanned: tuple[int, ...] = ()
    dropped: tuple[int, ...] = ()
    plan: tuple[int, ...] = ()

    @property
    def differences(self) -> Floats:
        """Method minus baseline per pair, shape (n,), points; ties are exact zeros, NaN without a score."""
        differences = self.method_scores - self.baseline_scores
        return np.where(np.abs(differences) <= TIE, 0.0, differences)

    @property
    def scoreless(self) -> tuple[int, ...]:
        """Seeds of the pairs in which a run has no score."""
        lost = ~(np.isfinite(self.method_scores) & np.isfinite(self.baseline_scores))
        return tuple(seed for seed, gone in zip(self.seeds, lost, strict=True) if gone)

    @property
    def missing(self) -> int:
        """Planned pairs of which at least one run does not exist."""
        return self.planned - len(self.seeds) - len(self.dropped)

    def in_plan(self, seeds: Sequence[int], values: Floats) -> Floats:
        """Values of some seeds in the order of the plan, NaN for a seed without one.

        Args:
            seeds: of the plan, each once.
            values: shape (len(seeds),).

        Returns:
            Shape (planned,).
        """
        own = dict(zip(seeds, values, strict=True))
        return np.array([own.get(seed, np.nan) for seed in self.plan], dtype=np.float64)

    def without_failed(self) -> Pairs:
        """The pairs in which neither run failed.

        Whether a pair is dropped does not depend on which arm failed, so under the null hypothesis (arms
        exchangeable) the signs of the differences that remain are still fair coins.
        """
        keep = ~(self.method_failed | self.baseline_failed)
        if keep.all():
            return self
        return replace(
            self,
            seeds=tuple(seed for seed, kept in zip(self.seeds, keep, strict=True) if kept),
            method_scores=self.method_scores[keep],
            baseline_scores=self.baseline_scores[keep],
            method_failed=self.method_failed[keep],
            baseline_failed=self.baseline_failed[keep],
            dropped=tuple(seed for seed, kept in zip(self.seeds, keep, strict=True) if not kept),
        )


def pair_up(
    method_runs: Mapping[int, Score],
    baseline_runs: Mapping[int, Score],
    planned_seeds: Sequence[int],
    *,
    names: tuple[str, str, str],
) -> Pairs:
    """Pair two arms of one task by seed.

    Args:
        method_runs: seed -> run of the method.
        baseline_runs: seed -> run of the baseline.
        planned_seeds: the seeds of the plan, each once.
        names: method, baseline, task.

    Returns:
        The pairs in the order of the plan, with the seeds that were left over and why.

    Example:
        >>> plain = {s: Score("none", "rte", s, 60.0 + s) for s in (0, 1, 2, 9)}
        >>> pats = {s: Score("pats", "rte", s, 61.0 + s) for s in (0, 1)}
        >>> pairs = pair_up(pats, plain, range(4), names=("pats", "none", "rte"))
        >>> pairs.seeds, pairs.unpaired, pairs.unplanned, pairs.missing
        ((0, 1), (2,), (9,), 2)
    """
    method, baseline, task = names
    seeds = [seed for seed in planned_seeds if seed in method_runs and seed in baseline_runs]
    plan = set(planned_seeds)
    one_sided = (set(method_runs) ^ set(baseline_runs)) & plan
    ours, plain = [method_runs[s] for s in seeds], [baseline_runs[s] for s in seeds]
    return Pairs(
        method=method,
        baseline=baseline,
        task=task,
        planned=len(planned_seeds),
        seeds=tuple(seeds),
        method_scores=np.array([s.score for s in ours], dtype=np.float64),
        baseline_scores=np.array([s.score for s in plain], dtype=np.float64),
        method_failed=np.array([s.failed for s in ours], dtype=np.bool_),
        baseline_failed=np.array([s.failed for s in plain], dtype=np.bool_),
        unpaired=tuple(sorted(one_sided)),
        unplanned=tuple(sorted((set(method_runs) | set(baseline_runs)) - plan)),
        plan=tuple(planned_seeds),
    )
