"""Start-up: what dither adds to a fresh process that imports torch anyway."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.timing import Work, interleaved, summary

_CLOCK = "from time import perf_counter as now; "
_FIRST = "dither.noisytune_(torch.nn.Linear(16, 4), seed=0)"

PROCESSES = {
    "python": "pass",
    "import dither": "import dither",
    "import torch": "import torch",
    "import torch, dither, first noise": f"import torch; import dither; {_FIRST}",
}
"""Whole processes, from their start to their end."""

INSIDE = {
    "first noise": f"import torch; import dither; {_CLOCK}a = now(); {_FIRST}; print(now() - a)",
    "second noise": f"import torch; import dither; {_FIRST}; {_CLOCK}a = now(); {_FIRST}; print(now() - a)",
}
"""What a process prints that it measured itself."""


def measure(device: str, *, quick: bool = False) -> Iterator[dict[str, Any]]:
    """Whole processes in turn, then the first noise of a process against the second; on the CPU alone."""
    if device != "cpu":
        return
    repeats = 2 if quick else 9
    work = {name: _process(code) for name, code in PROCESSES.items()}
    timed = interleaved(work, repeats, shortest=0.0)
    yield {"model": "a fresh process", "candidates": timed}
    found: dict[str, list[float]] = {name: [] for name in INSIDE}
    for _ in range(repeats):
        for name, code in INSIDE.items():
            found[name].append(float(run(code)))
    inside = {name: summary(rounds) for name, rounds in found.items()}
    yield {"model": "inside a fresh process", "candidates": inside}


def _process(code: str) -> Work:
    return lambda: run(code)


def run(code: str) -> str:
    """What a fresh interpreter prints; a RuntimeError with its last line where it fails."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return done.stdout
