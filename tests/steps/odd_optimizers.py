"""Optimizers as other people write them, in a few lines each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Optimizer


class OwnCopy(SGD):
    """Steps a copy of the weights and writes it over them, as MADGRAD, FTRL and schedule-free ones do."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for one in group["params"]:
                copy = self.state[one].setdefault("copy", one.clone())
                copy.sub_(one.grad, alpha=group["lr"])
                one.copy_(copy)


class Lookahead:
    """Every few steps the weights go back half of the way."""

    def __init__(self, optimizer: Optimizer, every: int = 4) -> None:
        self.optimizer, self.every, self.made = optimizer, every, 0
        self.slow = [one.detach().clone() for one in self._weights()]

    def _weights(self) -> list[nn.Parameter]:
        return [one for group in self.optimizer.param_groups for one in group["params"]]

    def zero_grad(self) -> None:
        self.optimizer.zero_grad()

    def step(self) -> None:
        self.optimizer.step()
        self.made += 1
        if self.made % self.every == 0:
            for slow, fast in zip(self.slow, self._weights(), strict=True):
                slow.lerp_(fast.detach(), 0.5)
                fast.data.copy_(slow)


class Centralised(SGD):
    """Subtracts the mean from each gradient, in place, as Ranger does."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for one in group["params"]:
                one.grad.sub_(one.grad.mean())
                one.sub_(one.grad, alpha=group["lr"])


class Sam(Optimizer):
    """Climbs to a neighbour, returns, steps with the gradient found there, and frees the gradients."""

    def __init__(self, params: Any, rho: float = 0.05) -> None:
        super().__init__(params, {"lr": 0.01, "rho": rho})
        self.inside = SGD(self.param_groups, lr=0.01)
        self.param_groups = self.inside.param_groups

    @torch.no_grad()
    def first_step(self) -> None:
        for group in self.param_groups:
            for one in group["params"]:
                self.state[one]["old"] = one.detach().clone()
                one.add_(one.grad, alpha=group["rho"])
        self.zero_grad()

    @torch.no_grad()
    def second_step(self) -> None:
        for group in self.param_groups:
            for one in group["params"]:
                one.data = self.state[one]["old"]
        self.inside.step()
        self.zero_grad()

    def step(self, closure: Callable[[], Any]) -> None:  # type: ignore[override]
        self.first_step()
        torch.enable_grad()(closure)()
        self.second_step()


class Frees(SGD):
    """Frees the gradients before its step ends."""

    def step(self, closure: Any = None) -> Any:  # type: ignore[override]
        loss = super().step(closure)
        self.zero_grad()
        return loss
