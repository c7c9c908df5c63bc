"""kill -9 in training and in the middle of saves: what is resumed ends like the run that nobody killed."""

from __future__ import annotations

from pathlib import Path

import pytest
from killed_training import ends_like_the_whole_one


@pytest.mark.slow
def test_a_run_killed_many_times_ends_bit_for_bit_like_one_in_one_go(tmp_path: Path) -> None:
    ends_like_the_whole_one(tmp_path, processes=1)
