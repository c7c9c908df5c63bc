"""The other files of a checkpoint folder: copied, or left out with a reason, and never run or unpickled."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dither.checkpoint.index import INDEX, MANIFEST, SUFFIX, Checkpoint, inside

_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz"}
_OTHER_WEIGHTS = {".h5", ".msgpack", ".onnx", ".gguf", ".ggml", ".tflite", ".ot", ".onnx_data"}
_READ = 1 << 20
_HIDDEN_FOLDERS = {".git", ".cache"}


@dataclass(frozen=True)
class Companion:
    """A file that comes along unchanged.

    Attributes:
        name: path below the folder, with forward slashes.
        source: where its bytes are, links resolved.
        size: in bytes.
    """

    name: str
    source: Path
    size: int


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that does not come along, and why."""

    name: str
    reason: str


def companions_of(checkpoint: Checkpoint) -> tuple[list[Companion], list[LeftOut]]:
    """What comes along from a folder and what does not, in the order of the names.

    config.json is among what comes along; the manifest of earlier noise is not.

    Raises:
        ValueError: a link leads out of the folder, or something is neither file nor folder.
    """
    if not checkpoint.is_folder:
        return [], []
    weights = {file.path.name for file in checkpoint.files}
    kept: list[Companion] = []
    left: list[LeftOut] = []
    for name, path in _walk(checkpoint.root, left):
        if name in weights or name == MANIFEST:
            continue
        reason = _unwanted(name)
        if reason:
            left.append(LeftOut(name, reason))
            continue
        real = inside(path, checkpoint.root)
        if not real.is_file():
            raise ValueError(f"{path} is no ordinary file and cannot come along; move it out of the folder")
        kept.append(Companion(name, real, real.stat().st_size))
    return kept, left


def same_content(one: Companion, other: Companion) -> bool:
    """Whether two files have the same bytes."""
    with one.source.open("rb") as left, other.source.open("rb") as right:
        while (block := left.read(_READ)) == right.read(_READ):
            if not block:
                return True
    return False


def _walk(root: Path, left: list[LeftOut]) -> Iterator[tuple[str, Path]]:
    """Every file below a folder with its name from there; links to folders are refused."""
    for folder, inner, names in os.walk(root, onerror=_raise):
        here = Path(folder)
        for name in inner:
            path = here / name
            if path.is_symlink():
                raise ValueError(f"{path} is a link to a folder; dither does not follow it: put a copy there")
            if name in _HIDDEN_FOLDERS:
                left.append(LeftOut(f"{path.relative_to(root).as_posix()}/", "no part of the model"))
        inner[:] = sorted(name for name in inner if name not in _HIDDEN_FOLDERS)
        for name in sorted(names):
            yield (here / name).relative_to(root).as_posix(), here / name


def _raise(error: OSError) -> None:
    raise error


def _unwanted(name: str) -> str | None:
    suffix, at_top = Path(name).suffix.lower(), "/" not in name
    if suffix in _PICKLES or name.endswith(".bin.index.json"):
        return "pickled or raw weights, without the noise"
    if suffix in _OTHER_WEIGHTS:
        return "weights in another format, without the noise"
    if at_top and (suffix == SUFFIX or name.endswith(f"{SUFFIX}.index.json")) and name != INDEX:
        return "weights that the model does not use, without the noise"
    return None
