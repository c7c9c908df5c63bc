"""What is counted of sharded tensors, each process its own part, is what one process counts."""

from __future__ import annotations

from typing import Any

import pytest
from sharded_models import REPLICAS
from sharded_trace import both


def without_means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        row | {part: [{key: one[key] for key in one if key != "mean"} for one in row[part]] for part in PARTS}
        for row in rows
    ]


PARTS = ("types", "layers")


@pytest.mark.parametrize("way", [REPLICAS, "fully_shard", "Shard(1)", "Replicate"])
def test_the_counts_of_two_processes_are_those_of_one(ranks: Any, way: str) -> None:
    (found, alone), (other, _) = ranks.run(2, both, way, 2)
    assert len(alone) == 4
    assert sum(row["count"] for row in alone[0]["types"]) > 500_000
    assert without_means(found) == without_means(alone)
    for ours, theirs in zip(found, alone, strict=True):
        for part in PARTS:  # sums of parts are added up in another order
            means = [row["mean"] for row in theirs[part]]
            assert [row["mean"] for row in ours[part]] == pytest.approx(means, rel=1e-12)
    assert other == ([] if way in (REPLICAS, "Replicate") else found)
