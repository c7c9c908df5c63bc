"""What will be done to a checkpoint: every tensor with its noise, or the reason why it gets none."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

import torch

from dither.checkpoint.architecture import Names, architecture_of
from dither.checkpoint.blocks import Block, Ring, check_unchanged
from dither.checkpoint.headers import FLOATS, StoredTensor
from dither.checkpoint.index import CONFIG, MARKS, Checkpoint, inside, read_json
from dither.checkpoint.pipeline import ahead, shared_cores
from dither.checkpoint.rearrangement import Part
from dither.checkpoint.stream import Noises
from dither.checkpoint.strict_json import shown
from dither.core.kernels import backend_names, moments, perturb_
from dither.core.names import NamedParameter
from dither.core.noise import Change, Noise
from dither.core.statistics import Moments
from dither.marks import Mark
from dither.methods.noisytune import NoisyTune
from dither.methods.settings import recipe_hash, seed_of
from dither.methods.targets import Target, may_overflow, refuse_nonfinite, refuse_overflow, targets
from dither.record import Record, TensorRecord

Progress = Callable[[str, int, int], None]
"""Called with what is being done ("measure", "write", "verify"), bytes done and bytes in all."""


def silent(what: str, done: int, total: int) -> None:
    """A `Progress` that says nothing."""


class CheckpointPlan:
    """What noising a checkpoint will do: made from headers, then measured, then executed by `stream`.

    Args:
        checkpoint: from `open_checkpoint`.
        method: with all its settings.
        seed: for a method whose own seed is None; None means 0.
        names: "model" for canonical names of the model that config.json names; "file" for the file's.
        again: noise a checkpoint that was noised before, with fresh draws.

    Attributes:
        rows: a target for each parameter, in the model's order.
        others: stored tensors that are no parameters, with the reason why they are left alone.
        stds: of each noised tensor, by canonical name; empty until `measure`.
        step: how often the checkpoint was noised before: the counter word of the draws.

    Raises:
        ValueError: see `open_checkpoint`, `architecture_of` and `targets`; or it was noised before.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        method: NoisyTune,
        *,
        seed: int | None = None,
        names: Names = "model",
        again: bool = False,
    ) -> None:
        if not isinstance(method, NoisyTune):
            raise TypeError(f"method is {method!r}; a checkpoint is noised by dither.NoisyTune(...)")
        self.checkpoint, self.method, self.names = checkpoint, method, names
        self.seed = seed_of(method, seed)
        self.recipe = method.recipe(self.seed)
        self.mark = Mark(recipe_hash(self.recipe), self.recipe)
        self.marks = marks_of(checkpoint)
        self.step = len(self.marks)
        _check_marks(checkpoint, self.marks, self.mark, again=again)
        architecture = architecture_of(checkpoint, names)
        self.kind, self.others = architecture.kind, architecture.others
        self._sources, self._ways = architecture.sources, architecture.ways
        try:
            rows = targets(architecture.model, method, stored=True)
        except ValueError as error:
            raise ValueError(f"{checkpoint.root}: {error}") from None
        self._copies = _copies(architecture.sources, rows)
        self.rows = [row for row in rows if _owner(row) in self._copies]
        self.stds: dict[str, float] = {}
        self._constant: set[str] = set()

    @property
    def noised(self) -> list[Target]:
        """The targets that get noise; before `measure` also those that will prove to be constant."""
        return [row for row in self.rows if row.reason is None and row.named.name not in self._constant]

    def stored(self, row: Target) -> StoredTensor:
        """The first tensor of the files that holds values of a target."""
        return self._sources[self._copies[_owner(row)][0]][0]

    def measure(self, ring: Ring, progress: Progress = silent) -> None:
        """First pass: the statistics of what will be noised; what is not finite is refused by name."""
        names = {self._copies[row.named.name][0]: row.named.name for row in self.noised}
        tensors = list({row.name: row for path in names for row in self._sources[path]}.values())
        done, total = 0, sum(tensor.size for tensor in tensors)
        found: defaultdict[str, Moments] = defaultdict(Moments)
        read = (block for tensor in tensors for block in ring.read(tensor))
        with shared_cores(), closing(ahead(read)) as blocks:
            for block in blocks:
                parts = [part for part in self._parts(block) if part.path in names]
                measured = moments([block.part(part.start, part.count) for part in parts])
                for part, moment in zip(parts, measured, strict=True):
                    found[names[part.path]] += moment
                done += len(block.bytes)
                progress("measure", done, total)
                if block.is_last:
                    self._refuse_nonfinite(block.tensor, names, found)
        self.stds, self._constant = self.method.spreads(found)
        for row in self.noised:
            if may_overflow(found[row.named.name], self._noise(row), row.named.parameter.dtype):
                self._refuse_overflow(row, ring)
        for stored in self.checkpoint.files:
            check_unchanged(stored)

    def _parts(self, block: Block) -> list[Part]:
        """Where the elements of a block are in the model."""
        size = FLOATS[block.tensor.dtype].itemsize
        return self._ways[block.tensor.name].parts(block.start // size, len(block.bytes) // size)

    def _refuse_nonfinite(
        self, tensor: StoredTensor, names: Mapping[str, str], found: Mapping[str, Moments]
    ) -> None:
        for name in (names[path] for path in self._ways[tensor.name].paths if path in names):
            refuse_nonfinite(found[name], f"{tensor.path}: tensor {shown(tensor.name)}", name)

    def _refuse_overflow(self, row: Target, ring: Ring) -> None:
        """Refuse a tensor that its noise would take out of its dtype's range: tried out on what is read."""
        name, path, count = row.named.name, self._copies[row.named.name][0], 0
        noise, dtype = self._noise(row), str(row.named.parameter.dtype).removeprefix("torch.")
        for tensor in self._sources[path]:
            for block in ring.read(tensor):
                for part in (part for part in self._parts(block) if part.path == path):
                    values = block.part(part.start, part.count)
                    perturb_([values], [noise], places=[part.place])
                    count += moments([values])[0].nonfinite
            refuse_overflow(count, f"{tensor.path}: tensor {shown(tensor.name)}", name, noise, dtype)

    def noises(self) -> Noises:
        """The noise of each block of the stored tensors; copies of a tied one get the same."""
        noises = {path: self._noise(row) for row in self.noised for path in self._copies[row.named.name]}
        names = {row.name for path in noises for row in self._sources[path]}
        return lambda block: [
            (part, noises[part.path])
            for part in (self._parts(block) if block.tensor.name in names else ())
            if part.path in noises
        ]

    def _noise(self, row: Target) -> Noise:
        name = row.named.name
        return self.method.noise(
            name, strength=row.strength, std=self.stds[name], seed=self.seed, step=self.step
        )

    @property
    def marks_after(self) -> list[dict[str, Any]]:
        """The marks of the result, oldest first; no new one where nothing is noised."""
        return [*self.marks, *([asdict(self.mark)] if self.noised else [])]

    def record(self, changes: Mapping[str, Change] | None = None) -> Record:
        """Account for every tensor; with `changes` by the path in the model, after the write."""
        rows = [self._tensor_record(row, changes or {}) for row in self.rows]
        for path, reason in self.others.items():
            rows.append(_untouched(self.checkpoint.tensors[path], reason))
        return Record(
            recipe=self.recipe,
            recipe_hash=self.mark.hash,
            backend=backend_names([torch.empty(0)]),
            threads=torch.get_num_threads(),
            tensors=tuple(rows),
            message="" if self.names == "model" else "noised under the names as they stand in the file",
        )

    def _tensor_record(self, row: Target, changes: Mapping[str, Change]) -> TensorRecord:
        name, is_first = row.named.name, row.named.tied_to is None
        reason = row.reason or ("constant" if is_first and name in self._constant else None)
        blank = TensorRecord.of(row, reason, std=self.stds.get(name) if is_first else None)
        if not self.stored(row).is_float:
            blank = replace(blank, dtype=self.stored(row).dtype)
        change = None if reason else changes.get(self._copies[_owner(row)][0])
        return blank if change is None else blank.with_change(change, change.elements)


def marks_of(checkpoint: Checkpoint) -> list[dict[str, Any]]:
    """The marks of earlier noise: in config.json of a folder, in the manifest beside a single file."""
    if checkpoint.is_folder:
        where, found = checkpoint.folder / CONFIG, (checkpoint.config or {}).get(MARKS)
    if not checkpoint.is_folder or checkpoint.config is None:
        where = checkpoint.manifest
        found = read_json(inside(where, where.parent)).get("marks") if where.is_file() else None
    marks = found or []
    whole = isinstance(marks, list) and all(
        isinstance(row, dict) and isinstance(row.get("hash"), str) for row in marks
    )
    if not whole:
        raise ValueError(f"{where}: the marks of earlier noise are {marks!r}; another program wrote them")
    return list(marks)


def _check_marks(
    checkpoint: Checkpoint, marks: Sequence[Mapping[str, Any]], mark: Mark, *, again: bool
) -> None:
    hashes = [row["hash"] for row in marks]
    if again or not hashes:
        return
    same = mark.hash in hashes
    said = "this very recipe" if same else f"recipe {hashes[-1]}, now {mark.hash} is asked for"
    raise ValueError(
        f"{checkpoint.root} was noised before with {said}; "
        + ("it is what you want already, " if same else "take the original weights, ")
        + "or add fresh noise on top with --again"
    )


def _owner(row: Target) -> str:
    return row.named.tied_to or row.named.name


def _copies(sources: Mapping[str, tuple[StoredTensor, ...]], rows: Sequence[Target]) -> dict[str, list[str]]:
    """The paths under which each parameter is stored, by its canonical name: several for a tied one."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.named.path in sources:
            found[_owner(row)].append(row.named.path)
    return dict(found)


def _untouched(tensor: StoredTensor, reason: str) -> TensorRecord:
    empty = torch.nn.Parameter(torch.empty(tensor.shape, device="meta"), requires_grad=False)
    row = Target(NamedParameter(tensor.name, tensor.name, empty), 0.0, reason)
    return replace(TensorRecord.of(row, reason, std=None), dtype=tensor.dtype)
