"""What happens on a node of a Ray cluster: is everything there that a run needs, then the run."""

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from dither.bench.executors import WorkError
from dither.bench.executors.worker import Outcome, be_quiet, run_for_sending
from dither.bench.models.files import BUILTIN, ModelSource, find_model
from dither.bench.runs.environment import versions
from dither.bench.runs.request import RunRequest
from dither.core.draws import RECIPE_VERSION
from dither.core.faults import is_told


def travelling_task() -> Callable[[list[Any], dict[str, str], float], Outcome]:
    """What Ray calls on a node: a function that is sent whole, so that a node without dither can say so.

    A name that a worker can look up is sent as that name, and so is the class of an argument. So this is a
    local function that names nothing of dither outside its body, and its request a reference in a list, read
    when the versions are known to be the same.
    """

    def make_run(request: list[Any], wanted: dict[str, str], gpus: float) -> Any:
        import platform

        try:
            from dither.bench.executors.ray_node import require_software, run_on_node
        except ImportError as error:
            raise RuntimeError(
                f"dither cannot be loaded on node {platform.node()} ({error}); install there what the "
                "machine has that starts the comparison"
            ) from error
        require_software(wanted)
        import ray

        return run_on_node(ray.get(request[0]), gpus)

    return make_run


def software() -> dict[str, str]:
    """The versions that all nodes must share; of torch and others without the build, for CPU or CUDA."""
    found = {package: number.partition("+")[0] for package, number in versions().items()}
    return {**found, "noise recipe": str(RECIPE_VERSION)}


def require_software(wanted: Mapping[str, str]) -> None:
    """Refuse to work with other versions than the process that asks for runs.

    Args:
        wanted: its `software()`.

    Raises:
        RuntimeError: something differs; the message names the node.
    """
    here = software()
    other = [name for name, number in wanted.items() if here.get(name) != number]
    if other:
        found = ", ".join(f"{name} {here.get(name)} instead of {wanted[name]}" for name in other)
        raise RuntimeError(
            f"node {platform.node()} has {found}; install there what the machine has that starts the "
            "comparison"
        )


def run_on_node(request: RunRequest, gpus: float) -> Outcome:
    """Make the runs of a request on this node.

    Args:
        request: the runs; their paths are absolute.
        gpus: how much of a GPU the run may use; with 0 it sees none.

    Raises:
        RuntimeError: files are missing here or are other ones, or the run failed; the message names the
            node.
    """
    try:
        _require_folders(request)
        source = _found_here(request.source)
        if not gpus:
            # Ray hides no GPU from those that asked for none.
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        be_quiet()
        return run_for_sending(request.each(source=source))
    except Exception as error:
        text = f"{error} (on node {platform.node()})"
        raise WorkError(text, internal=not is_told(error)) from error


def _require_folders(request: RunRequest) -> None:
    source = request.source
    folders = {
        "--data-dir": request.data_dir,
        **{
            f"the folder of task {each.name}": each.folder if each.source == "local" else None
            for task in (one.task for one in request.runs)
            for each in (task, task.learned)
        },
        f"the folder of model {source.name}": None if source.name == BUILTIN else source.folder,
    }
    for what, folder in folders.items():
        if folder is not None and not Path(folder).is_dir():
            raise FileNotFoundError(
                f"{what} is not there: {folder}; every node reads it at this path, so copy it there or put "
                "it where all nodes see it"
            )


@lru_cache(maxsize=8)  # it reads all weights
def _found_here(source: ModelSource) -> ModelSource:
    """The model with its folder on this node: the built-in one lies where dither is installed."""
    here = find_model(BUILTIN if source.name == BUILTIN else str(source.folder))
    if here.digest != source.digest:
        raise ValueError(
            f"model {source.name} in {here.folder} has other files than the comparison was planned with; "
            "copy the same ones to every node"
        )
    return replace(here, name=source.name)
