"""Second pass: the bytes of a file with the noise in them, block by block."""

from collections.abc import Iterator, Mapping
from contextlib import closing

from dither.checkpoint.blocks import Buffer, check_unchanged
from dither.checkpoint.digests import BackgroundDigest
from dither.checkpoint.headers import StoredFile, StoredTensor
from dither.core.kernels import perturb_
from dither.core.noise import Change, Noise
from dither.core.places import Place


class NoisedFile:
    """A file of the source as it comes out with noise; iterate over it once.

    Args:
        stored: the file of the source.
        noises: of the tensors to be noised, by their names in the file.
        buffer: for one block.

    Attributes:
        changes: what the noise did to each tensor so far.
        source_digest: SHA-256 of the file as it was read, once the iteration is over.
    """

    def __init__(self, stored: StoredFile, noises: Mapping[str, Noise], buffer: Buffer) -> None:
        self.stored = stored
        self.changes: dict[str, Change] = {}
        self.source_digest = ""
        self._noises, self._buffer = noises, buffer

    def __iter__(self) -> Iterator[tuple[StoredTensor | None, memoryview]]:
        """Yield the blocks in the order of the file, the header first (with no tensor).

        A block is overwritten by the next one.
        """
        with closing(BackgroundDigest(self._buffer.size)) as digest:
            digest.update(self.stored.header)
            yield None, memoryview(self.stored.header)
            with self.stored.path.open("rb", buffering=0) as file:
                for tensor in self.stored.tensors:
                    for done, count in self._buffer.read(file, tensor):
                        digest.update(self._buffer.bytes(count))
                        self._perturb(tensor, done, count)
                        yield tensor, self._buffer.bytes(count)
            self.source_digest = digest.hexdigest()
        check_unchanged(self.stored)

    def _perturb(self, tensor: StoredTensor, done: int, count: int) -> None:
        noise = self._noises.get(tensor.name)
        if noise is None:
            return
        values = self._buffer.values(count, tensor)
        (change,) = perturb_([values], [noise], places=[Place(done // values.element_size())])
        self.changes[tensor.name] = self.changes.get(tensor.name, Change()) + change
