"""Candidates for a backend: made from functions on flat pieces, checked bit by bit, and timed."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from benchmarks.shapes import elements, shapes_of
from benchmarks.timing import interleaved
from dither.core.draws import stream_key
from dither.core.kernels import Backend, reference
from dither.core.noise import (
    Change,
    Noise,
    SensitivityOutcome,
    SensitivityRule,
    SensitivityState,
    StepScalars,
)
from dither.core.statistics import SQUARE_LIMBS, TOTAL_LIMBS, Moments, float32, integer

PIECE = 1 << 18
"""Elements that a thread takes at a time."""
RULE = SensitivityRule(beta=0.85, gamma=1.0)


class PieceFunctions(Protocol):
    """What a candidate brings: functions on flat float32 arrays, on several threads at once."""

    def moments_of(self, values: np.ndarray, total: np.ndarray, squares: np.ndarray) -> int:
        """Add exact sums to limbs; how many elements are not finite."""

    def add_noise(self, values: np.ndarray, offset: int, *numbers: Any) -> tuple[int, float, float]:
        """Uniform noise for (scale, keep_zeros, step, two words of key): changed, energy, requested."""

    def sensitivity_step(self, *arrays_and_numbers: Any) -> tuple[int, int, float, float]:
        """PATS on (weight, gradient, average, limbs, offset, beta, mean, scale, step, two words of key)."""


class PieceBackend:
    """A backend for contiguous float32 tensors on the CPU, uniform noise and γ = 1.

    Args:
        functions: of the candidate.
        threads: how many.
    """

    NAME = "functions on pieces"

    def __init__(self, functions: PieceFunctions, threads: int = 1) -> None:
        self.functions = functions
        self.pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def moments(self, tensors: Sequence[Tensor]) -> list[Moments]:
        """As `reference.moments`."""
        arrays = flat(tensors)

        def work(number: int, at: slice) -> Moments:
            total, squares = np.zeros(TOTAL_LIMBS, np.int64), np.zeros(SQUARE_LIMBS, np.int64)
            strange = self.functions.moments_of(arrays[number][at], total, squares)
            return Moments(at.stop - at.start, integer(total.tolist()), integer(squares.tolist()), strange)

        return [sum(row, Moments()) for row in self.each_piece(work, tensors)]

    def perturb_(self, tensors: Sequence[Tensor], noises: Sequence[Noise]) -> list[Change]:
        """As `reference.perturb_`."""
        arrays = flat(tensors)

        def work(number: int, at: slice) -> Change:
            noise = noises[number]
            numbers = (noise.scale, noise.keep_zeros, noise.step, *noise.key)
            return Change(
                at.stop - at.start, *self.functions.add_noise(arrays[number][at], at.start, *numbers)
            )

        return [sum(row, Change()) for row in self.each_piece(work, tensors)]

    def sensitivity_step_(
        self, states: Sequence[SensitivityState], rule: SensitivityRule, scalars: StepScalars
    ) -> SensitivityOutcome:
        """As `reference.sensitivity_step_`, for rules with the weighting "insensitivity" and γ = 1."""
        fields = [flat([getattr(row, name) for row in states]) for name in ("weight", "gradient", "average")]
        step, means, scales = int(scalars.step), scalars.mean.tolist(), scalars.scale.tolist()

        def work(number: int, at: slice) -> tuple[np.ndarray, int, np.ndarray]:
            total, mean, scale = np.zeros(TOTAL_LIMBS, np.int64), means[number], scales[number]
            numbers = (at.start, rule.beta, mean, scale, step, *states[number].key)
            arrays = (field[number][at] for field in fields)
            active, *sums = self.functions.sensitivity_step(*arrays, total, *numbers)
            noisy = mean > 0.0 and scale > 0.0
            return total, active, np.array([at.stop - at.start if noisy else 0, *sums], np.float64)

        rows = self.each_piece(work, [row.weight for row in states])
        columns = ([sum(found[k] for found in row) for row in rows] for k in range(3))
        return SensitivityOutcome(*(torch.from_numpy(np.array(column)) for column in columns))

    def next_means(self, outcome: SensitivityOutcome, means: Tensor) -> Tensor:
        """As `reference.next_means`."""
        return reference.next_means(outcome, means)

    def each_piece(self, work: Callable[[int, slice], Any], tensors: Sequence[Tensor]) -> list[list[Any]]:
        """Results of work(number, slice) by tensor; small tensors share a trip to a thread."""
        batches, size = defaultdict(list), 0
        for number, tensor in enumerate(tensors):
            for at in range(0, tensor.numel(), PIECE):
                stop = min(at + PIECE, tensor.numel())
                batches[size // PIECE].append((number, slice(at, stop)))
                size += stop - at
        run = self.pool.map if self.pool else map
        results = run(lambda batch: [work(*piece) for piece in batch], batches.values())
        rows: list[list[Any]] = [[] for _ in tensors]
        for batch, found in zip(batches.values(), results, strict=True):
            for (number, _), result in zip(batch, found, strict=True):
                rows[number].append(result)
        return rows


def flat(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """The elements as arrays that share memory."""
    return [tensor.detach().view(-1).numpy() for tensor in tensors]


def check_bits(backend: Backend, sizes: Sequence[int] = (1, 5, 1024, 5000, 600_001)) -> None:
    """Raise AssertionError where a backend's bits are not the reference's, on plain and on nasty values."""
    generator = torch.Generator().manual_seed(0)
    for size in sizes:
        plain = torch.randn(size, generator=generator) * 0.02
        wide, wider = (
            plain * 2.0 ** torch.randint(-reach, reach, (size,), generator=generator) for reach in (9, 130)
        )
        nasty = torch.where(torch.rand(size, generator=generator) < 0.01, float("nan"), plain)
        for values in (plain, wide, wider, nasty):
            values[::13], values[::17] = 0.0, -0.0
            assert backend.moments([values]) == reference.moments([values]), f"moments of {size} elements"
            for keep_zeros in (False, True):
                noise = Noise(stream_key(1, "noisytune", "x"), float32(0.003), keep_zeros=keep_zeros)
                ours, theirs = values.clone(), values.clone()
                same_changes(backend.perturb_([ours], [noise]), reference.perturb_([theirs], [noise]))
                assert same(ours, theirs), f"noise on {size} elements"
            check_steps(backend, values, generator)


def check_steps(backend: Backend, values: Tensor, generator: torch.Generator) -> None:
    """Raise AssertionError where one of four steps of PATS has other bits; the third has a wide gradient."""
    key, means = stream_key(1, "pats", "x"), torch.zeros(1)
    ours, theirs = (
        SensitivityState(values.clone(), torch.zeros_like(values), torch.zeros_like(values), key)
        for _ in range(2)
    )
    for step in range(1, 5):
        gradient = torch.randn(values.shape, generator=generator) * 1e-3
        gradient[torch.rand(values.shape, generator=generator) < 0.3] = 0.0
        if step == 3:
            gradient[: len(gradient) // 2] *= 1e-30
        ours.gradient.copy_(gradient)
        theirs.gradient.copy_(gradient)
        scalars = StepScalars(torch.tensor(step), means, torch.tensor([0.002 * (step != 2)]))
        mine = backend.sensitivity_step_([ours], RULE, scalars)
        right = reference.sensitivity_step_([theirs], RULE, scalars)
        what = f"step {step} on {len(values)} elements"
        assert same(ours.weight, theirs.weight), what
        assert same(ours.average, theirs.average), what
        assert integer(mine.total[0].tolist()) == integer(right.total[0].tolist()), what
        assert torch.equal(mine.active, right.active), what
        torch.testing.assert_close(mine.change, right.change, rtol=1e-9, atol=0.0, equal_nan=True)
        means = reference.next_means(right, means)


def same(left: Tensor, right: Tensor) -> bool:
    """Equal bits, of which NaN's do not count."""
    return torch.equal(left.isnan(), right.isnan()) and torch.equal(
        left.nan_to_num(0.0, torch.inf, -torch.inf).view(torch.int32),
        right.nan_to_num(0.0, torch.inf, -torch.inf).view(torch.int32),
    )


