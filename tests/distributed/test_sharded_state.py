"""A sharded run goes on from its checkpoint with any number of processes; what cannot go on is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import sharded_state as there


def test_a_checkpoint_goes_on_with_any_number_of_processes(ranks: Any, tmp_path: Path) -> None:
    ranks.run(2, there.started, 2, str(tmp_path / "saved"))
    for size in (2, 4, 1):
        for moved, steps, elements, wrong, records_agree in ranks.run(
            size, there.resumed, size, str(tmp_path / "saved")
        ):
            assert (moved, steps, wrong) == (0, 2, 0), size
            assert elements > 1000
            assert records_agree


MESSAGES = {
    "uneven": r"parameter 'weight' has shape \([35], 4\) .* of \(8, 4\) make it \(4, 4\); shard it with",
    "partial": r"parameter 'weight' has the placement P\S*\(sum\): .*; redistribute it",
    "pieces": r"parameter 'weight' is placed as .*_StridedShard.*, in pieces along dimension 0",
    "meta": "parameter 'weight' lies on the meta device; load or materialise the weights first",
    "fsdp1 True": r"is wrapped by FSDP1 .*noise the model before wrapping it, or use FSDP2",
    "fsdp1 False": r"is wrapped by FSDP1 .*noise the model before wrapping it, or use FSDP2",
    "lost": r"moving average 'dither_sensitivity' of 'head\.weight' is missing .* whole checkpoint",
    "whole": r"of 'head\.weight' .* is \(3, 33\), the parameter is \(3, 33\), placed as .*Shard",
    "of another shape": r"of 'head\.weight' .* is \(3,\), the parameter is \(3, 33\), placed as",
}


def test_what_cannot_be_noised_or_continued_is_said(ranks: Any) -> None:
    for found in ranks.run(2, there.refusals, 2):
        assert found.keys() == MESSAGES.keys()
        for name, message in found.items():
            assert re.search(MESSAGES[name], message), f"{name}: {message}"


def test_a_gradient_that_has_still_to_be_added_up(ranks: Any) -> None:
    """Also at a step of rate 0, where processes have to agree whether it trains anything."""
    for elements, wrong, steps in ranks.run(2, there.partial_gradient, 2):
        assert (elements, wrong, steps) == (24, 0, [True, True])


@pytest.mark.parametrize("name", ["pats", "pats-blind"])
def test_a_gradient_in_one_process_alone_keeps_the_means_equal(ranks: Any, name: str) -> None:
    first, second = ranks.run(2, there.gradient_of_one_process, name, 2)
    assert first == second
    assert min(first[0]) > 0.0
