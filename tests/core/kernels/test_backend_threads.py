"""Threads change nothing: neither a bit of a tensor nor the last digit of what is reported."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import pytest
import torch
from kernel_comparison import Candidate, candidates
from kernel_layouts import normal, place
from torch import Tensor

from dither.core.noise import Noise, SensitivityRule, SensitivityState, StepScalars
from dither.core.statistics import float32

# The reference runs in torch's threads, op by op; its Change is tested in test_writer.py.
OTHERS = [backend for backend in candidates(all_vectors=False) if not backend.name.startswith("reference")]
pytestmark = [
    pytest.mark.usefixtures("own_threads"),
    pytest.mark.parametrize("each_backend", OTHERS, ids=lambda candidate: candidate.name),
]
SHAPES = [(140_003,), (5,), (0,), (300, 221)]
LAYOUTS = ["contiguous", "strided", "contiguous", "transposed"]


def values(seed: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [normal(shape, seed).to(dtype) for shape in SHAPES]


def placed(backend: Candidate, given: list[Tensor]) -> list[Tensor]:
    rows = zip(given, LAYOUTS, strict=True)
    return [place(one.to(backend.device), layout).view for one, layout in rows]


def assert_threads_do_not_matter(run: Callable[[], list[object]]) -> None:
    """`run` gives numbers and tensors, the same ones for one, two and three threads."""
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(run())
    for other in found[1:]:
        for one, another in zip(found[0], other, strict=True):
            equal = torch.equal(one, another) if isinstance(one, Tensor) else one == another
            assert equal, f"{one} with one thread, {another} with more"


def test_moments(each_backend: Candidate) -> None:
    given = placed(each_backend, values(0))
    assert_threads_do_not_matter(lambda: list(each_backend.module.moments(given)))


@pytest.mark.parametrize("law", ["uniform", "gaussian"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_noise_once(each_backend: Candidate, law: str, dtype: torch.dtype) -> None:
    noises = [Noise((k, 5), float32(0.01), k, law, True, "stochastic") for k in range(len(SHAPES))]  # type: ignore[arg-type]
    given = values(0, dtype)

    def run() -> list[object]:
        written = placed(each_backend, given)
        changes = each_backend.module.perturb_(written, noises)
        return [*written, *changes]

    assert_threads_do_not_matter(run)


@pytest.mark.parametrize("weighting", ["insensitivity", "blind", "inverted"])
def test_steps_of_training(each_backend: Candidate, weighting: str) -> None:
    rule = SensitivityRule(0.85, 1.0, weighting=weighting)  # type: ignore[arg-type]
    scales = torch.full((len(SHAPES),), 0.05, device=each_backend.device)
    given = [values(step) for step in (0, 1, 2)]

    def run() -> list[object]:
        weights = placed(each_backend, given[0])
        averages, means = [torch.zeros_like(w) for w in weights], torch.zeros_like(scales)
        for step in (1, 2):
            rows = zip(weights, placed(each_backend, given[step]), averages, strict=True)
            states = [SensitivityState(w, g, e, (1, k)) for k, (w, g, e) in enumerate(rows)]
            scalars = StepScalars(torch.tensor(step, device=each_backend.device), means, scales)
            outcome = each_backend.module.sensitivity_step_(states, rule, scalars)
            means = each_backend.module.next_means(outcome, means)
        assert outcome.change[0, 1] > 50_000
        return [*weights, *averages, means, outcome.active, outcome.change]

    assert_threads_do_not_matter(run)


class OpenMP:
    """Stands for torch's library, with some of the functions of OpenMP behind it."""

    def __init__(self, **functions: Callable[[], int]) -> None:
        self.__dict__.update(functions)


def test_the_threads_are_found_where_torch_has_them(each_backend: Candidate) -> None:
    """Through torch's own library, wherever it lies: no path is looked at."""
    if each_backend.module.__name__.endswith("native"):
        address, said = each_backend.module._openmp()
        assert (address is not None) == ("OpenMP" in torch.__config__.parallel_info())
        assert said in each_backend.module.NAME


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (OpenMP(), ", threads of its own"),
        (OpenMP(GOMP_parallel=lambda: 0, omp_get_thread_limit=lambda: 1), ", serial: OMP_THREAD_LIMIT=1"),
        (OpenMP(GOMP_parallel=lambda: 0, omp_get_thread_limit=lambda: 2**31 - 1), ""),
    ],
)
def test_the_name_says_where_threads_are_not_torchs(
    each_backend: Candidate, monkeypatch: pytest.MonkeyPatch, found: OpenMP, said: str
) -> None:
    if each_backend.module.__name__.endswith("native"):
        monkeypatch.setattr("ctypes.CDLL", lambda path: found)
        monkeypatch.setattr("ctypes.cast", lambda function, kind: ctypes.c_void_p(7))
        address, threads = each_backend.module._openmp()
        assert (threads, address) == (said, None if said == ", threads of its own" else 7)
