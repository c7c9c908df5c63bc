"""kill -9 in training and in the middle of saves: what is resumed ends like the run that nobody killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("training_to_kill.py")


@pytest.mark.slow
def test_a_run_killed_many_times_ends_bit_for_bit_like_one_in_one_go(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), "1"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["kills"] == [True] * 7
    assert report["reached"] < 40
    final = "final/model.safetensors"
    assert (tmp_path / "whole" / final).read_bytes() == (tmp_path / "killed" / final).read_bytes()
    log = (tmp_path / "killed" / "log.txt").read_text()
    assert "is not whole and is skipped" in log
    assert (tmp_path / "whole" / "log.txt").read_text() == ""
