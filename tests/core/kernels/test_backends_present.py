"""The suite beside this one tests what it finds; here it is told what it must find."""

from __future__ import annotations

import os
import platform

import pytest
import torch
from kernel_comparison import BACKENDS, candidates


def test_the_native_backend_and_its_instruction_sets_are_tested() -> None:
    names = {candidate.name for candidate in candidates()}
    assert "reference in small chunks" in names
    if "native" not in names:
        reason = "the native backend is not compiled: install dither again where there is a C compiler"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    if platform.machine() == "x86_64":
        assert "native, x86-64" in names
    assert (torch.cuda.is_available() and "cuda" in BACKENDS) == ("cuda" in names)


def test_an_instruction_set_that_there_is_not_is_not_chosen() -> None:
    for candidate in candidates():
        assert not candidate.choose("abacus")
        assert candidate.choose(None)
