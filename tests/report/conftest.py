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
    str(Path(__file__).parent),  # for pages
]

if TYPE_CHECKING:
    from benchmarks.browser import Browser
    from pages import Made


@pytest.fixture(scope="session")
def browser(chromium: None) -> Iterator[Browser]:
    """A browser for all tests; what a test wants of it, such as a width, it sets itself."""
    from benchmarks.browser import started

    with started() as found:
        yield found


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two tasks, one of several languages; three methods; nine seeds, two of which fail once."""
    from pages import made_page

    return made_page(tmp_path_factory.mktemp("page") / "runs")
