"""NoisyTune against its formula in slow loops, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import slow_formulas
import torch
from torch import nn

import dither


class Mixed(nn.Module):
    """Matrices, a vector, a kernel of four dimensions, a constant and a padding row."""

    def __init__(self) -> None:
        super().__init__()
        generator = np.random.default_rng(0)
        shapes = {"b": (7, 5), "a": (3, 11), "vector": (13,), "kernel": (2, 3, 2, 2), "table": (5, 4)}
        for name, shape in shapes.items():
            values = generator.normal(0.1, 0.02 * len(name), shape).astype(np.float32)
            self.register_parameter(name, nn.Parameter(torch.from_numpy(values)))
        self.constant = nn.Parameter(torch.ones(6))
        self.single = nn.Parameter(torch.tensor(0.5))
        with torch.no_grad():
            self.table[0] = 0.0


def arrays(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: parameter.detach().numpy().copy() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
@pytest.mark.parametrize("noise_lambda", [0.15, 1.0, 1e-7])
@pytest.mark.parametrize("options", [{}, {"across": "model"}, {"zeros": "noise"}])
def test_uniform_noise_bit_for_bit(seed: int, noise_lambda: float, options: dict[str, str]) -> None:
    model = Mixed()
    expected = slow_formulas.noisytune(arrays(model), noise_lambda=noise_lambda, seed=seed, **options)
    dither.noisytune_(model, noise_lambda, seed, **options)
    for name, found in arrays(model).items():
        np.testing.assert_array_equal(found.view(np.int32), expected[name].view(np.int32), err_msg=name)


@pytest.mark.parametrize("across", ["tensor", "model"])
def test_gaussian_noise_to_its_tolerance(across: str) -> None:
    model = Mixed()
    expected = slow_formulas.noisytune(
        arrays(model), noise_lambda=0.15, seed=3, law="gaussian", across=across
    )
    dither.apply_(model, dither.create_method("noisytune-gaussian", seed=3, across=across))
    for name, found in arrays(model).items():
        np.testing.assert_allclose(found, expected[name], rtol=2e-7, atol=1e-6 * 0.15, err_msg=name)


@pytest.mark.parametrize("name", ["noisytune-global", "noisytune"])
def test_the_registry_names_the_formulas(name: str) -> None:
    model = Mixed()
    options = {"across": "model"} if name == "noisytune-global" else {}
    expected = slow_formulas.noisytune(arrays(model), noise_lambda=0.2, seed=1, **options)
    dither.apply_(model, dither.create_method(name, noise_lambda=0.2, seed=1))
    assert all(np.array_equal(found, expected[key]) for key, found in arrays(model).items())


def test_the_authors_snippet_has_the_same_spread_and_bounds() -> None:
    """`(torch.rand(W.size()) - 0.5) * λ * torch.std(W)`: same std, same bounds, other draws."""
    model = Mixed()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    record = dither.noisytune_(model, 0.15, seed=0)
    for row in record.tensors:
        if row.noised:
            assert row.std == pytest.approx(torch.std(before[row.name]).item(), rel=1e-6)
            change = (model.get_parameter(row.name).detach() - before[row.name]).abs().max()
            assert 0 < change <= 0.075 * row.std * (1 + 1e-4)
