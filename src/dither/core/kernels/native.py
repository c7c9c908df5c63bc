"""The CPU backend: compiled kernels for all cores and vector units, called through ctypes.

The library is compiled when dither is installed (or comes with the wheel); the instruction set is chosen
when it is loaded. The bits are those of the reference for any number of threads.
"""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dither.core.kernels import reference
from dither.core.memory import is_plainly_ordinary, overwrite, settled, values_of
from dither.core.noise import (
    Change,
    Noise,
    SensitivityOutcome,
    SensitivityRule,
    SensitivityState,
    StepScalars,
    Together,
    check_shapes,
)
from dither.core.places import WHOLE, Place
from dither.core.statistics import SQUARE_LIMBS, TOTAL_LIMBS, Moments

LIBRARY = Path(__file__).with_name("_native.so")

# As in native/noise.h.
_MAX_DIMS = 8
_DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2, torch.float64: 3}
_LAWS = {"uniform": 0, "gaussian": 1}
_KEEP_ZEROS, _STOCHASTIC, _IDLE, _MAGNITUDE = 1, 2, 4, 8
_MOMENTS, _PERTURB, _SENSITIVITY = 0, 1, 2
_VIEW = np.dtype([("data", "u8"), ("stride", "i8", _MAX_DIMS), ("dtype", "i4"), ("contiguous", "i4")])
_JOB = np.dtype(
    [
        *((name, _VIEW) for name in ("weight", "gradient", "average")),
        ("size", "i8", _MAX_DIMS),
        *((name, "i8") for name in ("count", "offset", "run")),
        *((name, "i8", _MAX_DIMS) for name in ("row_size", "row_stride")),
        ("key", "u4", 2),
        ("step", "u4"),
        *((name, "i4") for name in ("dims", "rows", "law", "flags")),
        *((name, "f4") for name in ("scale", "mean", "beta", "rest", "gamma")),
    ]
)
_SUMS = np.dtype(
    [("total", "i8", TOTAL_LIMBS), ("squares", "i8", SQUARE_LIMBS), ("nonfinite", "i8"), ("active", "i8")]
)
_CHANGES = np.dtype(("f8", 4))


def _load() -> ctypes.CDLL:
    if not LIBRARY.exists():
        raise ImportError(
            "the CPU kernels were not compiled when dither was installed; install a C compiler "
            "(or pip install ziglang) and then dither again"
        )
    library = ctypes.CDLL(str(LIBRARY))
    library.dither_choose.restype, library.dither_choose.argtypes = ctypes.c_char_p, [ctypes.c_char_p]
    library.dither_run.restype, library.dither_run.argtypes = (
        ctypes.c_int,
        [ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, *[ctypes.c_void_p] * 3],
    )
    sizes = (ctypes.c_int64 * 3)()
    library.dither_sizes(sizes)
    if list(sizes) != [_JOB.itemsize, _SUMS.itemsize, 32]:
        raise ImportError(f"{LIBRARY.name} is of another version of dither; install dither again")
    return library


def _openmp() -> tuple[int | None, str]:
    """The address of GOMP_parallel in the OpenMP that torch uses, or None; and what a Record says of threads.

    Torch's own library is asked, through which the loader finds what it depends on, wherever that lies.
    """
    try:
        torch_itself = ctypes.CDLL(torch._C.__file__)  # loaded long ago
        parallel = ctypes.cast(torch_itself.GOMP_parallel, ctypes.c_void_p).value
        return parallel, ", serial: OMP_THREAD_LIMIT=1" if torch_itself.omp_get_thread_limit() == 1 else ""
    except (OSError, AttributeError):
        return None, ", threads of its own"


def _forget_threads() -> None:
    global _parallel
    _parallel = None


_library = _load()
_parallel, _said_of_threads = _openmp()
os.register_at_fork(after_in_child=_forget_threads)  # a child has none of its parent's threads
INSTRUCTION_SET = _library.dither_choose(None).decode()
NAME = f"native ({INSTRUCTION_SET}{_said_of_threads})"


def moments(tensors: Sequence[Tensor]) -> list[Moments]:
    """Moments of each logical tensor."""
    if not _are_known(tensors):
        return reference.moments(tensors)
    jobs = np.zeros(len(tensors), _JOB)
    seen = [_served(tensor) for tensor in tensors]
    _fill_view(jobs, "weight", seen)
    sums, _ = _run(_MOMENTS, jobs)
    totals, squares = _integers(sums["total"]), _integers(sums["squares"])
    counts, strange = jobs["count"].tolist(), sums["nonfinite"].tolist()
    return [Moments(*row) for row in zip(counts, totals, squares, strange, strict=True)]


def perturb_(
    tensors: Sequence[Tensor], noises: Sequence[Noise], *, places: Sequence[Place] | None = None
) -> list[Change]:
    """Add each noise to its tensor, in place.

    Args:
        tensors: floating-point tensors of any layout.
        noises: one for each.
        places: of each in its logical tensor; None where all are whole.
    """
    if not _are_known(tensors):
        return reference.perturb_(tensors, noises, places=places)
    jobs = np.zeros(len(tensors), _JOB)
    tensors = [settled(tensor) for tensor in tensors]
    written = [_served(tensor) for tensor in tensors]
    _fill_view(jobs, "weight", written)
    _fill_places(jobs, places or [])
    jobs["key"] = [noise.key for noise in noises] or np.zeros((0, 2))
    jobs["step"] = [noise.step for noise in noises]
    jobs["law"] = [_LAWS[noise.law] for noise in noises]
    jobs["scale"] = [noise.scale for noise in noises]
    jobs["flags"] = [
        _KEEP_ZEROS * noise.keep_zeros | _STOCHASTIC * (noise.rounding == "stochastic") for noise in noises
    ]
    _, changes = _run(_PERTURB, jobs)
    _finish(tensors, written)
    return [Change.of(row) for row in changes.tolist()]


