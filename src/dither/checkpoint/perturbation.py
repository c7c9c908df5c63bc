"""`perturb_checkpoint`: index, plan, stream, publish."""

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dither.checkpoint.architecture import Names
from dither.checkpoint.blocks import BLOCK
from dither.checkpoint.companions import Companion, LeftOut, companions_of
from dither.checkpoint.index import CONFIG, SUFFIX, manifest_path, open_checkpoint
from dither.checkpoint.manifest import (
    Digests,
    check_digests,
    check_place,
    manifest_of,
    marked_config,
    read_manifest,
)
from dither.checkpoint.plan import CheckpointPlan, Progress, silent
from dither.checkpoint.publication import Publication, check_space, check_target, publication
from dither.checkpoint.stream import NoisedFile, ring_for_stages
from dither.methods.noisytune import NoisyTune
from dither.record import Record


@dataclass(frozen=True)
class Outcome:
    """What `perturb_checkpoint` did.

    Attributes:
        record: every tensor, noised or skipped and why.
        left_out: files that did not come along, and why.
        size: bytes of weights written.
        seconds: that it took.
    """

    record: Record
    left_out: tuple[LeftOut, ...]
    size: int
    seconds: float


def plan_checkpoint(
    source: str | Path,
    method: NoisyTune,
    *,
    seed: int | None = None,
    names: Names = "model",
    again: bool = False,
) -> CheckpointPlan:
    """What noising a checkpoint would do, from its headers alone; nothing is written.

    Args:
        source: a folder, or a safetensors file.
        method: with all its settings.
        seed: for a method whose own seed is None; None means 0.
        names: "model" for the canonical names of the model that config.json names, so that the noise is that
            of `dither.noisytune_`; "file" for the names in the file.
        again: noise what was noised before, with fresh draws.

    Returns:
        The plan; `plan.record()` lists every tensor. Constant tensors show only when it is measured.

    Raises:
        ValueError: the checkpoint is damaged, noised before, or not stored as its model has it.

    Example:
        >>> from dither.builtin import MODEL_DIR
        >>> plan_checkpoint(MODEL_DIR, NoisyTune(exclude="*bias")).record().counts()
        {'noised': 32, 'skipped': 32}
    """
    return CheckpointPlan(open_checkpoint(Path(source)), method, seed=seed, names=names, again=again)


def perturb_checkpoint(
    source: str | Path,
    target: str | Path,
    method: NoisyTune,
    *,
    seed: int | None = None,
    names: Names = "model",
    again: bool = False,
    expected: Sequence[Digests] | None = None,
    block: int = BLOCK,
    progress: Progress = silent,
) -> Outcome:
    """Write a copy of a checkpoint with noise on its weights; memory is bounded whatever its size.

    Args:
        source: a folder, or a safetensors file; it is not changed.
        target: of the same kind; must not exist, and appears when it is whole.
        method: with all its settings.
        seed: for a method whose own seed is None; None means 0.
        names: see `plan_checkpoint`.
        again: noise what was noised before, with fresh draws.
        expected: SHA-256 of what must come out of what, as a manifest has them (see `replay_checkpoint`);
            None where nothing is known.
        block: bytes to work on at a time, a multiple of 8, >= 4096; the result does not depend on it.
        progress: called after each block.

    Returns:
        The Outcome; its Record also lies in dither.json beside the weights.

    Raises:
        ValueError: see `plan_checkpoint`; or weights that are not finite, a target that exists, or something
            else than what was expected.
        OSError: the target cannot be written; nothing of it is left.

    Example:
        >>> import tempfile
        >>> from dither.builtin import MODEL_DIR
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     outcome = perturb_checkpoint(MODEL_DIR, Path(folder) / "noisy", NoisyTune(noise_lambda=0.1))
        >>> outcome.record.counts()
        {'noised': 62, 'skipped': 2}
    """
    began = time.perf_counter()
    source, target = Path(source), Path(target)
    ring = ring_for_stages(block)
    if source.is_dir() or (source.exists() and source.suffix == SUFFIX):  # else open_checkpoint refuses it
        check_target(source, target, is_folder=source.is_dir(), suffix=SUFFIX)
        check_place(manifest_path(target, is_folder=source.is_dir()))
    plan = plan_checkpoint(source, method, seed=seed, names=names, again=again)
    kept, left = companions_of(plan.checkpoint)
    files = plan.checkpoint.files
    size = sum(file.size for file in files)
    check_space(target, size + sum(row.size for row in kept))
    plan.measure(ring, progress)
    is_folder, manifest = plan.checkpoint.is_folder, manifest_path(target, is_folder=source.is_dir())
    like = source if is_folder else None
    with publication(target, like=like, order=(manifest.name, target.name)) as new:
        streams = [NoisedFile(file, plan.noises(), ring) for file in files]
        digests = list(_write_files(new, streams, size, progress, alone=not is_folder))
        if expected is not None:
            check_digests(digests, expected, source)
        changes = {name: change for stream in streams for name, change in stream.changes.items()}
        record = plan.record(changes)
        _bring_along(new, kept, plan)
        _write_json(new, manifest.name, manifest_of(plan, record, digests, left), like=files[0].path)
    return Outcome(record, tuple(left), size, time.perf_counter() - began)


def replay_checkpoint(
    source: str | Path,
    target: str | Path,
    recipe: str | Path,
    *,
    block: int = BLOCK,
    progress: Progress = silent,
) -> Outcome:
    """Make noised weights once more, from the original ones and a dither.json.

    Args:
        source: the original checkpoint.
        target: see `perturb_checkpoint`.
        recipe: the dither.json of what was lost.
        block: bytes to work on at a time.
        progress: called after each block.

    Raises:
        ValueError, OSError: see `perturb_checkpoint`; or the source is not what the recipe was used on, or
            the result not what came out then. Nothing is published then.

    Example:
        >>> import tempfile
        >>> from dither.builtin import MODEL_DIR
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     first = perturb_checkpoint(MODEL_DIR, f"{folder}/noisy", NoisyTune(seed=5))
        ...     again = replay_checkpoint(MODEL_DIR, f"{folder}/again", f"{folder}/noisy/dither.json")
        >>> again.record == first.record
        True
    """
    manifest = read_manifest(Path(recipe))
    return perturb_checkpoint(
        source,
        target,
        manifest.method,
        names=manifest.names,
        again=manifest.step > 0,
        expected=manifest.digests,
        block=block,
        progress=progress,
    )


def _write_files(
    new: Publication, streams: Iterable[NoisedFile], size: int, progress: Progress, *, alone: bool
) -> Iterable[Digests]:
    done = 0
    for stream in streams:
        name = new.target.name if alone else stream.stored.path.name
        with new.create(name, stream.stored.path) as file, closing(iter(stream)) as blocks:
            file.write(stream.stored.header)
            done += len(stream.stored.header)
            for block in blocks:
                file.write(block.bytes)
                done += len(block.bytes)
                progress("write", done, size)
        yield Digests(stream.stored.path.name, stream.source_digest, stream.written_digest)


def _bring_along(new: Publication, kept: Iterable[Companion], plan: CheckpointPlan) -> None:
    for row in kept:
        if row.name == CONFIG and plan.noised:
            _write_json(new, CONFIG, marked_config(plan), like=row.source)
        else:
            new.copy(row.source, row.name)


def _write_json(new: Publication, name: str, values: dict[str, Any], *, like: Path) -> None:
    with new.create(name, like) as file:
        file.write((json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())
