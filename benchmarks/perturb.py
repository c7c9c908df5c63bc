"""`dither perturb` against `cp` and `sync` of the same files: 8 GB in shards, and one tensor of 4 GB.

It takes 16 GB of disk below the temporary folder (TMPDIR names another), so it runs only when asked for:
python -m benchmarks --only perturb
"""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import file_digest
from pathlib import Path
from typing import Any

from benchmarks.made_checkpoints import checkpoint_folder, one_tensor
from benchmarks.timing import summary

COPY, PERTURB, UNHASHED, HASH = (
    "cp -r, sync",
    "dither perturb",
    "dither perturb, hashing left out",
    "SHA-256 of the source alone",
)
ROUNDS = 5

_TORCH = "import torch"
_DITHER = """
import sys
from dither.cli import main

status = main(sys.argv[1:])
if status:
    sys.exit(status)
"""
_NO_HASH = """
from dither.checkpoint import stream

class Nothing:
    def __init__(self, *_): pass
    def update(self, _): pass
    def hexdigest(self): return ""

stream.sha256 = Nothing
"""
_PEAK = """
from benchmarks.memory import high_water_mark

print(high_water_mark())
"""

Run = Callable[[], int]
"""Does the work and returns the peak of its resident memory in bytes, or 0 where that is not asked."""


def measure(device: str, *, quick: bool = False) -> Iterator[dict[str, Any]]:
    """Both checkpoints, each candidate once a round and every target removed before the next; CPU alone."""
    if device != "cpu":
        return
    with tempfile.TemporaryDirectory(prefix="dither-perturb-") as name:
        source = Path(name) / "source"
        size = checkpoint_folder(source, layers=1 if quick else 38, width=64 if quick else 3072)
        yield compared("sharded checkpoint, bfloat16", source, size, [], 1 if quick else ROUNDS)
        shutil.rmtree(source)
        source = Path(name) / "source.safetensors"
        size = one_tensor(source, 1 << 20 if quick else 4_000_000_000)
        yield compared("one tensor, bfloat16", source, size, ["--names", "file"], 1 if quick else ROUNDS)


def compared(model: str, source: Path, size: int, options: list[str], rounds: int) -> dict[str, Any]:
    """One checkpoint: every candidate once a round, in another order each round."""
    target = source.with_name(f"target{source.suffix}")
    words = ["perturb", str(source), str(target), "--json", *options]
    candidates: dict[str, Run] = {
        COPY: lambda: _copied(source, target),
        PERTURB: lambda: peak_of(_DITHER, words),
        UNHASHED: lambda: peak_of(_NO_HASH + _DITHER, words),
        HASH: lambda: _hashed(source),
    }
    base = peak_of(_TORCH, [])
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    peaks: dict[str, int] = {}
    loads = []
    for number in range(rounds):
        loads.append(os.getloadavg()[0])
        for name in random.Random(number).sample(list(candidates), len(candidates)):
            _removed(target)
            start = time.perf_counter()
            peak = candidates[name]()
            seconds[name].append(time.perf_counter() - start)
            if peak:
                peaks[name] = max(peaks.get(name, 0), peak - base)
    _removed(target)
    found = {name: summary(times) for name, times in seconds.items()}
    for name, peak in peaks.items():
        found[name]["peak_bytes"] = peak
    note = f"load of the machine {min(loads):.1f} to {max(loads):.1f}"
    return {"model": model, "bytes": size, "note": note, "candidates": found}


def peak_of(code: str, words: list[str]) -> int:
    """Run code in a fresh process; returns the peak of its resident memory in bytes."""
    command = [sys.executable, "-c", code + _PEAK, *words]
    here = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=here)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-500:])
    return int(done.stdout.split()[-1])


def _copied(source: Path, target: Path) -> int:
    subprocess.run(["cp", "-r", source, target], check=True)
    os.sync()
    return 0


def _hashed(source: Path) -> int:
    for path in sorted(source.glob("*.safetensors")) if source.is_dir() else [source]:
        with path.open("rb", buffering=0) as file:
            file_digest(file, "sha256")
    return 0


def _removed(target: Path) -> None:
    """Remove a target and wait until the disk has done so, too."""
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    target.with_name(f"{target.stem}.dither.json").unlink(missing_ok=True)
    os.sync()
