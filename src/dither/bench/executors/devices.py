"""The GPUs of this machine, one for each process that makes runs: no run uses two.

A process that sees several would train on all of them at once, with a batch as many times as large.
"""

import os
from itertools import cycle, islice

VISIBLE = "CUDA_VISIBLE_DEVICES"
_PART = "MIG-"  # CUDA shows a process no more than one part of a GPU, however many it names


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them: by number or UUID, or a part.

    Example:
        >>> visible_gpus()  # on a machine without GPUs
        ()
    """
    import torch

    count = torch.cuda.device_count()  # what is named behind one that is not there is not seen, as in CUDA
    named = os.environ.get(VISIBLE)
    if named is None:
        return tuple(map(str, range(count)))
    names = [name.strip() for name in named.split(",")]
    return tuple(names if count and names[0].startswith(_PART) else names[:count])


def gpus_of(processes: int) -> list[str | None]:
    """The GPU of each process, in turn; None where there are none.

    Args:
        processes: how many, >= 1.
    """
    return list(islice(cycle(visible_gpus() or (None,)), processes))


def default_jobs(threads: int) -> int:
    """How many runs at a time suit this machine: one for each GPU, else as many as the cores allow.

    Args:
        threads: of torch for each run.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return len(visible_gpus()) or max(1, cores // max(1, threads))


def use_gpu(name: str | None) -> None:
    """Let this process see one GPU alone; None changes nothing. Call it before anything asks for a GPU.

    Raises:
        RuntimeError: this process has been at a GPU already.
    """
    if name is None:
        return
    import torch

    if torch.cuda.is_initialized():
        raise RuntimeError(f"this process has used a GPU before it was given {name}; start a new one")
    os.environ[VISIBLE] = name
