"""Memory: how much there is, and the peak that one piece of work adds, measured in a fresh process.

python -m benchmarks.memory benchmarks.noise '{"model": "LoRA", ...}' prints that peak in bytes: the module's
`build(**arguments)` makes the work, and `warm_up(**arguments)` the arguments of a small piece of the same
work, which loads code and starts threads before anything is measured.
"""

import ctypes
import gc
import importlib
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.timing import synchronize

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def available(device: str = "cpu") -> int:
    """Bytes that can still be allocated on a device."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = _kilobytes(Path("/proc/meminfo"), "MemAvailable")
    limits = [size for size in (free, _left_in_group()) if size is not None]
    return min(limits) if limits else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def peak(work: Callable[[], object], device: str) -> int:
    """Bytes that a call adds at its worst to what is held before it.

    On a GPU what torch's allocator hands out; on the CPU the resident set, whose high-water mark Linux
    can lower. Elsewhere the mark of the whole process stands for it, which may hide a small peak.
    """
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    _give_back()
    before = _loweredhigh_water_mark()
    work()
    return max(0, high_water_mark() - before)


def in_fresh_process(module: str, arguments: dict[str, Any]) -> int | str:
    """The peak of a module's work, from a process of its own; or the last line of what went wrong."""
    command = [sys.executable, "-m", "benchmarks.memory", module, json.dumps(arguments)]
    here = Path(__file__).resolve().parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=here)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return lines[-1] if lines else f"ended with status {done.returncode}"
    return int(done.stdout.split()[-1])


def main() -> None:
    """Build, warm up, measure, print."""
    module, arguments = importlib.import_module(sys.argv[1]), json.loads(sys.argv[2])
    small = module.build(**module.warm_up(**arguments))
    small()
    small()
    del small
    print(peak(module.build(**arguments), arguments["device"]))


def _give_back() -> None:
    """Return freed heap to the system: reused without being seen, it would hide a peak of a few megabytes."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def _loweredhigh_water_mark() -> int:
    """Set the high-water mark to what is resident now and return it; the mark as it is where that fails."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return high_water_mark()
    resident = _kilobytes(_STATUS, "VmRSS")
    return resident if resident is not None else high_water_mark()


def high_water_mark() -> int:
    """The most that was resident of this process, in bytes; on Linux without what its parent held."""
    mark = _kilobytes(_STATUS, "VmHWM") if _STATUS.exists() else None
    if mark is not None:
        return mark
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _kilobytes(file: Path, field: str) -> int | None:
    """A size of /proc in bytes."""
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB", file.read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _left_in_group() -> int | None:
    """Bytes that the control group of this process may still take, where it has a limit."""
    group = Path("/sys/fs/cgroup")
    try:
        limit, used, details = (
            (group / f"memory.{name}").read_text().strip() for name in ("max", "current", "stat")
        )
    except OSError:
        return None
    cache = re.search(r"^inactive_file (\d+)$", details, re.MULTILINE)  # given back when needed
    return int(limit) - int(used) + (int(cache[1]) if cache else 0) if limit.isdigit() else None


if __name__ == "__main__":
    main()
