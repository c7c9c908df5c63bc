"""Where and with what a run was made, without names of hosts or people."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from dither.bench.runs.environment import environment
from dither.core.kernels import backend_for

_PACKAGES = ("dither", "torch", "transformers", "numpy", "noise-injection")


def machine() -> dict[str, Any]:
    """The hardware."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found: dict[str, Any] = {
        "cpu": environment(torch.get_num_threads())["cpu"],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(memory, 1),
        "torch_instruction_set": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
        found["gpu_memory_gib"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
    return found


def slug(machine: dict[str, Any]) -> str:
    """A file name for a machine.

    Example:
        >>> slug({"cpu": "AMD EPYC(tm)", "cores": 2})
        'amd-epyc-2-cores'
    """
    text = f"{machine['cpu']} {machine['cores']} cores {machine.get('gpu', '')}"
    plain = re.sub(r"\((r|tm)\)|@.*?hz", " ", text.lower())
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")


def provenance(device: str, *, quick: bool) -> dict[str, Any]:
    """Commit, date, versions, threads, and the chosen backend: its name says the instruction set."""
    return {
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "quick": quick,
        "load_before": round(os.getloadavg()[0], 2),
        "threads": torch.get_num_threads(),
        "backend": backend_for(torch.device(device)).NAME,
        "python": platform.python_version(),
        "versions": {package: found for package in _PACKAGES if (found := _version(package))},
    }


def commit() -> str:
    """The commit of the working tree, with a plus where the code differs from it; "" outside a repository."""
    here = Path(__file__).parents[1]
    try:
        head = _git(here, "rev-parse", "--short=12", "HEAD")
        changed = _git(here, "status", "--porcelain", "--", "src", "benchmarks/*.py")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{head}+" if changed else head


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
