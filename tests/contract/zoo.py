"""A model with every kind of tensor, and one way to run any method on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import dither
from dither.core.names import canonical_name

METHODS = dither.available_methods()
NOISY = [name for name, info in METHODS.items() if info.kind.when != "never"]
BEFORE = [name for name, info in METHODS.items() if info.kind.when == "before training"]
DURING = [name for name, info in METHODS.items() if info.kind.when == "during training"]
STEPS = 4
LEFT_ALONE = {
    "single": "one element",
    "scalar": "one element",
    "constant": "constant",
    "empty": "empty",
    "frozen": "frozen",
    "integers": "integer or quantised",
    "again.weight": "tied to first.weight",
}


def values(name: str, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """Weights of a tensor: of its name alone."""
    generator = np.random.default_rng([ord(letter) for letter in name])
    return torch.from_numpy(generator.normal(0.05, 0.3, shape)).to(dtype)


class Zoo(nn.Module):
    """One tensor of each kind."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        shapes = {"wide": (6, 5), "square": (4, 4), "kernel": (2, 3, 2, 2), "vector": (7,)}
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(values(name, shape, dtype)))
        self.table = nn.Embedding(6, 4, padding_idx=0, _weight=values("table", (6, 4), dtype))
        self.first, self.again = nn.Module(), nn.Module()
        self.first.weight = nn.Parameter(values("first", (3, 4), dtype))
        self.again.weight = self.first.weight
        self.single = nn.Parameter(torch.full((1, 1), 0.3, dtype=dtype))
        self.scalar = nn.Parameter(torch.tensor(0.4, dtype=dtype))
        self.constant = nn.Parameter(torch.ones(3, 3, dtype=dtype))
        self.empty = nn.Parameter(torch.empty(0, 4, dtype=dtype))
        self.frozen = nn.Parameter(values("frozen", (4, 3), dtype), requires_grad=False)
        self.integers = nn.Parameter(torch.arange(6, dtype=torch.int8).view(2, 3), requires_grad=False)
        with torch.no_grad():
            self.table.weight[0] = 0.0


def gradient(name: str, step: int, parameter: Tensor) -> Tensor:
    """Of the name and the step alone; a padding row has none, another row is not in the batch."""
    generator = np.random.default_rng([step, *(ord(letter) for letter in name)])
    found = torch.from_numpy(generator.normal(0, 1, tuple(parameter.shape))).to(parameter.dtype)
    if name.endswith("table.weight"):
        found[0] = 0.0
        found[1 + step % 5] = 0.0
    return found


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """Optimizer steps with gradients that depend on nothing but names and steps."""
    for step in steps:
        for path, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.grad = gradient(canonical_name(path), step, parameter)
        optimizer.step()


def adamw(model: nn.Module, lr: float = 0.01) -> torch.optim.Optimizer:
    """Over what trains; with an eps that float16 can hold."""
    return torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr, eps=1e-4)


def create(name: str, **settings: Any) -> Any:
    """The method with those of the settings that it has; vectors are included."""
    known = METHODS[name].settings
    wanted = {"vectors": True, "seed": 0} | settings
    return dither.create_method(name, **{key: value for key, value in wanted.items() if key in known})


def run(name: str, model: nn.Module, **settings: Any) -> dither.Record | None:
    """Fine-tune with a method, whatever its kind: noise before, or at each step."""
    method, optimizer = create(name, **settings), adamw(model)
    if name in DURING:
        handle = dither.attach(method, optimizer, model, total_steps=STEPS)
        train(model, optimizer, range(STEPS))
        handle.detach()
        return handle.record()
    record = dither.apply_(model, method)
    train(model, optimizer, range(STEPS))
    return record


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Copies by canonical name."""
    return {canonical_name(path): p.detach().clone() for path, p in model.named_parameters()}


def plain(build: Callable[[], nn.Module] = Zoo) -> dict[str, Tensor]:
    """What training without any of our code gives."""
    model = build()
    train(model, adamw(model), range(STEPS))
    return weights(model)


def same(one: dict[str, Tensor], other: dict[str, Tensor], names: Any = None) -> bool:
    """Bit for bit; NaN would not be equal to itself."""
    chosen = one.keys() | other.keys() if names is None else names
    return all(torch.equal(one[name], other[name]) for name in chosen)
