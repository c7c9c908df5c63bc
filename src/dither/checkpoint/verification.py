"""`verify_checkpoint`: compute the noise once more, and compare every byte of every file."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dither.checkpoint.blocks import BLOCK, Ring, check_unchanged
from dither.checkpoint.companions import companions_of, same_content
from dither.checkpoint.headers import StoredFile
from dither.checkpoint.index import CONFIG, MANIFEST, Checkpoint, manifest_path, open_checkpoint
from dither.checkpoint.manifest import Manifest, marked_config, read_manifest
from dither.checkpoint.plan import CheckpointPlan, Progress, silent
from dither.checkpoint.stream import NoisedFile, ring_for_stages
from dither.core.noise import Change
from dither.record import Record


@dataclass(frozen=True)
class Verdict:
    """What `verify_checkpoint` found.

    Attributes:
        tensors: how many were compared.
        differing: names of the tensors that are not what the recipe makes of the source.
        problems: what else is wrong, each a sentence: another source, a header, a file (config.json, the
            tokenizer's) or a line of dither.json that differs, a file too many or too few.
    """

    tensors: int
    differing: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything is as it was written."""
        return not self.differing and not self.problems


def verify_checkpoint(
    source: str | Path, target: str | Path, *, block: int = BLOCK, progress: Progress = silent
) -> Verdict:
    """Noise a checkpoint once more by the recipe in its dither.json, and compare; nothing is written.

    Args:
        source: the original checkpoint.
        target: what `perturb_checkpoint` made of it.
        block: bytes to work on at a time.
        progress: called after each block.

    Returns:
        The Verdict.

    Raises:
        ValueError, OSError: one of the two cannot be read, or there is no manifest.

    Example:
        >>> import tempfile, dither
        >>> from dither.builtin import MODEL_DIR
        >>> from dither.checkpoint import perturb_checkpoint
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     outcome = perturb_checkpoint(MODEL_DIR, f"{folder}/noisy", dither.NoisyTune(seed=3))
        ...     verify_checkpoint(MODEL_DIR, f"{folder}/noisy").ok
        True
    """
    original, written = open_checkpoint(Path(source)), open_checkpoint(Path(target))
    if original.is_folder != written.is_folder:
        raise ValueError(f"{source} and {target} must both be folders, or both be files")
    manifest = read_manifest(manifest_path(Path(target), is_folder=written.is_folder))
    plan = CheckpointPlan(original, manifest.method, names=manifest.names, again=manifest.step > 0)
    if plan.step != manifest.step:
        raise ValueError(
            f"{source} was noised {plan.step} times before, and {target} was made from weights that were "
            f"noised {manifest.step} times; give the weights that it was made from"
        )
    ring, mirror = ring_for_stages(block), Ring(block)
    plan.measure(ring, progress)
    pairs, problems = _pairs(original, written)
    differing: dict[str, None] = {}
    changes: dict[str, Change] = {}
    total, done = sum(file.size for file, _ in pairs), 0
    for file, other in pairs:
        stream = NoisedFile(file, plan.noises(), ring)
        for count, name in _compared(stream, other, mirror):
            done += count
            progress("verify", done, total)
            if name is not None:
                differing[name] = None
        changes |= stream.changes
        problems += _wrong_digests(manifest, stream)
    problems += [*_wrong_manifest(manifest, plan, changes), *_wrong_companions(plan, written)]
    return Verdict(len(original.tensors), tuple(differing), tuple(problems))


def _pairs(
    original: Checkpoint, written: Checkpoint
) -> tuple[list[tuple[StoredFile, StoredFile]], list[str]]:
    """The files that can be compared byte by byte, and what is wrong with the others."""
    if not original.is_folder:
        named = {original.files[0].path.name: written.files[0]}
    else:
        named = {file.path.name: file for file in written.files}
    problems = [
        f"{name} is in one of the two folders only"
        for name in sorted(set(named) ^ {file.path.name for file in original.files})
    ]
    pairs = []
    for file in original.files:
        other = named.get(file.path.name)
        if other is not None and other.header != file.header:
            problems.append(f"{other.path.name}: the header differs, so its tensors were not compared")
        elif other is not None:
            pairs.append((file, other))
    return pairs, problems


def _compared(stream: NoisedFile, other: StoredFile, mirror: Ring) -> Iterator[tuple[int, str | None]]:
    """Yield (bytes done, name of the tensor if this block differs)."""
    yield len(other.header), None  # the header is equal
    theirs = (block for tensor in other.tensors for block in mirror.read(tensor))
    with closing(iter(stream)) as blocks:
        for ours, written in zip(blocks, theirs, strict=True):
            yield len(ours.bytes), None if ours.bytes == written.bytes else ours.tensor.name
    check_unchanged(other)


def _wrong_digests(manifest: Manifest, stream: NoisedFile) -> Iterator[str]:
    name = stream.stored.path.name
    stored = next((row for row in manifest.digests if row.name == name), None)
    if stored is None or stored.source != stream.source_digest:
        yield (
            f"{name} of the source is not the file that was noised: its SHA-256 is {stream.source_digest}, "
            f"and the manifest says {stored.source if stored else 'nothing'}"
        )
    elif stored.written != stream.written_digest:
        yield (
            f"{MANIFEST} says {stored.written} for the SHA-256 of {name} with its noise, and the recipe "
            f"makes {stream.written_digest}"
        )


def _wrong_manifest(manifest: Manifest, plan: CheckpointPlan, changes: Mapping[str, Change]) -> Iterator[str]:
    """What dither.json says otherwise than it would be written now, but for last digits and versions."""
    if manifest.marks != plan.marks_after:
        yield f"{MANIFEST} has other marks of noise than the recipe leaves"
    ours, theirs = _noised(plan.record(changes)), _noised(manifest.record)
    if wrong := sorted(name for name in ours | theirs if ours.get(name) != theirs.get(name)):
        yield f"{MANIFEST} says of {len(wrong)} tensors (first: {wrong[0]!r}) what the noise is not"


def _noised(record: Record) -> dict[str, tuple[Any, ...]]:
    return {row.name: (row.dtype, row.shape, row.strength, row.std) for row in record.tensors if row.noised}


def _wrong_companions(plan: CheckpointPlan, written: Checkpoint) -> Iterator[str]:
    """Files beside the weights that are not the source's, missing, or of somebody else."""
    kept, (found, others) = companions_of(plan.checkpoint)[0], companions_of(written)
    there = {row.name: row for row in found}
    for row in kept:
        other = there.pop(row.name, None)
        if other is None:
            yield f"{row.name} of the source is missing"
        elif row.name == CONFIG and plan.noised:
            if written.config != marked_config(plan):
                yield f"{CONFIG} is not the source's with the mark of the noise"
        elif not same_content(row, other):
            yield f"{row.name} differs from the source's"
    strangers = [*there, *(row.name for row in others if not row.name.endswith("/"))]
    yield from (f"{name} is not of the source, and dither did not write it" for name in strangers)
