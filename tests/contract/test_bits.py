"""The bits of every method, pinned: whatever is rebuilt, a seed gives the noise that it gave.

`python tests/contract/test_bits.py` prints what `pinned_bits.json` holds; it is written anew only with a new
recipe version. Training is by gradients of the step alone and learning rates that are powers of two, so
nothing but the noise could make a difference.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parent))

from zoo import DURING, NOISY, STEPS, Zoo, create, train, weights

import dither

PINNED = Path(__file__).with_name("pinned_bits.json")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
VARIATIONS: dict[str, dict[str, Any]] = {
    "patterns": {"noise_lambda": {"first*": 0.25, "vector": 0.0, "*": 0.5}},
    "some": {"include": ["*.weight", "vector"], "exclude": "first*"},
    "zeros": {"zeros": "noise", "frozen": True},
    "model": {"across": "model", "vectors": False},
    "seldom": {"every": 2, "start": 2, "stop": 4, "gamma": 2.0, "beta": 0.5},
    "per step": {"per_step": True, "lr_max": 0.25},
    "linear": {"schedule": "linear"},
}
BY_DTYPE: dict[torch.dtype, dict[str, dict[str, Any]]] = {
    torch.float32: VARIATIONS | {"bfloat16 average": {"average": "bfloat16"}},
    torch.bfloat16: VARIATIONS | {"stochastic": {"rounding": "stochastic"}},
}


def rows() -> list[tuple[str, str, torch.dtype, dict[str, Any]]]:
    """Every method in every dtype, and every variation of the two that have its settings.

    Gaussian noise is promised to 1e-6, not to the bit: logarithms are not rounded alike everywhere.
    """
    to_the_bit = [name for name in NOISY if create(name).recipe(0).get("law") != "gaussian"]
    plain = [(name, "", dtype, {}) for name in to_the_bit for dtype in DTYPES]
    varied = [
        (name, label, dtype, settings)
        for name in ("noisytune", "pats")
        for dtype, variations in BY_DTYPE.items()
        for label, settings in variations.items()
        if settings.keys() <= dither.available_methods()[name].settings.keys()
    ]
    return plain + varied


def label_of(name: str, variation: str, dtype: torch.dtype) -> str:
    return " ".join(filter(None, (name, variation, str(dtype).removeprefix("torch."))))


def digest(tensors: dict[str, Tensor]) -> str:
    """Of names, dtypes, shapes and bytes; both zeros differ."""
    found = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        found.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def bits(name: str, dtype: torch.dtype, settings: dict[str, Any]) -> dict[str, Any]:
    """What a seed and a method give: recipe, weights, and what goes into a checkpoint."""
    model, method = Zoo(dtype), create(name, **{"noise_lambda": 0.5, "seed": 7} | settings)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.125)
    if name not in DURING:
        return {"recipe": dither.apply_(model, method).recipe_hash, "weights": digest(weights(model))}
    looks_ahead = not method.per_step and method.schedule == "run"
    constant = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0) if looks_ahead else None
    handle = dither.attach(method, optimizer, model, total_steps=STEPS, schedule=constant)
    train(model, optimizer, range(STEPS))
    kept = {
        f"{index} {key}": value
        for index, state in optimizer.state_dict()["state"].items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }
    return {"recipe": handle.record().recipe_hash, "weights": digest(weights(model)), "kept": digest(kept)}


@pytest.mark.parametrize("row", rows(), ids=lambda row: label_of(*row[:3]))
def test_bits_are_those_of_before(row):
    name, variation, dtype, settings = row
    assert bits(name, dtype, settings) == json.loads(PINNED.read_text())[label_of(name, variation, dtype)]


def test_every_pin_is_looked_at():
    pinned = json.loads(PINNED.read_text())
    assert pinned.keys() == {label_of(*row[:3]) for row in rows()}
    assert len({row["weights"] for row in pinned.values()}) == len(pinned)  # no two settings are one noise


if __name__ == "__main__":
    made = {label_of(*row[:3]): bits(row[0], row[2], row[3]) for row in rows()}
    print(json.dumps(made, indent=1))
