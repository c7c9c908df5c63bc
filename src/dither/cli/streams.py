"""Standard output and standard error as commands find them: closed, full, in ASCII, or read by nobody."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any

_STREAMS = {0: "stdin", 1: "stdout", 2: "stderr"}


class OutputLost(OSError):
    """Standard output cannot be written.

    Attributes:
        unread: nobody reads it any more, so there is nobody to tell.
    """

    def __init__(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        super().__init__(f"standard output cannot be written ({reason}); what was recorded is kept")
        self.unread = isinstance(error, BrokenPipeError)


class _Stream:
    """Another stream, with its errors handled."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write."""
        with self._handled():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush."""
        with self._handled():
            self._stream.flush()

    def _handled(self) -> Any:
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Telling(_Stream):
    """Standard output, whose errors are `OutputLost`, to be told from those of other files and pipes."""

    @contextmanager
    def _handled(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputLost(error) from error


class Forgiving(_Stream):
    """Standard error: where it can no longer be written, what is said is lost, and the work goes on.

    A terminal can go, and who reads a pipe can end.
    """

    def _handled(self) -> Any:
        return suppress(OSError)


@contextmanager
def usable_streams() -> Iterator[None]:
    """Write whatever there is to write, to whatever streams there are.

    A closed stream leads nowhere; its number is taken, else the next file that is opened would get it, and
    what a library prints would land in that file. A character that an encoding does not have is escaped.
    """
    before = sys.stdin, sys.stdout, sys.stderr
    _take_numbers()
    for number, name in _STREAMS.items():
        if getattr(sys, name) is None:
            stream = open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
    output, errors = sys.stdout, getattr(sys.stdout, "errors", None)
    if isinstance(output, TextIOWrapper):
        output.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = Telling(output), Forgiving(sys.stderr)
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
        try:
            output.flush()
        except OSError:  # it was told; the interpreter would try once more at its end
            with open(os.devnull, "w", encoding="utf-8") as nowhere, suppress(OSError):
                os.dup2(nowhere.fileno(), output.fileno())
        if isinstance(output, TextIOWrapper) and output is before[1]:
            output.reconfigure(errors=errors)


def _take_numbers() -> None:
    """Open the null device for each of the numbers 0, 1, 2 that is free."""
    while (number := os.open(os.devnull, os.O_RDWR)) < len(_STREAMS):
        os.set_inheritable(number, True)
    os.close(number)
