"""Real groups of processes on the CPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# For the groups, for launching, and for the models that the processes build too.
sys.path += [
    str(Path(__file__).parents[1] / name) for name in ("distributed", "bench", "integrations", "contract")
]

from gloo_group import GlooGroups


@pytest.fixture(scope="session")
def ranks() -> Iterator[GlooGroups]:
    """Processes that run a function together."""
    groups = GlooGroups()
    yield groups
    groups.close()
