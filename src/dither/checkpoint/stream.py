"""Second pass: the bytes of a file with the noise in them, block by block."""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from hashlib import sha256

from dither.checkpoint.blocks import BLOCK, Block, Ring, check_unchanged
from dither.checkpoint.headers import StoredFile
from dither.checkpoint.pipeline import AHEAD, ahead, shared_cores
from dither.checkpoint.rearrangement import Part
from dither.core.kernels import perturb_
from dither.core.noise import Change, Noise

_STAGES = 3

Noises = Callable[[Block], Sequence[tuple[Part, Noise]]]
"""Which parts of a block get noise."""


def ring_for_stages(size: int = BLOCK) -> Ring:
    """Enough blocks for every stage to be ahead, and one for who takes them."""
    return Ring(size, _STAGES * AHEAD + 1)


class NoisedFile:
    """The tensors of a file of the source as they come out with noise; iterate over it once.

    Three stages work at the same time: one reads and hashes, one adds noise, one hashes the result. Hashing
    takes the longest.

    Args:
        stored: the file of the source.
        noises: says for each block which parts of it get noise, and where they lie in the model.
        ring: from `ring_for_stages`.

    Attributes:
        changes: what the noise did to each parameter so far, by its path.
        source_digest: SHA-256 of the whole file as it was read, once the iteration is over.
        written_digest: the same of what came out.
    """

    def __init__(self, stored: StoredFile, noises: Noises, ring: Ring) -> None:
        self.stored = stored
        self.changes: dict[str, Change] = {}
        self.source_digest = self.written_digest = ""
        self._noises, self._ring = noises, ring

    def __iter__(self) -> Generator[Block, None, None]:
        """Yield the blocks behind the header in their order; asking for the next one gives a block up."""
        with shared_cores(), closing(ahead(self._hashed(ahead(self._noised(ahead(self._read())))))) as blocks:
            yield from blocks
        check_unchanged(self.stored)

    def _read(self) -> Generator[Block, None, None]:
        digest = sha256(self.stored.header)
        for tensor in self.stored.tensors:
            for block in self._ring.read(tensor):
                digest.update(block.bytes)
                yield block
        self.source_digest = digest.hexdigest()

    def _noised(self, blocks: Generator[Block, None, None]) -> Generator[Block, None, None]:
        with closing(blocks):
            for block in blocks:
                self._perturb(block)
                yield block

    def _hashed(self, blocks: Generator[Block, None, None]) -> Generator[Block, None, None]:
        digest = sha256(self.stored.header)
        with closing(blocks):
            for block in blocks:
                digest.update(block.bytes)
                yield block
        self.written_digest = digest.hexdigest()

    def _perturb(self, block: Block) -> None:
        rows = self._noises(block)
        changes = perturb_(
            [block.part(part.start, part.count) for part, _ in rows],
            [noise for _, noise in rows],
            places=[part.place for part, _ in rows],
        )
        for (part, _), change in zip(rows, changes, strict=True):
            self.changes[part.path] = self.changes.get(part.path, Change()) + change
