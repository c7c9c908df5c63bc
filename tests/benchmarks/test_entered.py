"""Which files a reader enters: calls of our functions, in every thread, and nothing else."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from benchmarks.entered import Trail

from dither.core.names import canonical_name
from dither.methods.registry import other_seed


def files(trail: Trail) -> list[str]:
    return [Path(file).name for file in trail.lines]


def test_calls_are_followed_wherever_they_are_made():
    with Trail() as trail:
        other_seed(1)
        thread = threading.Thread(target=canonical_name, args=("a.weight",))
        thread.start()
        thread.join()
    assert files(trail) == ["registry.py", "names.py"]
    assert trail.changes == 2
    assert sys.getprofile() is None


def test_what_is_not_ours_does_not_count():
    with Trail() as trail:
        sorted([3, 1], key=str)
        Path("a").with_suffix(".b")
    assert files(trail) == []
