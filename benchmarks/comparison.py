"""`dither compare`, from its start to its end, against the bare training loops of its runs.

A bare loop is plain PyTorch on the same data in batches of the same size: the model, fused AdamW, clipping,
the schedule and the noise, and neither a Trainer nor tokenising, loading or evaluation. Half of the loops run
before the comparison and half after it, in as many processes. It takes some minutes, so it runs only when
asked for: python -m benchmarks --only comparison
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.timing import significant, summary

BARE, COMPARE = "bare training loops", "dither compare"
TASK = "builtin/entailment"
METHODS = ("none", "noisytune", "pats")


def measure(device: str, *, quick: bool = False) -> Iterator[dict[str, Any]]:
    """With one and with two processes at a time; on the CPU alone."""
    if device != "cpu":
        return
    for jobs in (1,) if quick else (1, 2):
        yield compared(jobs, seeds=2 if quick else 9, settings=["train.epochs=1"] if quick else [])


def compared(jobs: int, *, seeds: int, settings: list[str]) -> dict[str, Any]:
    """One comparison and its bare loops, in processes of one thread."""
    load = os.getloadavg()[0]
    half = seeds // 2
    found = _bare(jobs, range(half), settings)
    with tempfile.TemporaryDirectory(prefix="dither-comparison-") as folder:
        command = [sys.executable, "-m", "dither", "compare", TASK, "--model", "builtin", "--json", "--jobs"]
        command += [str(jobs), "--seeds", f"0-{seeds - 1}", "--methods", ",".join(METHODS), "--out", folder]
        before, start = _cpu(), time.perf_counter()
        effort = json.loads(_printed([*command, *_set(settings)]))["effort"]
        seconds, cpu = time.perf_counter() - start, _cpu() - before
        peak = _largest(Path(folder))
    found += _bare(jobs, range(half, seeds), settings)
    bare = sum(row["seconds"] for row in found) / jobs
    candidates = {
        BARE: {
            **summary([bare]),
            "cpu_seconds": significant(sum(row["cpu_seconds"] for row in found)),
            "peak_bytes": max(row["peak_bytes"] for row in found),
        },
        COMPARE: {
            **summary([seconds]),
            "cpu_seconds": significant(cpu),
            "peak_bytes": peak,
            "step_share": significant(effort["step_share"]),
        },
    }
    what = f"{effort['runs']} runs, {jobs} process{'es' * (jobs > 1)}"
    note = f"load of the machine {load:.1f} to {os.getloadavg()[0]:.1f}"
    return {"model": f"{TASK}, built-in encoder", "what": what, "note": note, "candidates": candidates}


def _bare(jobs: int, seeds: range, settings: list[str]) -> list[dict[str, Any]]:
    """The loops of some seeds, shared among processes that run at the same time."""
    shares = [[str(seed) for seed in seeds[job::jobs]] for job in range(jobs)]
    commands = [
        [sys.executable, "-m", "benchmarks.bare_loop", TASK, *share, *_set(settings)] for share in shares
    ]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    printed = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        raise RuntimeError(f"a bare loop failed: {printed}")
    return [json.loads(text) for text in printed]


def _set(settings: list[str]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def _printed(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-500:])
    return done.stdout


def _cpu() -> float:
    """Seconds of all cores that ended processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _largest(folder: Path) -> int:
    """Peak memory of the largest process that made a run, in bytes."""
    from dither.results import Ledger

    with Ledger.read(folder) as ledger:
        return round(max(result.peak_memory_mb or 0 for result in ledger.results()) * 2**20)
