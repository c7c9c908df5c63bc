"""Replicas stay the same to the last bit, although each sees other data, and more or less of it."""

from __future__ import annotations

import json
from pathlib import Path

from drift import STEPS
from launching import done

SCRIPT = Path(__file__).with_name("drift.py")


def test_replicas_do_not_drift_in_200_steps_with_unequal_batches(tmp_path: Path) -> None:
    done(SCRIPT, tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["processes"] == 2
    assert len(report["drift"]) == STEPS == 200
    assert max(report["drift"]) == 0.0
    assert min(report["gradients"]) > 0.0
    assert report["noise"] > 0.01
    first, second = report["records"]
    assert first == second
