"""What must come from the Hugging Face Hub before a plan can run, and how large it is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from dither.bench.models.files import BUILTIN, READ_FILES
from dither.bench.tasks.files import load_task
from dither.bench.tasks.task import Task

_HUB = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
"""What a name on the Hub looks like; other models are folders, or mistakes that are told later."""


@dataclass(frozen=True)
class Download:
    """Something that is not on this machine.

    Attributes:
        what: in words.
        size: bytes; None where the Hub does not answer.
    """

    what: str
    size: int | None


def downloads(model: str, tasks: Sequence[Task], data_dir: str | Path | None) -> list[Download]:
    """What a plan would download: the model, and the data of tasks of the Hub. Nothing is fetched.

    Args:
        model: as the user typed it.
        tasks: of the plan.
        data_dir: folder of local data; None for the Hub.
    """
    found = []
    if _HUB.fullmatch(model) and not _model_is_here(model):
        found.append(Download(f"model {model}", _size("model", model, READ_FILES)))
    own = [each for task in tasks for each in (task, task.learned)]
    lenders = [load_task(place.rpartition("/")[0]) for task in own for place in task.borrowed.values()]
    read = [*own, *lenders] if data_dir is None else []
    for path, config in sorted({(task.hub.path, task.hub.config) for task in read if task.hub}):
        if not _data_are_here(path, config):
            files = f"{config.partition('{')[0]}*" if config else "*"
            found.append(Download(f"data {path} {config}".strip(), _size("dataset", path, (files,))))
    return found


def _model_is_here(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    if name == BUILTIN or Path(name).is_dir():
        return True
    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def _data_are_here(path: str, config: str) -> bool:
    """Whether `datasets` has them in its cache; several languages are several folders there."""
    try:
        from datasets import config as settings
    except ImportError:
        return False
    folder = Path(settings.HF_DATASETS_CACHE) / path.replace("/", "___").lower()
    start = config.partition("{")[0]
    return folder.is_dir() and any(each.name.startswith(start or "default") for each in folder.iterdir())


def _size(kind: str, name: str, patterns: Sequence[str]) -> int | None:
    """Bytes of the files on the Hub that fit a pattern; a model's are those in no folder of it."""
    from huggingface_hub import HfApi

    try:
        found = HfApi().repo_info(name, repo_type=kind, files_metadata=True, timeout=20)
    except Exception:  # several libraries raise here, each its own kinds
        return None
    files: Sequence[Any] = getattr(found, "siblings", None) or ()
    deep = kind == "dataset"
    return sum(
        file.size or 0
        for file in files
        if (deep or "/" not in file.rfilename) and any(fnmatch(file.rfilename, each) for each in patterns)
    )
