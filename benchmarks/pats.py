"""One optimizer step with PATS against the bare fused AdamW step."""

import torch
from torch import nn

import dither
from benchmarks.timing import interleaved


class Shapes(nn.Module):
    """Parameters of given shapes, with gradients."""

    def __init__(self, shapes: list[tuple[int, ...]]) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        for number, shape in enumerate(shapes):
            parameter = nn.Parameter(torch.randn(shape, generator=generator) * 0.02)
            parameter.grad = torch.randn(shape, generator=generator) * 1e-3
            self.register_parameter(f"tensor_{number}", parameter)


def measure(shapes: list[tuple[int, ...]]) -> dict[str, float]:
    """Milliseconds of a fused AdamW step, bare and with PATS."""
    bare, noisy = Shapes(shapes), Shapes(shapes)
    plain = torch.optim.AdamW(bare.parameters(), lr=1e-5, fused=True)
    noised = torch.optim.AdamW(noisy.parameters(), lr=1e-5, fused=True)
    dither.attach(dither.PATS(seed=0), noised, noisy, total_steps=1000)
    noised.step()  # the first step has no noise yet
    seconds = interleaved({"AdamW": plain.step, "AdamW with PATS": noised.step})
    return {name: 1e3 * value for name, value in seconds.items()}
