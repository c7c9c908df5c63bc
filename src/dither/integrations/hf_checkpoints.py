"""Which checkpoint of the Hugging Face Trainer can be resumed: the newest one that is whole."""

import json
import logging
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

logger = logging.getLogger("dither")

_RESUME_FILES = ("trainer_state.json", "optimizer.pt", "scheduler.pt")
_ARCHIVES = ("optimizer.pt", "scheduler.pt", "scaler.pt")
_CONFIGS = ("config.json", "adapter_config.json")
_ADAPTER = "adapter_model.safetensors"
_WEIGHTS = ("model.safetensors", _ADAPTER)
_RANDOM_STATE = "rng_state.pth"
_PROCESSES = "dither_processes"  # as NoiseCallback writes it
_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class CheckpointSearch:
    """What was found in an output folder.

    Attributes:
        newest: the newest whole checkpoint, or None.
        skipped: newer ones that are not whole, each with what is wrong with it.
    """

    newest: Path | None
    skipped: dict[Path, str]


def latest_checkpoint(output_dir: str | Path) -> str | None:
    """The newest whole checkpoint of an output folder, for `trainer.train(resume_from_checkpoint=...)`.

    A checkpoint counts only when it is whole: trainer_state.json parses and is of the folder's step, and the
    weights, the optimizer, the scheduler and the random state of each process are there at full length. Newer
    ones that are not are named in a warning of the log. Only the ends of the files are read, whatever their
    size. Where several processes train together, all of them call this, with a folder that all see.

    Args:
        output_dir: `TrainingArguments.output_dir`.

    Returns:
        Its path, or None where there is none: `trainer.train` then starts at step 0.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(latest_checkpoint(folder))
        None
    """
    search = search_checkpoints(output_dir)
    for path, problem in search.skipped.items():
        logger.warning("checkpoint %s is not whole and is skipped: %s", path, problem)
    return None if search.newest is None else str(search.newest)


def search_checkpoints(output_dir: str | Path) -> CheckpointSearch:
    """Look at the checkpoints of an output folder from the newest back to the first whole one."""
    skipped: dict[Path, str] = {}
    folders = [path for path in Path(output_dir).glob("checkpoint-*") if path.is_dir()]
    steps = {path: re.fullmatch(r"checkpoint-(\d+)", path.name) for path in folders}
    numbered = [(int(match[1]), path) for path, match in steps.items() if match]
    for step, path in sorted(numbered, reverse=True):
        problem = incompleteness(path, step)
        if problem is None:
            return CheckpointSearch(path, skipped)
        skipped[path] = problem
    return CheckpointSearch(None, skipped)


def incompleteness(checkpoint: Path, step: int) -> str | None:
    """What a checkpoint lacks to be resumed at a step, or None where it is whole."""
    for name in _RESUME_FILES:
        path = checkpoint / name
        if not path.is_file() or path.stat().st_size == 0:
            return f"{name} is missing or empty"
    state, problem = _json_object(checkpoint / "trainer_state.json")
    if problem:
        return problem
    if state.get("global_step") != step:
        return f"trainer_state.json is of step {state.get('global_step')}"
    archives = [name for name in _ARCHIVES if (checkpoint / name).exists()]
    for name in [*archives, *_random_states(checkpoint, state)]:
        if problem := _archive_problem(checkpoint / name):
            return f"{name} {problem}"
    for name in _CONFIGS:
        if (checkpoint / name).exists() and (problem := _json_object(checkpoint / name)[1]):
            return problem
    return _missing_weights(checkpoint)


def _json_object(path: Path) -> tuple[dict[str, Any], str | None]:
    """The object in a JSON file, or what is wrong with the file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        return {}, f"{path.name} does not parse: {error}"
    return (value, None) if isinstance(value, dict) else ({}, f"{path.name} does not parse: no object")


def _random_states(checkpoint: Path, state: dict[str, Any]) -> list[str]:
    """The files with random states that a checkpoint must have: one for each process that saved it.

    How many that were stands in the log history where NoiseCallback was at work. Without it, there may have
    been another process whose file is not there yet: at least those of this run are asked for.
    """
    history = state.get("log_history") or []
    noted = [row[_PROCESSES] for row in history if isinstance(row, dict) and _PROCESSES in row]
    found = [path.name for path in checkpoint.glob("rng_state_*.pth")]
    if noted[-1:] == [1] or (not noted and (not found or (checkpoint / _RANDOM_STATE).exists())):
        return [_RANDOM_STATE]
    now = int(os.environ.get("WORLD_SIZE", "1"))
    count = int(noted[-1]) if noted else max(2, now, len(found))
    return [f"rng_state_{rank}.pth" for rank in range(count)]


def _archive_problem(path: Path) -> str | None:
    """Whether a file of torch.save is cut short: the directory of the zip is written last."""
    if not path.is_file():
        return "is missing"
    try:
        zipfile.ZipFile(path).close()
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        return f"is cut short or damaged: {error}"
    return None


def _missing_weights(checkpoint: Path) -> str | None:
    if (index := checkpoint / _INDEX).is_file():
        names, problem = _sharded_names(index)
        if problem:
            return problem
    else:
        names = [name for name in _WEIGHTS if (checkpoint / name).exists()][:1]
        # Adapters beside the default one lie in folders of their own.
        names += [f"{path.parent.name}/{_ADAPTER}" for path in sorted(checkpoint.glob(f"*/{_ADAPTER}"))]
        if not names:
            return f"no weights: neither {' nor '.join(_WEIGHTS)} nor {_INDEX} is there"
    problems = ((name, _safetensors_problem(checkpoint / name)) for name in names)
    return next((f"{name} {problem}" for name, problem in problems if problem), None)


def _sharded_names(index: Path) -> tuple[list[str], str | None]:
    """The files that an index names, or what is wrong with the index."""
    value, problem = _json_object(index)
    if problem:
        return [], problem
    weight_map = value.get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        return [], f"{index.name} names no files"
    names = sorted({str(name) for name in weight_map.values()})
    if outside := [name for name in names if name != Path(name).name or name in ("", "..")]:
        return [], f"{index.name} names a file outside the folder: {outside[0]!r}"
    return names, None


def _safetensors_problem(path: Path) -> str | None:
    """Whether a safetensors file is as long as its header says; the tensors are not read."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        return "is missing"
    try:
        with safe_open(path, framework="numpy"):
            return None
    except (SafetensorError, OSError, ValueError) as error:
        return f"is cut short or damaged: {error}"
