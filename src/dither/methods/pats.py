"""PATS: noise during fine-tuning, bigger where a weight matters less for the task.

Y. Zhang, H. Zhang, S. Wang, W. Wu and Z. Li, "PATS: Sensitivity-aware Noisy Learning for Pretrained Language
Models", EMNLP 2022, https://doi.org/10.18653/v1/2022.emnlp-main.241. Only the abstract was at hand: the rule
is our reconstruction (`dither.core.sensitivity`).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from dither.core.noise import Measure, Rounding, SensitivityRule, Weighting
from dither.core.schedules import SCHEDULES
from dither.core.selection import Patterns, Strength
from dither.methods.settings import (
    Unresolved,
    check_choice,
    check_common,
    check_range,
    check_step,
    recipe_of,
)


@dataclass(frozen=True, kw_only=True)
class PATS:
    """Perturbation According To Sensitivity: after each optimizer step, noise where the loss hardly feels it.

    After step t, with the gradient G that the step used:

        s = |W ⊙ G|                                   what zeroing a weight would change, to first order
        A = elements with s ≠ 0                       those about which this step says something
        e ← s at first, then β·e + (1 − β)·s          on A, unchanged elsewhere
        m = mean of e over A
        r = max(0, 1 − e / m_before)^γ                on A, 0 elsewhere; no noise at the first step
        W ← W + λ · c · std(W_0) · r ⊙ U(−1/2, 1/2)    c = (lr / lr_max) / sqrt(Σ (lr / lr_max)²)

    The sum goes over the steps of the run with noise, so λ is the dose of the whole run: what a weight that
    always gets full noise has accumulated at its end has the spread of NoisyTune's noise at the same λ,
    whatever the number of steps and the schedule of the learning rate. The Trainer tells the schedule;
    `dither.attach` takes it. *This is our reconstruction from the abstract of the paper*, which does not give
    the formula.

    Args:
        noise_lambda: λ >= 0, or a map of glob patterns to values (see `NoisyTune`). "matched" stands for the
            λ at which the functional dose is a reference's, "energy" for the one at which the energy is
            PATS's: neither has a number before `dither.match_dose` or `dither.match_energy` gives it one.
        beta: β in [0, 1), the memory of the moving average.
        gamma: γ > 0, how sharply noise concentrates on insensitive weights.
        seed: in [0, 2^64). None means 0, and in a Trainer the run's own seed.
        include: glob patterns on canonical names; None for all tensors.
        exclude: glob patterns of tensors to leave alone.
        scope: "all", or "backbone" to leave a head alone.
        token_embeddings: False leaves the input embeddings alone.
        vectors: True includes biases and the gains of norms.
        across: "tensor" for the mean m of each tensor, "model" for one over all tensors.
        start: first optimizer step with noise, counted from 1, below 2^32; the first of all adds none anyhow.
        stop: noise ends before this step; None for never.
        every: noise at each `every`-th step. Fewer steps with noise get more of it each: the dose stays.
        per_step: λ is the dose of a step, c = lr / lr_max; no total_steps needed.
        lr_max: the highest learning rate of the run; None takes that of the schedule, else the optimizer
            group's max_lr, else its initial_lr, else its lr when attached. A higher one is an error.
        schedule: "run" for the dose of the whole run under every schedule; "linear" for the rule of before,
            c = (lr / lr_max) · sqrt(3 · every / T), which is right for linear decay alone and continues runs
            that were begun under it.
        rounding: to half precision: "nearest" or "stochastic".
        average: dtype in which e is kept, "float32" or "bfloat16" for half the memory (docs/pats.md says what
            that changes). A half-precision weight keeps it in its own dtype, which loading would cast it to.
        measure: "gradient", or "magnitude" for the control s = |W|.
        weighting: "insensitivity", or the controls "blind" (r replaced by its root mean square over A) and
            "inverted" (1 − r at the same root mean square).
        idle: noise also off A (a control).

    Raises:
        ValueError, TypeError: a setting outside its range; the message names it.

    Example:
        >>> import torch, dither
        >>> model = torch.nn.Linear(4, 4)
        >>> optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        >>> handle = dither.attach(PATS(noise_lambda=0.15, seed=0), optimizer, model, total_steps=100)
        >>> handle.detach()
    """

    noise_lambda: Strength | Unresolved = 0.15
    beta: float = 0.85
    gamma: float = 1.0
    seed: int | None = None
    include: Patterns = None
    exclude: Patterns = None
    scope: Literal["all", "backbone"] = "all"
    token_embeddings: bool = True
    vectors: bool = False
    across: Literal["tensor", "model"] = "tensor"
    start: int = 1
    stop: int | None = None
    every: int = 1
    per_step: bool = False
    lr_max: float | None = None
    schedule: Literal["run", "linear"] = "run"
    rounding: Rounding = "nearest"
    average: Literal["float32", "bfloat16"] = "float32"
    measure: Measure = "gradient"
    weighting: Weighting = "insensitivity"
    idle: bool = False

    family: ClassVar[str] = "pats"
    when: ClassVar[str] = "during training"
    noise_kind: ClassVar[str] = "stays"
    frozen: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_common(self)
        beta = check_range("beta", self.beta, 0.0, 1.0, closed="left")
        gamma = check_range("gamma", self.gamma, 0.0, float("inf"), closed="neither")
        object.__setattr__(self, "beta", beta)
        object.__setattr__(self, "gamma", gamma)
        check_choice("across", self.across, ("tensor", "model"))
        check_choice("average", self.average, ("float32", "bfloat16"))
        check_choice("measure", self.measure, ("gradient", "magnitude"))
        check_choice("weighting", self.weighting, ("insensitivity", "blind", "inverted"))
        check_choice("schedule", self.schedule, SCHEDULES)
        object.__setattr__(self, "start", check_step("start", self.start, least=1))
        object.__setattr__(self, "every", check_step("every", self.every, least=1))
        if self.stop is not None:
            object.__setattr__(self, "stop", check_step("stop", self.stop, least=self.start))
        if self.lr_max is not None:
            peak = check_range("lr_max", self.lr_max, 0.0, float("inf"), closed="neither")
            object.__setattr__(self, "lr_max", peak)
        if self.idle and self.weighting != "insensitivity":
            raise ValueError(
                f"idle=True goes with weighting='insensitivity', not with {self.weighting!r}, which is "
                "defined on the active weights alone"
            )

    @property
    def rule(self) -> SensitivityRule:
        """How gradients become weights of the noise."""
        return SensitivityRule(self.beta, self.gamma, self.measure, self.weighting, self.idle)

    @property
    def is_normalised(self) -> bool:
        """Whether the doses of a run's steps are made to add up by its own learning rates."""
        return self.schedule == "run" and not self.per_step

    def noise_steps(self, total_steps: int) -> range:
        """The steps of a run, counted from 1, that add noise; never the first, which knows no mean yet.

        Example:
            >>> list(PATS().noise_steps(4)), list(PATS(every=3, stop=9).noise_steps(100))
            ([2, 3, 4], [4, 7])
        """
        first = self.start if self.start > 1 else 1 + self.every
        end = total_steps + 1 if self.stop is None else min(self.stop, total_steps + 1)
        return range(first, end, self.every)

    def adds_noise_at(self, step: Tensor) -> Tensor:
        """Whether a step, counted from 1, is one of those with noise: on the step's device, without waiting.

        Example:
            >>> import torch
            >>> PATS(start=3, every=2).adds_noise_at(torch.arange(1, 7))
            tensor([False, False,  True, False,  True, False])
        """
        in_time = (step >= self.start) & ((step - self.start) % self.every == 0)
        return in_time if self.stop is None else in_time & (step < self.stop)

    def recipe(self, seed: int) -> dict[str, object]:
        """Everything that determines the noise, as JSON values."""
        return recipe_of(self, seed)
