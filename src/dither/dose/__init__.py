"""The functional dose: how far a method's whole noise moves what a model computes.

    d = sqrt(mean ‖h′ − h‖² / mean ‖h − h̄‖²)

h are the last hidden states of the tokens that count, at the weights as they are; h′ with the whole noise of
a run on the weights; h̄ is the mean of h. λ fixes how wide noise is, d what it does: methods are compared at
equal d.
"""

from torch import nn

from dither.dose.doses import FunctionalDose, MatchedDose
from dither.dose.meter import SENSITIVITY_BATCHES, Batches, DoseMeter, Labelled, Method
from dither.dose.search import TOLERANCE
from dither.methods.noisytune import NoisyTune

__all__ = [
    "SENSITIVITY_BATCHES",
    "TOLERANCE",
    "DoseMeter",
    "FunctionalDose",
    "MatchedDose",
    "functional_dose",
    "match_dose",
    "match_energy",
]


def functional_dose(
    model: nn.Module,
    batches: Batches,
    method: Method,
    *,
    sensitivity_batches: Labelled | None = None,
    seed: int = 0,
    draws: int = 2,
    total_steps: int | None = None,
) -> FunctionalDose:
    """Measure how far a method's whole noise moves a model's last hidden states, at its weights as they are.

        d = sqrt(mean ‖h′ − h‖² / mean ‖h − h̄‖²)

    NoisyTune's noise is added as it is. Of PATS and its controls, sensitivities are followed over labelled
    batches at frozen weights; then the noise of a whole run is λ · std(W_0) · R ⊙ U(−1/2, 1/2), with
    R = sqrt(mean of r² over the steps). The model comes back bit for bit as it was: weights, buffers,
    gradients, training mode; no global random state moves. The draws are of the calibration alone: no run
    gets them.

    Args:
        model: any torch module that gives hidden states, as those of transformers do.
        batches: mappings of model inputs, as a collator gives them; 96 to 128 rows of the train split. Labels
            are not used.
        method: `dither.NoisyTune(...)`, `dither.PATS(...)` or plain.
        sensitivity_batches: for PATS and its controls: labelled batches, 8 of them, two at least, best of
            other rows. None takes the first 8 of `batches`, which need labels then. A batch may be a list of
            parts of one size, whose gradients are averaged.
        seed: of the calibration, in [0, 2^64).
        draws: of the noise, at least 1.
        total_steps: of the run; needed for PATS with `per_step`, and with `start` or `stop` under
            `schedule="linear"`, whose share of λ depends on it. Linear decay is assumed.

    Returns:
        The dose. Strength 0 and plain training give exactly 0.

    Raises:
        ValueError: a model without hidden states, states without spread or not finite, no labels for PATS,
            a sharded or half-noised model, or a strength without a number ("matched").

    Example:
        >>> import dither, torch
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.table = nn.Embedding(50, 8, _weight=torch.arange(400.0).sin().view(50, 8))
        ...     def forward(self, input_ids):
        ...         return {"last_hidden_state": self.table(input_ids)}
        >>> rows = [{"input_ids": torch.arange(50).view(5, 10)}]
        >>> dose = functional_dose(Net(), rows, dither.NoisyTune(noise_lambda=0.15))
        >>> round(dose.d, 2), dose.rows, dose.kind
        (0.04, 5, 'stays')
    """
    meter = DoseMeter(
        model,
        batches,
        sensitivity_batches=sensitivity_batches,
        seed=seed,
        draws=draws,
        total_steps=total_steps,
    )
    return meter.dose(method)


def match_dose(
    model: nn.Module,
    batches: Batches,
    method: Method,
    reference: Method | None = None,
    *,
    sensitivity_batches: Labelled | None = None,
    seed: int = 0,
    draws: int = 2,
    total_steps: int | None = None,
) -> MatchedDose:
    """Find the λ at which a method's functional dose is a reference's.

    d is nearly linear in λ, so λ = λ_0 · d_ref / d(λ_0), with one check and one correction beyond 5 %;
    bisection only where that does not do. λ is rounded to three significant digits.

    Args:
        model, batches, sensitivity_batches, seed, draws, total_steps: see `functional_dose`.
        method: whose λ is sought. Its own λ, or 0.15 where that is "matched", is where the search begins; a
            map of patterns keeps its proportions.
        reference: whose d is to be reached; None means `NoisyTune()`, at λ = 0.15.

    Returns:
        λ, and the doses there and of the reference.

    Raises:
        ValueError: see `functional_dose`; a method or a reference that moves nothing at any λ; or a d that no
            λ reaches: the message names the highest d.

    Example:
        >>> import dither, torch
        >>> class Net(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.table = nn.Embedding(50, 8, _weight=torch.arange(400.0).sin().view(50, 8))
        ...     def forward(self, input_ids):
        ...         return {"last_hidden_state": self.table(input_ids)}
        >>> rows = [{"input_ids": torch.arange(50).view(5, 10)}]
        >>> match_dose(Net(), rows, dither.NoisyTune(noise_lambda=0.4)).noise_lambda
        0.15
    """
    meter = DoseMeter(
        model,
        batches,
        sensitivity_batches=sensitivity_batches,
        seed=seed,
        draws=draws,
        total_steps=total_steps,
    )
    return meter.match(method, NoisyTune() if reference is None else reference)


def match_energy(
    model: nn.Module,
    batches: Batches,
    method: Method,
    reference: FunctionalDose,
    *,
    sensitivity_batches: Labelled | None = None,
    seed: int = 0,
    draws: int = 2,
    total_steps: int | None = None,
) -> MatchedDose:
    """Find the λ at which a method's noise has a reference's energy, such as a control's that of PATS.

    The energy is exactly proportional to λ, so nothing is searched.

    Args:
        model, batches, sensitivity_batches, seed, draws, total_steps: see `functional_dose`.
        method: whose λ is sought.
        reference: whose energy is to be reached, from `functional_dose` or `match_dose(...).dose` on the same
            model.

    Returns:
        λ to three significant digits, and the dose there: equal energy, another d.

    Raises:
        ValueError: see `functional_dose`; or a method or a reference without noise.
    """
    meter = DoseMeter(
        model,
        batches,
        sensitivity_batches=sensitivity_batches,
        seed=seed,
        draws=draws,
        total_steps=total_steps,
    )
    return meter.match_energy(method, reference)
