"""Second pass: the bytes of a file with the noise in them, block by block."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from dither.checkpoint.blocks import Buffer, check_unchanged
from dither.checkpoint.headers import StoredFile, StoredTensor
from dither.core.kernels import perturb_
from dither.core.noise import Change, Noise


@dataclass
class NoisedFile:
    """A file of the source as it comes out with noise; iterate over it once.

    Attributes:
        stored: the file of the source.
        noises: of the tensors to be noised, by their names in the file.
        buffer: for one block.
        changes: what the noise did to each tensor so far.
    """

    stored: StoredFile
    noises: Mapping[str, Noise]
    buffer: Buffer
    changes: dict[str, Change] = field(default_factory=dict)
    _digest: Any = field(default_factory=sha256)

    def __iter__(self) -> Iterator[tuple[StoredTensor | None, memoryview]]:
        """Yield the blocks in the order of the file, the header first (with no tensor).

        A block is overwritten by the next one.
        """
        self._digest.update(self.stored.header)
        yield None, memoryview(self.stored.header)
        with self.stored.path.open("rb", buffering=0) as file:
            for tensor in self.stored.tensors:
                noise = self.noises.get(tensor.name)
                for done, count in self.buffer.read(file, tensor):
                    block = self.buffer.bytes(count)
                    self._digest.update(block)
                    if noise is not None:
                        self._perturb(tensor, noise, done, count)
                    yield tensor, block
        check_unchanged(self.stored)

    @property
    def source_digest(self) -> str:
        """SHA-256 of what was read, the whole file once the iteration is over."""
        return str(self._digest.hexdigest())

    def _perturb(self, tensor: StoredTensor, noise: Noise, done: int, count: int) -> None:
        values = self.buffer.values(count, tensor)
        (change,) = perturb_([values], [noise], offsets=[done // values.element_size()])
        self.changes[tensor.name] = self.changes.get(tensor.name, Change()) + change
