"""Every backend beside the reference: the same calls on both, and all that comes out is compared."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from kernel_layouts import assert_nothing_beside, assert_same, place
from torch import Tensor

from dither.core.kernels import reference
from dither.core.noise import (
    Change,
    Noise,
    SensitivityOutcome,
    SensitivityRule,
    SensitivityState,
    StepScalars,
)
from dither.core.places import Place
from dither.core.statistics import TOTAL_LIMBS, float32, integer

ENERGY = 2e-6
"""Energies are added up in pieces of 64 in float32: half a unit in the last place each time, at worst."""


class Row(NamedTuple):
    """Where a backend is found and where its tensors live.

    `chunk` makes a copy of the reference that takes other pieces, `vectors` names an instruction set.
    """

    module: str
    device: str = "cpu"
    chunk: int | None = None
    vectors: str | None = None


PATS = SensitivityRule(beta=0.85, gamma=1.0)

# To test another backend, add a line.
BACKENDS = {
    "reference in small chunks": Row("dither.core.kernels.reference", chunk=4093),
    "reference on cuda": Row("dither.core.kernels.reference", device="cuda"),
    "cuda": Row("dither.core.kernels.cuda", device="cuda"),
    "native": Row("dither.core.kernels.native"),
    "native, AVX2": Row("dither.core.kernels.native", vectors="AVX2"),
    "native, x86-64": Row("dither.core.kernels.native", vectors="x86-64"),
}


@dataclass(frozen=True)
class Candidate:
    """A backend under test."""

    name: str
    module: Any
    device: str
    vectors: str | None = None

    def choose(self, vectors: str | None) -> bool:
        """Choose the instruction set by name, None for the best; whether the machine has it."""
        library = getattr(self.module, "_library", None)
        if library is None:
            return vectors is None
        return library.dither_choose(vectors.encode() if vectors else None) is not None


def candidates(*, all_vectors: bool = True) -> list[Candidate]:
    """The backends of this machine, with all of its instruction sets or the best alone."""
    found = []
    for name, row in BACKENDS.items():
        if (row.device == "cuda" and not torch.cuda.is_available()) or (row.vectors and not all_vectors):
            continue
        try:
            module = importlib.import_module(row.module) if row.chunk is None else _copy(row)
        except ImportError:  # not compiled
            continue
        candidate = Candidate(name, module, row.device, row.vectors)
        if candidate.choose(row.vectors):
            found.append(candidate)
        candidate.choose(None)
    return found


def _copy(row: Row) -> ModuleType:
    """A second instance of the reference: what is patched in it leaves the yardstick alone."""
    spec = importlib.util.find_spec(row.module)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module._CHUNK = row.chunk  # type: ignore[attr-defined]
    return module


def assert_change(found: Change, expected: Change, what: str = "") -> None:
    """Equal counts; energies as near as they are promised to be."""
    assert (found.elements, found.changed) == (expected.elements, expected.changed), what
    for name in ("energy", "requested"):
        value = pytest.approx(getattr(expected, name), rel=ENERGY, abs=0.0, nan_ok=True)
        assert getattr(found, name) == value, f"{what}: {name}"


def compare_perturb(
    backend: Candidate, tensors: Sequence[Tensor], noises: Sequence[Noise], layout: str = "contiguous"
) -> list[Change]:
    """Noise on all tensors in one call; the changes that the reference reports."""
    placed = [place(values.to(backend.device), layout) for values in tensors]
    found = backend.module.perturb_([one.view for one in placed], noises)
    expected = [values.clone() for values in tensors]
    changes = reference.perturb_(expected, noises)
    assert len(found) == len(tensors)
    for number, (one, values) in enumerate(zip(placed, expected, strict=True)):
        what = f"tensor {number}, {tuple(values.shape)}, {values.dtype}, {layout}"
        assert_same(one.view, values, what)
        assert_change(found[number], changes[number], what)
        assert_nothing_beside(one)
    return changes


def perturb_part(backend: Candidate, part: Tensor, noise: Noise, where: Place) -> None:
    """Noise on the elements of a larger logical tensor that lie in a place, in place."""
    backend.module.perturb_([part], [noise], places=[where])


@dataclass(frozen=True)
class Settings:
    """How the tensors of a training run are kept, and the strength of its noise.

    `exact` is False where an exponent other than 1 or 2 enters; `scales` go round the tensors.
    """

    rule: SensitivityRule = PATS
    average: torch.dtype | None = None  # None: the weight's
    layouts: tuple[str, str, str] = ("contiguous", "contiguous", "contiguous")
    rounding: Any = "nearest"
    scales: tuple[float, ...] = (0.05, 0.1, 0.02)
    exact: bool = True


class Side:
    """A training run on one backend: weights, averages and means live here."""

    def __init__(self, module: Any, device: str, weights: Sequence[Tensor], settings: Settings) -> None:
        self.module, self.device, self.settings = module, device, settings
        self.weights = [place(weight.to(device), settings.layouts[0]) for weight in weights]
        averages = [torch.zeros(w.shape, dtype=settings.average or w.dtype, device=device) for w in weights]
        self.averages = [place(average, settings.layouts[2]) for average in averages]
        self.means = torch.zeros(len(weights), dtype=torch.float32, device=device)
        self.scales = [float32(settings.scales[i % len(settings.scales)]) for i in range(len(weights))]

    def step(self, gradients: Sequence[Tensor], number: int, skipped: Tensor | None) -> SensitivityOutcome:
        """One step; a gradient that was expanded stays so, as autograd's often are."""
        placed = [
            g.to(self.device) if 0 in g.stride() else place(g.to(self.device), self.settings.layouts[1]).view
            for g in gradients
        ]
        rows = zip(self.weights, placed, self.averages, range(len(placed)), strict=True)
        states = [
            SensitivityState(w.view, g, e.view, (k, 7 * k), self.settings.rounding) for w, g, e, k in rows
        ]
        scalars = StepScalars(
            step=torch.tensor(number, device=self.device),
            mean=self.means.clone(),
            scale=torch.tensor(self.scales, device=self.device),
            skipped=None if skipped is None else skipped.to(self.device),
        )
        outcome = self.module.sensitivity_step_(states, self.settings.rule, scalars)
        means = self.module.next_means(outcome, scalars.mean)
        for given, kept in zip(placed, gradients, strict=True):
            assert_same(given, kept.contiguous(), "a gradient was written")
        assert_same(scalars.mean, self.means.cpu(), "the means that came in were written")
        self.means = means
        return outcome


