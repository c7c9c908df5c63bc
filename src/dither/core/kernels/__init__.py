"""Who executes the noise: one interface, the reference in plain torch behind it.

A backend is a module with the functions of `Backend`. Callers ask `backend_for(device)` and never name one.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from dither.core.kernels import reference
from dither.core.noise import Change, Noise, SensitivityOutcome, SensitivityRule, SensitivityState
from dither.core.statistics import Moments


class Backend(Protocol):
    """What every backend can do. Lists come in whole, so that many small tensors need few launches."""

    NAME: str

    def moments(self, tensors: Sequence[Tensor]) -> list[Moments]:
        """Moments of each logical tensor."""

    def perturb_(self, tensors: Sequence[Tensor], noises: Sequence[Noise]) -> list[Change]:
        """Add each noise to its tensor, in place."""

    def sensitivity_step_(
        self, states: Sequence[SensitivityState], rule: SensitivityRule
    ) -> list[SensitivityOutcome]:
        """Update the moving averages and add the noise of one training step, in place."""


def backend_for(device: torch.device) -> Backend:
    """The fastest backend that serves a device."""
    return reference
