"""Runs on a Ray cluster, each with its threads and its part of a GPU."""

import logging
import math
import os
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from dither.bench.executors import KEPT, Executor, RunError
from dither.bench.executors.ray_connection import connected, require_cluster, require_ray
from dither.bench.executors.ray_node import software, travelling_task
from dither.bench.executors.worker import Outcome
from dither.bench.runs.pulse import Pulse
from dither.bench.runs.request import RunRequest
from dither.bench.tasks.task import Task
from dither.results import RunResult

LOST_AT_MOST = 3
"""A run that was lost so often with its worker is an error."""

_LOOK_SECONDS = 5.0  # between two looks at the nodes, which come and go
_SMALLEST_PART = 0.01

logger = logging.getLogger("dither")


def ray_executor(
    *, jobs: int | None = None, address: str | None = None, gpus_per_run: float | None = None
) -> Executor:
    """Check the options, see that the cluster answers, and return what makes runs there.

    A run that is lost with its worker or node is made again; a run that raises an error is not. All nodes
    need the same software, and models and local data under the same paths.

    Args:
        jobs: runs at a time, >= 1; None for as many as the cluster has room for.
        address: host:port of the cluster, `auto` for the one that this machine is in, None for a Ray of
            this machine alone that ends with the runs.
        gpus_per_run: part of a GPU for each run, 0 or from 0.01 to 1; None for 1 where the cluster has
            GPUs, else 0.

    Raises:
        ImportError: Ray is not installed.
        ValueError: an option is out of its range.
        ConnectionError: there is no cluster at the address that this machine can join.

    Example:
        >>> ray_executor(gpus_per_run=2)
        Traceback (most recent call last):
        ...
        ValueError: --gpus-per-run is 2; it must be 0, or from 0.01 to 1: a run uses one GPU at most
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"--jobs is {jobs}; it must be at least 1")
    if gpus_per_run is not None and gpus_per_run != 0 and not _SMALLEST_PART <= gpus_per_run <= 1:
        raise ValueError(
            f"--gpus-per-run is {gpus_per_run:g}; it must be 0, or from {_SMALLEST_PART} to 1: a run uses "
            "one GPU at most"
        )
    require_ray()
    if address is not None:
        require_cluster(address)
    return partial(_run_on_ray, jobs=jobs, address=address, gpus_per_run=gpus_per_run)


def _run_on_ray(
    requests: Sequence[RunRequest], /, *, jobs: int | None, address: str | None, gpus_per_run: float | None
) -> Generator[RunResult, None, None]:
    """An `Executor`."""
    if not requests:
        return
    threads = max(request.spec.threads for request in requests)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with connected(address, max(cores, threads * (jobs or 1))):
        yield from _results(requests, Share.on_cluster(threads, gpus_per_run), jobs)


@dataclass(frozen=True)
class Share:
    """What a run takes of a node.

    Example:
        >>> Share(cpus=2, gpus=0.25).room([{"CPU": 16, "GPU": 1}, {"CPU": 4, "GPU": 4}, {"CPU": 64}])
        6
    """

    cpus: int
    gpus: float

    @classmethod
    def on_cluster(cls, cpus: int, gpus: float | None) -> "Share":
        """With a GPU for each run where there are any and nothing else is asked for."""
        has_gpus = any(node.get("GPU", 0) >= 1 for node in _nodes())
        return cls(cpus, float(has_gpus) if gpus is None else gpus)

    def room(self, nodes: Sequence[dict[str, float]]) -> int:
        """How many runs fit on nodes with these resources."""
        return sum(map(self._room_on, nodes))

    def _room_on(self, node: dict[str, float]) -> int:
        by_cpu = node.get("CPU", 0) / self.cpus
        by_gpu = node.get("GPU", 0) / self.gpus if self.gpus else math.inf
        return math.floor(min(by_cpu, by_gpu) + 1e-9)  # ten tenths are a whole


@dataclass(frozen=True)
class _Attempt:
    """A run to be made, and how often it was lost."""

    request: RunRequest
    lost: int = 0


def _results(
    requests: Sequence[RunRequest], share: Share, jobs: int | None
) -> Generator[RunResult, None, None]:
    import ray

    # Our own retries: Ray's have no end where memory runs out. With a GPU, Ray gives each run a process of
    # its own, since one that has used a GPU cannot change to another.
    task = ray.remote(num_cpus=share.cpus, num_gpus=share.gpus, max_retries=0)(travelling_task())
    wanted = software()
    pending = deque(_Attempt(_from_anywhere(request)) for request in requests)
    running: dict[Any, _Attempt] = {}
    try:
        while pending or running:
            room = share.room(_nodes())
            if not room:
                raise _no_room(share)
            # No more than there is room for: a long queue would be lost from sight.
            while pending and len(running) < min(room, jobs or room):
                attempt = pending.popleft()
                request, spec = attempt.request, attempt.request.spec
                if request.pulses is not None:  # a node has no such folder: all that is told is the start
                    for one in request.runs:
                        Pulse.now().write(request.pulses, one.spec.id)
                sized = task.options(num_cpus=spec.threads, name=request.name)
                sent = ray.put(request.each(pulses=None))
                running[sized.remote([sent], wanted, share.gpus)] = attempt
            outcomes = [(running.pop(ref), _outcome(ref)) for ref in _ended(list(running))]
            # Results first, so that an error does not take with it what is finished.
            made = [outcome for _, outcome in outcomes if isinstance(outcome, Outcome)]
            yield from (result for outcome in made for result in outcome.results)
            for broken in (outcome.broken for outcome in made if outcome.broken is not None):
                raise RunError.of(f"run ({broken.spec})", broken) from broken
            for attempt, outcome in outcomes:
                if not isinstance(outcome, Outcome):
                    pending.appendleft(_again(attempt, outcome))
    finally:
        for ref in running:
            ray.cancel(ref, force=True)


def _nodes() -> list[dict[str, float]]:
    """The resources of the nodes that are alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _from_anywhere(request: RunRequest) -> RunRequest:
    """The request with absolute paths: workers have working folders of their own."""
    source, also = request.source, tuple(map(_from_anywhere, request.also))
    return replace(
        request,
        also=also,
        task=_task_from_anywhere(request.task),
        source=replace(source, folder=source.folder.absolute()),
        data_dir=request.data_dir and str(Path(request.data_dir).absolute()),
        tensorboard=request.tensorboard and str(Path(request.tensorboard).absolute()),
    )


