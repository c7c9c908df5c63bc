"""A disk that is full while a run keeps its model: every library says it in its own way, we say it in one."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_OF_RUST = re.compile(r"\(os error (\d+)\)")  # safetensors
_OF_TORCH = ("inline_container", "PytorchStreamWriter failed")  # its archives have no number of the error


def full_disk(error: BaseException | None) -> str | None:
    """Why a file could not be written for lack of room, by an error or one that it came of; None if not so.

    Example:
        >>> full_disk(OSError(28, "No space left on device"))
        'No space left on device'
        >>> full_disk(RuntimeError("I/O error: No space left on device (os error 28)"))
        'No space left on device'
        >>> full_disk(OSError(13, "Permission denied"))
    """
    while error is not None:
        number, text = getattr(error, "errno", None), str(error)
        if number is None and (found := _OF_RUST.search(text)):
            number = int(found[1])
        if number in _NO_ROOM:
            return os.strerror(number)
        if isinstance(error, RuntimeError) and any(word in text for word in _OF_TORCH):
            return "torch could not write an archive"
        error = error.__cause__ or error.__context__
    return None


@contextmanager
def full_disk_told(folder: str | None) -> Iterator[None]:
    """Say of what is kept in a folder that there was no room for it.

    Raises:
        OSError: in the place of whatever a library raised for lack of room.
    """
    try:
        yield
    except Exception as error:
        reason = None if folder is None else full_disk(error)
        if reason is None:
            raise
        raise OSError(
            f"{folder} cannot be written ({reason}). Free some space and run the same command again: it goes "
            "on from the newest whole checkpoint"
        ) from error