def same_changes(left: Sequence[Change], right: Sequence[Change]) -> None:
    """Equal counts, and sums of squares to the rounding of float64."""
    for ours, theirs in zip(left, right, strict=True):
        assert (ours.elements, ours.changed) == (theirs.elements, theirs.changed), f"{ours} not {theirs}"
        np.testing.assert_allclose(
            (ours.energy, ours.requested), (theirs.energy, theirs.requested), rtol=1e-9
        )


def speed(backend: Backend, model: str, repeats: int) -> dict[str, tuple[float, float]]:
    """Median and least nanoseconds per element on a model's shapes, by what is done."""
    generator = torch.Generator().manual_seed(0)
    shapes = shapes_of(model)
    tensors = [torch.randn(shape, generator=generator) * 0.02 for shape in shapes.values()]
    noises = [Noise(stream_key(0, "noisytune", name), float32(1e-4), keep_zeros=True) for name in shapes]
    states = [
        SensitivityState(
            tensor, torch.randn(tensor.shape, generator=generator) * 1e-3, torch.zeros_like(tensor), noise.key
        )
        for tensor, noise in zip(tensors, noises, strict=True)
    ]
    count = len(states)
    scalars = StepScalars(torch.tensor(1), torch.full((count,), 1e-5), torch.full((count,), 1e-6))
    found = interleaved(
        {
            "moments": lambda: backend.moments(tensors),
            "noise": lambda: backend.perturb_(tensors, noises),
            "PATS step": lambda: backend.sensitivity_step_(states, RULE, scalars),
        },
        repeats,
    )
    unit = 1e9 / elements(shapes)
    return {name: (unit * row["median"], unit * min(row["rounds"])) for name, row in found.items()}
