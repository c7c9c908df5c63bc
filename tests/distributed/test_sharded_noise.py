"""The noise of one process, bit for bit, on tensors that are sharded over 1, 2 and 4."""

from __future__ import annotations

from typing import Any

import pytest
from sharded_models import NAMES, REPLICAS, matrix, ways

CASES = [(size, way) for size in (1, 2, 4) for way in ways(size)]


@pytest.mark.parametrize(("size", "way"), CASES, ids=lambda value: str(value))
def test_every_method(ranks: Any, size: int, way: str) -> None:
    answers = ranks.run(size, matrix, way, size, NAMES)
    for name in NAMES:
        elements, wrong, shards, agree = zip(*(found[name] for found in answers), strict=True)
        assert set(shards) == {0} if way == REPLICAS else min(shards) >= 14, name
        assert sum(elements) > 500_000, name
        assert sum(wrong) == 0, f"{name}: {wrong} of {elements} differ, by rank"
        assert all(agree), name
