"""NoisyTune: noise on every weight tensor once, before fine-tuning.

C. Wu, F. Wu, T. Qi and Y. Huang, "NoisyTune: A Little Noise Can Help You Finetune Pretrained Language Models
Better", ACL 2022 (short papers), https://doi.org/10.18653/v1/2022.acl-short.76.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from dither.core.draws import LAWS, stream_key
from dither.core.noise import Law, Noise, Rounding
from dither.core.selection import Patterns, Strength
from dither.core.statistics import Moments, combine, float32
from dither.methods.settings import Unresolved, check_choice, check_common, recipe_of


@dataclass(frozen=True, kw_only=True)
class NoisyTune:
    """Add uniform noise to every parameter tensor, scaled by the tensor's own standard deviation.

        W ← W + std(W) · U(−λ/2, λ/2)       elementwise, once, before the first training step

    `std` is the unbiased estimator over the whole logical tensor. Tensors of one element or of spread 0 are
    left alone and listed in the Record, as are frozen, integer and quantised ones.

    Where we differ from the authors' two-line snippet: exact zeros (padding rows) stay zero, one-element
    tensors are not destroyed, tied weights are noised once.

    Args:
        noise_lambda: λ >= 0; 0.15 is the paper's value on GLUE, 0.1 on XTREME. A map of glob patterns to
            values gives each tensor the value of the first pattern that fits; tensors that fit none are
            left alone. "matched" has no number before `dither.match_dose` gives it one.
        seed: in [0, 2^64). None means 0, and in a Trainer the run's own seed.
        include: glob patterns on canonical names; None for all tensors.
        exclude: glob patterns of tensors to leave alone.
        scope: "all", or "backbone" to leave a head alone.
        token_embeddings: False leaves the input embeddings alone, as the paper does in the multilingual
            setting.
        frozen: noise parameters that do not require gradients, too.
        zeros: "keep" leaves weights that are exactly zero; "noise" follows the letter of the paper.
        law: "uniform", or "gaussian" of the same variance (an ablation of the paper).
        across: "tensor" for each tensor's own std, "model" for one std over all of them (the paper's
            ablation with one global scale).
        rounding: to half precision: "nearest" or "stochastic".

    Raises:
        ValueError, TypeError: a setting outside its range; the message names it.

    Example:
        >>> import torch, dither
        >>> model = torch.nn.Linear(8, 8)
        >>> record = dither.apply_(model, NoisyTune(noise_lambda=0.2, exclude="*bias", seed=3))
        >>> record.counts()
        {'noised': 1, 'skipped': 1}
    """

    noise_lambda: Strength | Unresolved = 0.15
    seed: int | None = None
    include: Patterns = None
    exclude: Patterns = None
    scope: Literal["all", "backbone"] = "all"
    token_embeddings: bool = True
    frozen: bool = False
    zeros: Literal["keep", "noise"] = "keep"
    law: Law = "uniform"
    across: Literal["tensor", "model"] = "tensor"
    rounding: Rounding = "nearest"

    family: ClassVar[str] = "noisytune"
    when: ClassVar[str] = "before training"
    noise_kind: ClassVar[str] = "stays"
    vectors: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_common(self)
        check_choice("zeros", self.zeros, ("keep", "noise"))
        check_choice("law", self.law, tuple(LAWS))
        check_choice("across", self.across, ("tensor", "model"))

    def spreads(self, found: Mapping[str, Moments]) -> tuple[dict[str, float], set[str]]:
        """What scales the noise of each tensor, and which tensors are constant and get none.

        Args:
            found: the moments of the tensors to be noised, by name.

        Returns:
            std of each, or of all but the constant ones together where across is "model"; names.
        """
        stds = {name: one.std for name, one in found.items()}
        constant = {name for name, std in stds.items() if std == 0.0}
        if self.across == "model":
            together = combine(one for name, one in found.items() if name not in constant)
            stds = dict.fromkeys(stds, together.std)
        return stds, constant

    def noise(self, name: str, *, strength: float, std: float, seed: int, step: int) -> Noise:
        """The description of one tensor's noise.

        Args:
            name: canonical.
            strength: its λ.
            std: from `spreads`.
            seed: of the draws.
            step: how often the weights were noised before.
        """
        return Noise(
            key=stream_key(seed, self.family, name),
            scale=float32(strength * std),
            step=step,
            law=self.law,
            keep_zeros=self.zeros == "keep",
            rounding=self.rounding,
        )

    def recipe(self, seed: int) -> dict[str, object]:
        """Everything that determines the noise, as JSON values."""
        return recipe_of(self, seed)
