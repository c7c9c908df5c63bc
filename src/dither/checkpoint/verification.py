"""`verify_checkpoint`: compute the noise once more, and compare every byte."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dither.checkpoint.blocks import BLOCK, Ring, check_unchanged
from dither.checkpoint.headers import StoredFile
from dither.checkpoint.index import Checkpoint, manifest_path, open_checkpoint
from dither.checkpoint.manifest import Manifest, read_manifest
from dither.checkpoint.plan import CheckpointPlan, Progress, silent
from dither.checkpoint.stream import NoisedFile, ring_for_stages


@dataclass(frozen=True)
class Verdict:
    """What `verify_checkpoint` found.

    Attributes:
        tensors: how many were compared.
        differing: names of the tensors that are not what the recipe makes of the source.
        problems: what else is wrong, each a sentence: another source, a header or a file that differs.
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
    total, done = sum(file.size for file, _ in pairs), 0
    for file, other in pairs:
        stream = NoisedFile(file, plan.noises(), ring)
        for count, name in _compared(stream, other, mirror):
            done += count
            progress("verify", done, total)
            if name is not None:
                differing[name] = None
        problems += _wrong_digest(manifest, stream)
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


def _wrong_digest(manifest: Manifest, stream: NoisedFile) -> list[str]:
    name = stream.stored.path.name
    stored = next((row.source for row in manifest.digests if row.name == name), None)
    if stored == stream.source_digest:
        return []
    return [
        f"{name} of the source is not the file that was noised: its SHA-256 is {stream.source_digest}, "
        f"and the manifest says {stored}"
    ]
