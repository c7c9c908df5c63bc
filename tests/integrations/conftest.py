from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # for tiny_trainer, which a killed child imports too


@pytest.fixture(scope="module", autouse=True)
def quick_garbage_collection() -> Iterator[None]:
    """The Trainer collects garbage at each start; looking at all of torch takes longer than training."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
