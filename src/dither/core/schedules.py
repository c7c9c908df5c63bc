"""The strength of the noise over a training run."""

import math


def dose_factor(
    learning_rate: float, max_learning_rate: float, *, total_steps: int | None, every: int = 1
) -> float:
    """The share c_t of the run's dose that one step gives.

        c_t = (lr_t / lr_max) · sqrt(3·every / T),   or lr_t / lr_max where T is None

    With T steps, a linear schedule and noise at every `every`-th of them, the squares sum to one: the
    accumulated noise of a weight that always gets it in full has the spread of NoisyTune's at the same λ,
    whatever T is.

    Args:
        learning_rate: of this step, >= 0.
        max_learning_rate: the highest of the run, > 0.
        total_steps: T, the number of optimizer steps of the whole run, or None for the raw rule.
        every: noise is added at every `every`-th step.

    Example:
        >>> T = 1000
        >>> round(sum(dose_factor(1 - t / T, 1.0, total_steps=T) ** 2 for t in range(T)), 2)
        1.0
    """
    ratio = learning_rate / max_learning_rate
    return ratio if total_steps is None else ratio * math.sqrt(3.0 * every / total_steps)
