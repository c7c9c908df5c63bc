"""PATS as one would write it first: a handful of torch operations for each tensor after the step."""

import math

import torch
from torch import Tensor


class NaivePATS:
    """The rule of `dither.PATS` with its defaults, in separate operations, random numbers from torch.

    Args:
        optimizer: whose step it follows.
        total_steps: of the run, > 0.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, total_steps: int) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.dim() > 1]
        factor = 0.15 * math.sqrt(3 / total_steps)
        self.scales = {p: factor * p.detach().std() for p in parameters}
        self.averages = {p: torch.zeros_like(p) for p in parameters}
        self.means: dict[Tensor, Tensor] = {}
        optimizer.register_step_post_hook(lambda *_: self.add_noise())

    @torch.no_grad()
    def add_noise(self) -> None:
        """Update the averages and add the noise of one step."""
        for p, average in self.averages.items():
            observed = (p * p.grad).abs()
            active = observed != 0
            blended = torch.where(average == 0, observed, 0.85 * average + 0.15 * observed)
            average.copy_(torch.where(active, blended, average))
            if p in self.means:
                share = (1 - average / self.means[p]).clamp_(min=0) * active
                p += self.scales[p] * share * (torch.rand_like(p) - 0.5)
            self.means[p] = (average * active).sum() / active.sum()