class Training:
    """The same run on a backend and on the reference, compared after every step."""

    def __init__(
        self, backend: Candidate, weights: Sequence[Tensor], settings: Settings | None = None
    ) -> None:
        settings = settings or Settings()
        plain = replace(settings, layouts=("contiguous", "contiguous", "contiguous"))
        self.exact = settings.exact
        self.found = Side(backend.module, backend.device, weights, settings)
        self.expected = Side(reference, "cpu", weights, plain)
        self.steps = 0

    def step(
        self, gradients: Sequence[Tensor], number: int | None = None, skipped: Tensor | None = None
    ) -> SensitivityOutcome:
        """One step on both sides; the reference's outcome, and its means in `expected.means`."""
        self.steps += 1
        number = self.steps if number is None else number
        found = self.found.step(gradients, number, skipped)
        expected = self.expected.step(gradients, number, skipped)
        self._compare_tensors()
        self._compare_outcomes(found, expected)
        return expected

    def _compare_tensors(self) -> None:
        for name in ("weights", "averages"):
            pairs = zip(getattr(self.found, name), getattr(self.expected, name), strict=True)
            for number, (one, other) in enumerate(pairs):
                what = f"{name} of tensor {number} after step {self.steps}"
                if self.exact:
                    assert_same(one.view, other.view, what)
                else:
                    torch.testing.assert_close(one.view.cpu(), other.view, rtol=1e-6, atol=1e-8, msg=what)
                assert_nothing_beside(one)

    def _compare_outcomes(self, found: SensitivityOutcome, expected: SensitivityOutcome) -> None:
        what, k = f"step {self.steps}", len(self.expected.weights)
        shapes = [(k, TOTAL_LIMBS), (k,), (k, 4)]
        assert [tuple(part.shape) for part in (found.total, found.active, found.change)] == shapes, what
        assert found.active.tolist() == expected.active.tolist(), what
        if not self.exact:
            torch.testing.assert_close(self.found.means.cpu(), self.expected.means, rtol=1e-6, atol=0.0)
            torch.testing.assert_close(found.change[:, 2:].cpu(), expected.change[:, 2:], rtol=1e-5, atol=0.0)
            return
        sums = [[integer(row) for row in outcome.total.tolist()] for outcome in (found, expected)]
        assert sums[0] == sums[1], what
        assert_same(self.found.means, self.expected.means, f"means after {what}")
        for number, rows in enumerate(zip(found.change.tolist(), expected.change.tolist(), strict=True)):
            assert_change(Change(*rows[0]), Change(*rows[1]), f"tensor {number}, {what}")