def _task_from_anywhere(task: Task) -> Task:
    trained = task.trained and _task_from_anywhere(task.trained)
    return replace(task, trained=trained, folder=task.folder and task.folder.absolute())


def _ended(refs: list[Any]) -> list[Any]:
    """The tasks that have ended, after a while of waiting for the first."""
    import ray

    ray.wait(refs, num_returns=1, timeout=_LOOK_SECONDS)
    ended: list[Any] = ray.wait(refs, num_returns=len(refs), timeout=0)[0]
    return ended


def _outcome(ref: Any) -> Outcome | Exception:
    import ray

    try:
        outcome: Outcome = ray.get(ref)
    except ray.exceptions.RayError as error:
        return error
    return outcome


def _again(attempt: _Attempt, error: Exception) -> _Attempt:
    """The next attempt at a run that was lost; anything else is an error."""
    from ray import exceptions as of_ray

    name, lost = attempt.request.name, attempt.lost + 1
    if isinstance(error, of_ray.RayTaskError):
        cause, ours = error.cause, isinstance(error.cause, RuntimeError)  # such as another version on a node
        internal = getattr(cause, "internal", not ours)
        raise RunError(f"run ({name}) failed with {cause}. {KEPT}", internal=internal) from error
    losses = of_ray.WorkerCrashedError, of_ray.NodeDiedError, of_ray.OutOfMemoryError, of_ray.ObjectLostError
    first = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".")  # pages of advice follow
    reason = f"{type(error).__name__}: {first}"
    if not isinstance(error, losses):
        raise RunError(f"Ray could not make run ({name}): {reason}. {KEPT}") from error
    if lost == LOST_AT_MOST:
        raise RunError(
            f"run ({name}) was lost {lost} times with its worker, perhaps for lack of memory: try a smaller "
            f"--jobs. The last time: {reason}. {KEPT}"
        ) from error
    logger.warning("run (%s) was lost with its worker and is made again: %s", name, reason)
    return _Attempt(attempt.request, lost)


def _no_room(share: Share) -> RunError:
    nodes = _nodes()
    cpus, gpus = (max((node.get(kind, 0) for node in nodes), default=0) for kind in ("CPU", "GPU"))
    return RunError(
        f"no node has room for a run, which takes {share.cpus} CPUs (--threads) and {share.gpus:g} GPUs "
        f"(--gpus-per-run): the most on any of {len(nodes)} nodes is {cpus:g} CPUs and {gpus:g} GPUs. {KEPT}"
    )
