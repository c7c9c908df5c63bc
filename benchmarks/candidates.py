"""The ways to add NoisyTune's noise to a model, ours and others', each as work that can be repeated.

The noise of repeated calls adds up; at λ = 0.15 the spread of the weights grows by a thousandth a call.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import torch
from torch import Tensor, nn

import dither
from benchmarks.timing import Work
from dither.core.draws import stream_key
from dither.core.kernels import Backend, backend_for, reference
from dither.core.noise import Noise
from dither.core.statistics import float32

NOISE_LAMBDA = 0.15


@dataclass(frozen=True)
class Subject:
    """A model to noise, with a second set of tensors of the same shapes for those that only write."""

    model: nn.Module

    @cached_property
    def tensors(self) -> list[Tensor]:
        """Its parameters, without gradients."""
        return [parameter.detach() for parameter in self.model.parameters()]

    @cached_property
    def copies(self) -> list[Tensor]:
        """Tensors of the same shapes, written once so that their memory is really there."""
        return [tensor.clone() for tensor in self.tensors]

    @property
    def backend(self) -> Backend:
        """The backend that dither chooses for it."""
        return backend_for(self.tensors[0].device)


def whole_call(subject: Subject) -> Work:
    """`dither.noisytune_` as users call it."""
    return lambda: dither.noisytune_(subject.model, noise_lambda=NOISE_LAMBDA, seed=0, again=True)


def backend_calls(subject: Subject) -> Work:
    """The two calls of the chosen backend, without names, records and checks."""
    return _bare(subject, subject.backend)


def reference_calls(subject: Subject) -> Work:
    """The same two calls of the reference in plain torch."""
    return _bare(subject, reference)


def snippet(subject: Subject) -> Work:
    """The snippet exactly as people paste it (wrong on one-element and tied tensors, CPU only)."""
    model, noise_lambda = subject.model, NOISE_LAMBDA

    def work() -> None:
        for name, para in model.named_parameters():
            model.state_dict()[name][:] += (torch.rand(para.size()) - 0.5) * noise_lambda * torch.std(para)

    return work


def tidy_snippet(subject: Subject) -> Work:
    """The snippet without `state_dict`, on the tensors' own device."""

    @torch.no_grad()
    def work() -> None:
        for para in subject.model.parameters():
            para.add_((torch.rand_like(para) - 0.5) * NOISE_LAMBDA * torch.std(para))

    return work


def noise_injection(subject: Subject) -> Work:
    """PyPI's noise-injection (0.3.0), where it is installed.

    It adds noise of one fixed law to all selected tensors, so it cannot scale by each tensor's spread by
    itself. Its `custom` generator can be fed with the standard deviations, which makes it do the same work.
    """
    library: ModuleType = importlib.import_module("noise_injection")

    def work() -> None:
        with torch.no_grad():
            widths = [NOISE_LAMBDA * torch.std(para).item() for para in subject.model.parameters()]
        ahead = iter(widths)

        def draw(
            shape: torch.Size, device: torch.device, dtype: torch.dtype, generator: torch.Generator
        ) -> Tensor:
            half = next(ahead) / 2
            return torch.empty(shape, device=device, dtype=dtype).uniform_(-half, half, generator=generator)

        library.inject_noise(subject.model, library.generators.custom(draw), seed=0)

    return work


def uniform(subject: Subject) -> Work:
    """torch's own in-place uniform noise: draws and writes, but measures and adds nothing."""

    def work() -> None:
        for target in subject.copies:
            target.uniform_(-0.02, 0.02)

    _ = subject.copies
    return work


def copy(subject: Subject) -> Work:
    """One read and one write of every element: what the memory can do."""

    def work() -> None:
        for source, target in zip(subject.tensors, subject.copies, strict=True):
            target.copy_(source)

    _ = subject.copies
    return work


WHOLE, BACKEND, REFERENCE = "dither.noisytune_", "moments + perturb_", "reference"
PASTED, TIDY, INJECTION = "snippet as pasted", "snippet, tidy", "noise-injection"
UNIFORM, COPY = "uniform_", "copy_"

CANDIDATES: dict[str, Callable[[Subject], Work]] = {
    WHOLE: whole_call,
    BACKEND: backend_calls,
    REFERENCE: reference_calls,
    PASTED: snippet,
    TIDY: tidy_snippet,
    INJECTION: noise_injection,
    UNIFORM: uniform,
    COPY: copy,
}


def installed(name: str) -> bool:
    """Whether a candidate's library is there."""
    return name != INJECTION or importlib.util.find_spec("noise_injection") is not None


def _bare(subject: Subject, backend: Backend) -> Work:
    tensors = subject.tensors
    keys = [stream_key(0, "noisytune", f"tensor.{number}") for number in range(len(tensors))]

    def work() -> None:
        found = backend.moments(tensors)
        noises = [
            Noise(key, float32(NOISE_LAMBDA * row.std), keep_zeros=True)
            for key, row in zip(keys, found, strict=True)
        ]
        backend.perturb_(tensors, noises)

    return work
