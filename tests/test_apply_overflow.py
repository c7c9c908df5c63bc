"""Noise that would make weights infinite: refused by the tensor's name, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import dither
from dither.checkpoint import perturb_checkpoint
from dither.core.statistics import moments


def weights(dtype: torch.dtype, largest: float) -> Tensor:
    values = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    values[7] = largest
    return values.to(dtype)


class Two(nn.Module):
    """A tensor that is fine before one that is not."""

    def __init__(self, large: Tensor) -> None:
        super().__init__()
        self.small = nn.Parameter(weights(torch.float32, 1.0))
        self.large = nn.Parameter(large)


OVER = {
    "float16": (weights(torch.float16, 65504.0), {}),
    "bfloat16": (weights(torch.bfloat16, 3.38e38), {}),
    "float32": (weights(torch.float32, 3.4e38), {}),
    "float16, of one sign": (weights(torch.float16, -65504.0), {"law": "gaussian"}),
    "float16, one scale": (weights(torch.float16, 65504.0), {"across": "model"}),
    "float16, stochastic": (weights(torch.float16, 65504.0), {"rounding": "stochastic"}),
    "float16, by the noise alone": (weights(torch.float16, 1.0), {"noise_lambda": 2e5}),
}


@pytest.mark.parametrize("case", OVER)
def test_weights_that_noise_would_make_infinite(case: str) -> None:
    large, settings = OVER[case]
    model, dtype = Two(large.clone()), str(large.dtype).removeprefix("torch.")
    before = model.small.detach().clone()
    message = rf"tensor 'large' would leave the range of {dtype}: noise of up to ±\S+ makes \d+ of its"
    for call in (dither.apply_, lambda *args: dither.perturbed(*args).__enter__()):
        with pytest.raises(ValueError, match=message):
            call(model, dither.NoisyTune(**settings))
    assert torch.equal(model.small, before)
    assert torch.equal(model.large, large)


def test_what_the_refusal_advises_works() -> None:
    large = weights(torch.float16, 65504.0)
    for model, settings in (
        (Two(large), {"noise_lambda": 1e-4}),
        (Two(large.float()), {}),
        (Two(large), {"exclude": "large"}),
    ):
        dither.noisytune_(model, **settings)  # type: ignore[arg-type]
        assert bool(model.large.isfinite().all())


def test_large_weights_that_stay_in_range_are_noised() -> None:
    model = Two(weights(torch.float16, 40000.0))
    assert moments(model.large).reach > 65504.0  # so it had to be tried
    assert dither.noisytune_(model).counts()["noised"] == 2


@pytest.mark.parametrize("strength", [1e308, 1e40])
def test_a_strength_that_is_no_float32_number(strength: float) -> None:
    model = nn.Linear(4, 4)
    message = r"tensor 'weight' cannot get noise of strength 1e\+\d+: times its standard deviation"
    with pytest.raises(ValueError, match=message):
        dither.noisytune_(model, strength)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ValueError, match=message):
        dither.attach(dither.PATS(noise_lambda=strength), optimizer, model, total_steps=3)


def checkpoint(folder: Path, **tensors: Tensor) -> Path:
    save_file(tensors, folder / "model.safetensors")
    return folder / "model.safetensors"


@pytest.mark.parametrize("block", [1 << 20, 4096])
def test_a_checkpoint_that_noise_would_make_infinite_is_not_published(tmp_path: Path, block: int) -> None:
    source = checkpoint(tmp_path, small=weights(torch.float32, 1.0), large=weights(torch.float16, 65504.0))
    settings: dict[str, Any] = {"names": "file", "block": block}
    message = r"model\.safetensors: tensor 'large' would leave the range of float16: .* exclude='large'"
    with pytest.raises(ValueError, match=message):
        perturb_checkpoint(source, tmp_path / "noisy.safetensors", dither.NoisyTune(), **settings)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    outcome = perturb_checkpoint(
        source, tmp_path / "noisy.safetensors", dither.NoisyTune(exclude="large"), **settings
    )
    assert outcome.record.counts() == {"noised": 1, "skipped": 1}


def test_a_checkpoint_with_large_weights_is_that_of_memory(tmp_path: Path) -> None:
    source, model = checkpoint(tmp_path, large=weights(torch.float16, 40000.0)), nn.Module()
    perturb_checkpoint(
        source, tmp_path / "noisy.safetensors", dither.NoisyTune(seed=1), names="file", block=4096
    )
    model.large = nn.Parameter(weights(torch.float16, 40000.0))
    dither.noisytune_(model, seed=1)
    assert torch.equal(load_file(tmp_path / "noisy.safetensors")["large"], model.large)
