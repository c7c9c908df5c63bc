"""The phases of a run: every step is in one, and the samples lie evenly in them."""

from __future__ import annotations

import pytest

from dither.core.phases import PHASES, SAMPLES, phases_of

TOTALS = [1, 2, 7, 8, 9, 31, 32, 33, 100, 12345]


@pytest.mark.parametrize("total", TOTALS)
def test_every_step_is_in_one_phase(total):
    phases = phases_of(total)
    steps = [step for phase in phases for step in range(phase.first, phase.last + 1)]
    assert steps == list(range(1, total + 1))
    assert len(phases) == min(PHASES, total)
    lengths = {phase.last - phase.first + 1 for phase in phases}
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("total", TOTALS)
def test_samples_are_evenly_spaced(total):
    for phase in phases_of(total):
        length = phase.last - phase.first + 1
        assert len(set(phase.samples)) == len(phase.samples) == min(SAMPLES, length)
        bounds = [phase.first, *phase.samples, phase.last]
        assert bounds == sorted(bounds)
        gaps = {after - before for before, after in zip(phase.samples, phase.samples[1:], strict=False)}
        assert not gaps or max(gaps) - min(gaps) <= 1
