"""kill -9 of both processes of a training, or of one of them, in training and in the middle of saves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from killed_training import ends_like_the_whole_one


@pytest.mark.slow
def test_a_run_of_two_killed_many_times_ends_bit_for_bit_like_one_in_one_go(tmp_path: Path) -> None:
    ends_like_the_whole_one(tmp_path, processes=2)
    last = max((tmp_path / "killed").glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    history = json.loads((last / "trainer_state.json").read_text())["log_history"]
    assert [row["dither_processes"] for row in history if "dither_processes" in row] == [2]
