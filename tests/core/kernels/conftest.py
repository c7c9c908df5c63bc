"""The backends under test: every one that this machine has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent))

from kernel_comparison import Candidate, candidates


@pytest.fixture(params=candidates(), ids=lambda candidate: candidate.name)
def backend(request: pytest.FixtureRequest) -> Iterator[Candidate]:
    """Each backend with each instruction set; the reference on the CPU, as it is, is the yardstick."""
    candidate: Candidate = request.param
    assert candidate.choose(candidate.vectors)
    yield candidate
    candidate.choose(None)


@pytest.fixture(params=candidates(all_vectors=False), ids=lambda candidate: candidate.name)
def each_backend(request: pytest.FixtureRequest) -> Candidate:
    """Each backend with its best instruction set, for what has nothing to do with the arithmetic."""
    return request.param


@pytest.fixture
def own_threads() -> Iterator[None]:
    """The test may set the number of torch's threads."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
