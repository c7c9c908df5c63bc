"""What a moving average in bfloat16 changes: the same small training with both, for several β.

python -m benchmarks.average
"""

import torch
from torch import Tensor, nn

import dither
from dither.attachment import AVERAGE

STEPS = 300


def train(dtype: str, beta: float) -> tuple[list[Tensor], float]:
    """The averages after a training with noise, and the root mean square of all its noise."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    method = dither.PATS(beta=beta, average=dtype, seed=0)
    handle = dither.attach(method, optimizer, model, total_steps=STEPS)
    generator = torch.Generator().manual_seed(1)
    truth = torch.randn(64, 10, generator=generator)
    for _ in range(STEPS):
        inputs = torch.randn(64, 64, generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), (inputs @ truth).argmax(1)).backward()
        optimizer.step()
    kept = [state[AVERAGE].float() for state in optimizer.state.values() if AVERAGE in state]
    return kept, handle.record().root_mean_square()


def insensitivity(average: Tensor) -> Tensor:
    """r of γ = 1."""
    return (1 - average / average.mean()).clamp(min=0)


def main() -> None:
    """Print one line for each β."""
    print("beta    mean e (bf16/f32)    mean |difference of r|    noise rms (bf16/f32)")
    for beta in (0.85, 0.95, 0.98, 0.995):
        (wide, wide_rms), (narrow, narrow_rms) = train("float32", beta), train("bfloat16", beta)
        ratio = sum(map(torch.mean, narrow)) / sum(map(torch.mean, wide))
        pairs = zip(wide, narrow, strict=True)
        moved = torch.cat([(insensitivity(a) - insensitivity(b)).abs().flatten() for a, b in pairs])
        print(f"{beta:<8}{ratio:<21.4f}{moved.mean():<26.4f}{narrow_rms / wide_rms:.4f}")


if __name__ == "__main__":
    main()
