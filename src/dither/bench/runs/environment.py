"""What a run ran on: versions and hardware, without names of hosts or people."""

import platform
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("dither", "torch", "transformers", "accelerate", "numpy")


def versions() -> dict[str, str]:
    """Installed versions of dither and of the packages that make a run, by name."""
    return {package: version(package) for package in _PACKAGES}


def environment(threads: int) -> dict[str, str | int]:
    """Versions, device and processor of this process.

    Args:
        threads: of torch on the CPU in the run.

    Example:
        >>> sorted(environment(threads=1))[:3]
        ['accelerate', 'cpu', 'device']
    """
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    return {
        **versions(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _processor(),
        "device": device,
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "threads": threads,
    }


@lru_cache(maxsize=1)
def _processor() -> str:
    """The processor's name, as Linux gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
