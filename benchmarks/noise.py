"""NoisyTune on whole models: ours, the snippet that people paste, torch's uniform noise, and the limit."""

import torch

from benchmarks.timing import interleaved
from dither.core.draws import stream_key
from dither.core.kernels import backend_for
from dither.core.noise import Noise
from dither.core.statistics import float32


def measure(shapes: list[tuple[int, ...]], dtype: torch.dtype = torch.float32) -> dict[str, float]:
    """Nanoseconds per element of each way to noise tensors of these shapes."""
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=generator).mul_(0.02).to(dtype) for shape in shapes]
    copies = [torch.empty_like(tensor) for tensor in tensors]
    backend = backend_for(tensors[0].device)
    keys = [stream_key(0, "noisytune", f"tensor.{number}") for number in range(len(tensors))]

    def ours() -> None:
        found = backend.moments(tensors)
        noises = [
            Noise(key, float32(0.15 * row.std), keep_zeros=True) for key, row in zip(keys, found, strict=True)
        ]
        backend.perturb_(tensors, noises)

    def snippet() -> None:
        for tensor in tensors:
            tensor[:] += (torch.rand(tensor.size()) - 0.5) * 0.15 * torch.std(tensor).to(tensor.dtype)

    def uniform() -> None:
        for tensor in tensors:
            tensor.uniform_(-0.02, 0.02)

    def copy() -> None:
        for tensor, target in zip(tensors, copies, strict=True):
            target.copy_(tensor)

    seconds = interleaved({"dither": ours, "snippet": snippet, "torch uniform_": uniform, "copy": copy})
    elements = sum(tensor.numel() for tensor in tensors)
    return {name: 1e9 * value / elements for name, value in seconds.items()}
