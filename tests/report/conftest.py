"""The page in a real browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path += [
    str(Path(__file__).resolve().parents[2]),  # for benchmarks
    str(Path(__file__).resolve().parents[1] / "bench"),  # for tiny_encoder
]

if TYPE_CHECKING:
    from benchmarks.browser import Browser


@pytest.fixture(scope="session")
def browser(chromium: None) -> Iterator[Browser]:
    """A browser for all tests; what a test wants of it, such as a width, it sets itself."""
    from benchmarks.browser import started

    with started() as found:
        yield found
