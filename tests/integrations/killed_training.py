"""What must come out of a training that is killed again and again, by one process or by several."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("training_to_kill.py")
KILLS = int(os.environ.get("DITHER_TEST_KILLS", "3"))
"""At random moments, after one in each phase of a save; set the variable for a long trial."""
SEED = 1


def ends_like_the_whole_one(folder: Path, processes: int) -> None:
    """Train in one go and with kills, and compare the final weights bit for bit."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), *map(str, (SEED, KILLS, processes))],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1200 + 60 * KILLS,  # an end for what hangs: it takes a minute when the machine is idle
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((folder / "report.json").read_text())
    assert report["kills"] == [True] * (4 + KILLS)
    assert report["reached"] < report["steps"]
    final = "final/model.safetensors"
    assert (folder / "whole" / final).read_bytes() == (folder / "killed" / final).read_bytes()
    log = (folder / "killed" / "log.txt").read_text()
    assert "is not whole and is skipped" in log
    assert (folder / "whole" / "log.txt").read_text() == ""