def sensitivity_step_(
    states: Sequence[SensitivityState],
    rule: SensitivityRule,
    scalars: StepScalars,
    *,
    together: Together | None = None,
) -> SensitivityOutcome:
    """Update the moving averages and add the noise of one training step, in place and in one pass."""
    held = [settled(state.weight) for state in states] + [settled(state.average) for state in states]
    gradients = [settled(state.gradient) for state in states]
    if rule.weighting != "insensitivity" or not _are_known([*held, *gradients]):
        # These controls need the energy of all weights before the first is written.
        return reference.sensitivity_step_(states, rule, scalars, together=together)
    if scalars.skipped is not None and bool(scalars.skipped):
        return SensitivityOutcome.nothing(len(states), scalars.mean.device)
    jobs = np.zeros(len(states), _JOB)
    check_shapes(states)
    written = [_served(tensor) for tensor in held]
    _fill_view(jobs, "weight", written[: len(states)])
    _fill_view(jobs, "average", written[len(states) :])
    gradients = [_served(gradient) for gradient in gradients]  # copies have to live until the end
    _fill_view(jobs, "gradient", gradients)
    _fill_places(jobs, [state.place for state in states])
    jobs["key"] = [state.key for state in states] or np.zeros((0, 2))
    jobs["step"] = int(scalars.step)
    jobs["scale"], jobs["mean"] = scalars.scale.numpy(), scalars.mean.numpy()
    jobs["beta"], jobs["rest"], jobs["gamma"] = rule.beta, 1.0 - rule.beta, rule.gamma
    common = _KEEP_ZEROS | _IDLE * rule.idle | _MAGNITUDE * (rule.measure == "magnitude")
    jobs["flags"] = [common | _STOCHASTIC * (state.rounding == "stochastic") for state in states]
    sums, changes = _run(_SENSITIVITY, jobs)
    _finish(held, written)
    return SensitivityOutcome(
        torch.from_numpy(sums["total"].copy()),
        torch.from_numpy(sums["active"].copy()),
        torch.from_numpy(changes),
    )


next_means = reference.next_means


def _run(what: int, jobs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Do one thing to all tensors; returns their sums and their changes."""
    sums, changes = np.zeros(len(jobs), _SUMS), np.zeros((len(jobs), 4))
    threads = torch.get_num_threads()
    failed = _library.dither_run(
        what, jobs.ctypes.data, len(jobs), threads, sums.ctypes.data, changes.ctypes.data, _parallel
    )
    if failed:
        raise MemoryError("no memory for the bookkeeping of the noise; nothing was written")
    return sums, changes


def _fill_view(jobs: np.ndarray, name: str, tensors: Sequence[Tensor]) -> None:
    view = jobs[name]
    view["data"] = [tensor.data_ptr() for tensor in tensors]
    view["dtype"] = [_DTYPES[tensor.dtype] for tensor in tensors]
    view["contiguous"] = [tensor.is_contiguous() for tensor in tensors]
    if name == "weight":
        jobs["count"] = [tensor.numel() for tensor in tensors]
    if bool(((view["data"] == 0) & (jobs["count"] > 0)).any()):
        raise TypeError("a tensor has no memory that holds its elements; nothing was written")
    for row in np.flatnonzero(view["contiguous"] == 0).tolist():
        tensor = tensors[row]
        jobs["dims"][row] = tensor.dim()
        jobs["size"][row, : tensor.dim()] = tensor.shape
        view["stride"][row, : tensor.dim()] = tensor.stride()


def _fill_places(jobs: np.ndarray, places: Sequence[Place]) -> None:
    for row, place in enumerate(places):
        if place is WHOLE:  # nearly always: zeros say so
            continue
        jobs["offset"][row] = place.offset
        if place.rows:
            count = len(place.rows)
            jobs["run"][row], jobs["rows"][row] = place.run, count
            jobs["row_size"][row, :count], jobs["row_stride"][row, :count] = zip(*place.rows, strict=True)


def _are_known(tensors: Sequence[Tensor]) -> bool:
    """Whether the kernels know the dtypes; what else there is goes to the reference."""
    return {tensor.dtype for tensor in tensors} <= _DTYPES.keys()


def _served(tensor: Tensor) -> Tensor:
    """The tensor, or a copy where kernels cannot serve it: not in memory, many dimensions, shared elements.

    Raises:
        TypeError: its elements are not to be had, or not on the CPU.
    """
    if is_plainly_ordinary(tensor) and tensor.is_cpu:  # nearly always, and cheap to see
        return tensor
    tensor = values_of(tensor)
    if not tensor.is_cpu:
        raise TypeError(f"a tensor lies on {tensor.device} where all others lie on the CPU; move it there")
    if tensor.is_contiguous():
        return tensor
    shared = any(stride == 0 and size > 1 for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.detach().contiguous() if shared or tensor.dim() > _MAX_DIMS else tensor


def _finish(tensors: Sequence[Tensor], written: Sequence[Tensor]) -> None:
    """Copy back what was written elsewhere, and tell autograd, which may have saved values from before."""
    for tensor, copy in zip(tensors, written, strict=True):
        if tensor is not copy:
            overwrite(tensor, copy)
    torch.autograd.graph.increment_version(tensors)


def _integers(limbs: np.ndarray) -> list[int]:
    """Reduced limbs as whole numbers: 32 bits each, in two's complement."""
    width = 4 * limbs.shape[1]
    packed = limbs.astype("<u4").tobytes()
    return [
        int.from_bytes(packed[at : at + width], "little", signed=True) for at in range(0, len(packed), width)
    ]
