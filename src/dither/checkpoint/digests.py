"""SHA-256 in the background: the checksums take longer than the noise, and need not be waited for."""

from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256

from dither.checkpoint.blocks import Buffer


class BackgroundDigest:
    """The SHA-256 of blocks given one after the other; each is copied, so the caller may overwrite it.

    Args:
        size: bytes of the largest block.

    Example:
        >>> digest = BackgroundDigest(4096)
        >>> digest.update(b"ab"), digest.update(b"c"), digest.hexdigest()[:8]
        (None, None, 'ba7816bf')
    """

    def __init__(self, size: int) -> None:
        self._digest = sha256()
        self._copy = Buffer(size)
        self._worker = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes; returns as soon as they are copied."""
        block = memoryview(data)
        for at in range(0, len(block), self._copy.size):
            part = block[at : at + self._copy.size]
            self._wait()
            held = self._copy.bytes(len(part))
            held[:] = part
            self._pending = self._worker.submit(self._digest.update, held)

    def hexdigest(self) -> str:
        """Of all the bytes taken so far."""
        self._wait()
        return self._digest.hexdigest()

    def close(self) -> None:
        """End the worker."""
        self._worker.shutdown()

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
